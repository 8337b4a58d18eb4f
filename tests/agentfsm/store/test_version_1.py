"""A file that version 1 has left, with tasks in the middle of everything, is brought up to date and gone on with."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agentfsm.errors import StoreError
from agentfsm.store import migrate, open_store, schema_state
from agentfsm.store import opening as opening_module

LEFT = Path(__file__).with_name("version_1.sql").read_text()
NAMES = ["answers", "asks-model", "done", "doubt", "looks-up", "pays"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "agent.db"
    db = sqlite3.connect(path)
    db.executescript(LEFT)
    db.close()
    return path


def dump(path):
    db = sqlite3.connect(path)
    try:
        return list(db.iterdump())
    finally:
        db.close()


def test_opening_it_migrates_every_row(file, opened):
    before = sqlite3.connect(file)
    kept = before.execute("SELECT request_id, version, fence, business_state FROM task ORDER BY 1").fetchall()
    notes = before.execute("SELECT count(*) FROM audit").fetchone()[0]
    before.close()
    store = opened(f"sqlite:///{file}")
    tasks = sorted(store.tasks(), key=lambda task: task.request_id)
    assert [task.request_id for task in tasks] == NAMES
    assert [(t.request_id, t.version, t.fence) for t in tasks] == [row[:3] for row in kept]
    assert {t.mode for t in tasks} == {"live"}
    assert sum(len(store.audit(name)) for name in NAMES) == notes
    assert store.raw("SELECT name FROM sqlite_master WHERE name LIKE 'old%'") == []
    assert store.raw("PRAGMA foreign_key_check") == []
    assert store.raw("PRAGMA integrity_check") == [("ok",)]


def test_an_attempt_in_doubt_gets_its_own_status_and_says_why(file, opened):
    steps = opened(f"sqlite:///{file}").steps("doubt")
    assert [(s.step_id, s.attempt, s.status, s.error_code) for s in steps[-2:]] == [
        (4, 1, "in_doubt", "timeout"),
        (4, 2, "pending", None),
    ]


def test_the_runtimes_own_events_are_dropped_and_those_from_outside_stay(file, opened):
    db = sqlite3.connect(file)
    for n, source in enumerate(("mail", "tool", "signing")):
        db.execute("INSERT INTO event VALUES (?, ?, 'done', 'x', '{}', 1.0, 0, 'early')", (source, f"e{9 - n}"))
    db.commit()
    db.close()
    assert [event.source for event in opened(f"sqlite:///{file}").inbox("done")] == ["mail", "signing"]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_of_it_comes_to_its_end(file, world, name):
    asyncio.run(world.store.close())
    world.path = file
    world.script = [world.wire.lookup(), world.wire.refund(), world.wire.says("Refunded.")]
    world.ledger.update({f"{n}:4": 20 for n in ("done", "doubt", "answers") if n == name})
    world.restart()
    result = world.play(lambda runtime: runtime.resume(name))
    assert (result.outcome, result.answer) == ("success", "Refunded.")
    assert list(world.ledger) == [f"{name}:4"]


def test_what_a_failure_at_any_statement_leaves_is_the_old_file(file, monkeypatch):
    before, real = dump(file), sqlite3.connect
    for number in range(1, 100):

        class Failing(sqlite3.Connection):
            left = number

            def execute(self, statement, *given):
                if self.in_transaction and not statement.lstrip().startswith("SELECT"):
                    Failing.left -= 1
                    if Failing.left == 0:
                        raise sqlite3.OperationalError("disk I/O error")
                return super().execute(statement, *given)

        monkeypatch.setattr(
            opening_module.sqlite3, "connect", lambda *a, _f=Failing, **o: real(*a, **{**o, "factory": _f})
        )
        store = open_store(f"sqlite:///{file}")
        try:
            asyncio.run(look(store))
        except StoreError:
            monkeypatch.setattr(opening_module.sqlite3, "connect", real)
            assert dump(file) == before
        else:
            break
        finally:
            monkeypatch.setattr(opening_module.sqlite3, "connect", real)
    assert number > 25
    assert asyncio.run(schema_state(f"sqlite:///{file}")).layout == 2


async def look(store):
    try:
        await store.load("done")
    finally:
        await store.close()


KILLED = """
import os, signal, sqlite3, sys
from agentfsm.store.opening import open_writer
from agentfsm.store.schema import Schema

class Dying(sqlite3.Connection):
    left = int(sys.argv[2])

    def execute(self, statement, *given):
        done = super().execute(statement, *given)
        Dying.left -= 1
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

real = sqlite3.connect
sqlite3.connect = lambda *a, **o: real(*a, **{**o, "factory": Dying})
from pathlib import Path
open_writer(Path(sys.argv[1]), 5.0, Schema()).close()
"""


@pytest.mark.parametrize("number", [3, 9, 14, 19, 24, 29, 33])
def test_a_migration_that_is_killed_leaves_a_file_that_works(file, opened, number):
    dead = subprocess.run([sys.executable, "-c", KILLED, str(file), str(number)], check=False)
    assert dead.returncode == -9
    store = opened(f"sqlite:///{file}")
    assert sorted(task.request_id for task in store.tasks()) == NAMES
    assert store.put() == 1


def test_a_damaged_value_in_it_does_not_stop_the_migration(file, opened):
    db = sqlite3.connect(file)
    db.execute("UPDATE agent_steps SET output_data = '{broken' WHERE error_code = 'in_doubt'")
    db.commit()
    db.close()
    store = opened(f"sqlite:///{file}")
    assert store.load("done").outcome == "success"
    with pytest.raises(StoreError) as refused:
        store.steps("doubt")
    assert refused.value.code == "corrupt_row"


def test_a_file_of_another_program_is_left_alone(tmp_path, opened):
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT)")
    db.close()
    before = dump(path)
    with pytest.raises(StoreError) as refused:
        opened(f"sqlite:///{path}").load("r1")
    assert refused.value.code == "not_a_store"
    assert dump(path) == before


def test_migrate_says_what_it_did(file):
    url = f"sqlite:///{file}"
    state = asyncio.run(schema_state(url))
    assert (state.layout, state.behind, state.expanded) == (1, True, False)
    state = asyncio.run(migrate(url))
    assert (state.layout, state.readable_by, state.behind, state.expanded) == (2, 2, False, False)
    assert asyncio.run(migrate(url, contract=True)) == state
