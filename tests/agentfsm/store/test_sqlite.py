import asyncio
import sqlite3
from dataclasses import replace

import pytest

from agentfsm import Commit, Conflict, InputChanged, SQLiteStore, State
from agentfsm.errors import StoreError
from agentfsm.reading import snapshot
from agentfsm.records import Inbound, Step, Task
from agentfsm.store.opening import _switch_to_wal

TASK = Task("r1", "text", "w@1", State.PLANNING, "LOOKUP", 1.0)
STEP = Step("r1", 1, 1, "tool", "hash", 1.0, tool="pay", call_id="c", effect_class="idempotent", input_data={"a": 1})
DONE = replace(STEP, status="success", output_data={"receipt": "é"}, finished_at=2.0)


@pytest.fixture
def store(tmp_path):
    made = SQLiteStore(tmp_path / "s.db")
    yield Sync(made)
    asyncio.run(made.close())


class Sync:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return lambda *args: asyncio.run(getattr(self.inner, name)(*args))

    def put(self, version=0, **change):
        return self.commit(Commit("test", replace(TASK, version=version), 1.5, **change)).version


def test_what_is_committed_is_read_back(store):
    assert store.put(inserted=(STEP,), audit=({"kind": "x"},)) == 1
    assert store.load("r1") == replace(TASK, version=1)
    assert store.steps("r1") == [STEP]
    assert store.audit("r1") == [{"kind": "x", "version": 1, "at": 1.5}]
    assert store.load("r2") is None


def test_versions_grow_by_one(store):
    assert [store.put(version) for version in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("stale", [0, 1, 3, 9])
def test_a_stale_version_is_refused_and_nothing_of_it_is_written(store, stale):
    store.put()
    store.put(1)
    with pytest.raises(Conflict) as refused:
        store.put(stale, inserted=(STEP,), audit=({"kind": "x"},), event=Inbound("tool", "e1", "reply"))
    assert refused.value.fields == {"request_id": "r1", "version": stale}
    assert store.load("r1").version == 2
    assert (store.steps("r1"), store.audit("r1")) == ([], [])
    assert store.put(2, inserted=(STEP,), event=Inbound("tool", "e1", "reply")) == 3


def test_an_attempt_is_finished_once(store):
    store.put(inserted=(STEP,))
    store.put(1, finished=(DONE,))
    assert store.steps("r1") == [DONE]
    with pytest.raises(Conflict, match="not pending"):
        store.put(2, finished=(replace(DONE, output_data={"receipt": "other"}),))
    assert store.steps("r1") == [DONE]


def test_a_key_that_is_open_or_done_takes_no_other_attempt_and_a_failed_one_does(store):
    again = replace(STEP, attempt=2)
    store.put(inserted=(STEP,))
    with pytest.raises(InputChanged):
        store.put(1, inserted=(again,))
    store.put(1, finished=(replace(STEP, status="failed", error_code="in_doubt"),), inserted=(again,))
    with pytest.raises(InputChanged):
        store.put(2, finished=(replace(DONE, attempt=2),), inserted=(replace(STEP, attempt=3),))
    assert store.load("r1").version == 2


def test_another_input_under_a_taken_key_is_refused(store):
    store.put(inserted=(replace(STEP, status="failed"),))
    with pytest.raises(InputChanged):
        store.put(1, inserted=(replace(STEP, attempt=2, input_hash="other"),))
    assert store.put(1, inserted=(replace(STEP, attempt=2),)) == 2


def test_an_event_that_is_delivered_twice_is_applied_once(store):
    event = Inbound("user", "e1", "start", {"a": [1]})
    store.put(event=event)
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=event)
    assert store.put(1, event=replace(event, event_id="e2")) == 2


def test_an_event_that_was_applied_can_no_longer_be_ignored_and_a_held_one_can(store):
    event = Inbound("signing", "e1", "signed")
    store.put(event=event)
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=replace(event, reason="late"), moves=False)
    assert store.event("signing", "e1").reason is None
    held = Inbound("signing", "e2", "signed", reason="early")
    store.put(1, event=held, moves=False)
    assert store.inbox("r1") == [held]
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=held, moves=False)
    store.put(1, event=replace(held, reason="late"), moves=False)
    assert (store.inbox("r1"), store.event("signing", "e2").reason) == ([], "late")
    assert store.load("r1").version == 1


def test_a_snapshot_never_joins_a_task_with_the_steps_of_another_version(store):
    store.put()

    class Racing:
        def __init__(self):
            self.late = [Commit("x", replace(TASK, version=1), 1.0, inserted=(STEP,))]

        async def load(self, name):
            return await store.inner.load(name)

        async def steps(self, name):
            if self.late:
                await store.inner.commit(self.late.pop())
            return await store.inner.steps(name)

    task, steps = asyncio.run(snapshot(Racing(), "r1"))
    assert (task.version, steps) == (2, [STEP])


def test_of_two_writers_at_one_version_one_wins(tmp_path):
    async def race():
        stores = [SQLiteStore(tmp_path / "s.db") for _ in range(4)]
        await stores[0].commit(Commit("first", TASK, 1.0))
        same = Commit("second", replace(TASK, version=1), 1.0)
        results = await asyncio.gather(*(s.commit(same) for s in stores), return_exceptions=True)
        results = [getattr(result, "version", result) for result in results]
        for each in stores:
            await each.close()
        return results

    results = asyncio.run(race())
    assert [r for r in results if not isinstance(r, Conflict)] == [2]


def test_stores_that_open_one_fresh_file_at_once_all_work(tmp_path):
    async def race():
        stores = [SQLiteStore(tmp_path / "s.db") for _ in range(8)]
        names = [f"r{i}" for i in range(8)]
        changes = [Commit("x", replace(TASK, request_id=name), 1.0) for name in names]
        versions = [
            r.version for r in await asyncio.gather(*(s.commit(c) for s, c in zip(stores, changes, strict=True)))
        ]
        for each in stores:
            await each.close()
        return versions

    assert asyncio.run(race()) == [1] * 8


def test_the_switch_to_wal_is_tried_again_while_another_process_makes_it():
    class Busy:
        def __init__(self):
            self.said = []

        def execute(self, statement):
            self.said.append(statement)
            if len(self.said) in {1, 4}:
                raise sqlite3.OperationalError("database is locked")

    busy = Busy()
    _switch_to_wal(busy)
    assert busy.said.count("PRAGMA journal_mode = WAL") == 3


def test_the_file_is_safe_against_power_loss(store, tmp_path):
    store.put()
    assert asyncio.run(store.inner._write(lambda db: db.execute("PRAGMA synchronous").fetchone()[0])) == 2
    db = sqlite3.connect(tmp_path / "s.db")
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()


def test_the_step_table_has_the_agreed_columns(store, tmp_path):
    store.put()
    db = sqlite3.connect(tmp_path / "s.db")
    columns = {row[1]: row[5] for row in db.execute("PRAGMA table_info(agent_steps)")}
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    agreed = "request_id step_id attempt status input_hash output_data error_code created_at"
    assert set(agreed.split()) <= set(columns)
    assert [name for name, place in columns.items() if place] == ["request_id", "step_id", "attempt"]
    assert {"task", "agent_steps", "event", "audit"} <= tables


def test_a_cancelled_commit_is_whole_before_the_caller_goes_on(tmp_path):
    async def main():
        store = SQLiteStore(tmp_path / "s.db")
        job = asyncio.create_task(store.commit(Commit("x", TASK, 1.0)))
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        found = await store.load("r1")
        await store.close()
        return found

    assert asyncio.run(main()).version == 1


def test_a_row_of_a_newer_schema_is_refused_and_left_alone(store):
    store.put()
    asyncio.run(store.inner._write(lambda db: db.execute("UPDATE task SET schema_version = 99, readable_by = 99")))
    with pytest.raises(Exception, match="schema 99"):
        store.load("r1")


def test_a_closed_store_says_so_and_may_be_closed_again(tmp_path):
    store = SQLiteStore(tmp_path / "s.db")
    asyncio.run(store.close())
    asyncio.run(store.close())
    with pytest.raises(Exception, match="closed"):
        asyncio.run(store.load("r1"))


def test_a_full_disk_is_a_typed_error_and_the_task_goes_on_once_there_is_room(world):
    def cap(pages):
        store = world.store.inner
        asyncio.run(store._write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}")))

    asyncio.run(world.store.load("r1"))
    cap(1)
    with pytest.raises(StoreError, match="full"):
        world.run(text="refund order 7 " + "x" * 100_000)
    cap(100_000)
    assert world.run(text="refund order 7 " + "x" * 100_000).outcome == "success"
    assert len(world.ledger) == 1


def test_half_a_transaction_is_none(store):
    store.put(inserted=(STEP,))
    with pytest.raises(Conflict):
        store.put(1, inserted=(replace(STEP, step_id=2),), finished=(replace(DONE, step_id=9),))
    assert [step.step_id for step in store.steps("r1")] == [1]
    assert store.load("r1").version == 1
