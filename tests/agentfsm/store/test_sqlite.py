"""What is SQLite's own: the file, its journal, its disk."""

import asyncio
import sqlite3
import threading
from dataclasses import replace

import pytest

from agentfsm import Commit, SQLiteStore
from agentfsm.errors import StoreError
from agentfsm.records import Receipt
from agentfsm.store import open_store, sqlite_fused
from agentfsm.store.opening import _switch_to_wal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.db"


@pytest.fixture
def store(path, opened):
    return opened(f"sqlite:///{path}")


def writer(store, work):
    """Do something on the writer's own connection."""
    return store.run(store.inner._file._batches.write(work))


def test_stores_that_open_one_fresh_file_at_once_all_work(path, task):
    async def race():
        stores = [SQLiteStore(path) for _ in range(8)]
        changes = [Commit("x", replace(task, request_id=f"r{n}"), 1.0) for n in range(8)]
        versions = await asyncio.gather(*(s.commit(c) for s, c in zip(stores, changes, strict=True)))
        for each in stores:
            await each.close()
        return [receipt.version for receipt in versions]

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


def test_the_file_is_safe_against_power_loss(store):
    store.put()
    assert writer(store, lambda db: db.execute("PRAGMA synchronous").fetchone()[0]) == 2
    assert store.raw("PRAGMA journal_mode") == [("wal",)]


def test_the_step_table_has_the_agreed_columns(store):
    store.put()
    columns = {row[1]: row[5] for row in store.raw("PRAGMA table_info(agent_steps)")}
    tables = {row[0] for row in store.raw("SELECT name FROM sqlite_master WHERE type = 'table'")}
    agreed = "request_id step_id attempt status input_hash output_data error_code created_at"
    assert set(agreed.split()) <= set(columns)
    assert [name for name, place in columns.items() if place] == ["request_id", "step_id", "attempt"]
    assert {"task", "agent_steps", "event", "audit", "control", "incident"} <= tables


def test_what_is_due_is_found_by_an_index(store):
    store.put()
    plan = store.raw("EXPLAIN QUERY PLAN SELECT request_id FROM task WHERE due_at <= 5 ORDER BY due_at, request_id")
    assert [row[3] for row in plan] == ["SEARCH task USING INDEX task_due (due_at<?)"]


def test_a_full_disk_is_a_typed_error_and_the_store_goes_on_once_there_is_room(store, task):
    store.put()
    before = store.whole()
    writer(store, lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreError, match="make room") as refused:
        store.write(replace(task, request_id="r2", text="x" * 200_000))
    assert refused.value.code == "disk_full"
    assert not refused.value.passing
    assert store.whole() == before
    writer(store, lambda db: db.execute("PRAGMA max_page_count = 100000").fetchall())
    assert store.write(replace(task, request_id="r2", text="x" * 200_000)).version == 1


def test_a_full_disk_fails_the_large_unit_and_what_shared_its_transaction_tells_the_truth(store, task):
    """Whatever a caller was told is so: who got a version is stored, who got an error is not."""
    store.put()
    writer(store, lambda db: db.execute("PRAGMA max_page_count = 40").fetchall())

    async def together():
        many = [replace(task, request_id=f"s{n}", text="x" * (200_000 if n == 3 else 10)) for n in range(6)]
        jobs = (store.inner.commit(Commit("x", one, 1.0)) for one in many)
        return await asyncio.gather(*jobs, return_exceptions=True)

    told = store.run(together())
    assert isinstance(told[3], StoreError)
    stored = {row[0] for row in store.raw("SELECT request_id FROM task")} - {"r1"}
    assert stored == {f"s{n}" for n, result in enumerate(told) if not isinstance(result, StoreError)}


def test_a_read_only_file_is_read_and_never_written(store, path, opened):
    store.put()
    reader = opened(f"sqlite:///{path}?mode=ro")
    assert reader.load("r1").version == 1
    with pytest.raises(StoreError) as refused:
        reader.put(1)
    assert refused.value.code == "read_only"
    assert store.put(1) == 2
    assert reader.load("r1").version == 2


def test_a_connection_that_cannot_write_is_a_typed_error(store):
    store.put()
    writer(store, lambda db: None)
    store.inner._file._write_connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError) as refused:
        store.put(1)
    assert refused.value.code == "read_only"
    store.inner._file._write_connection.execute("PRAGMA query_only = 0")
    assert store.put(1) == 2


def test_a_file_that_nothing_can_be_read_from_is_left_as_it_is(path, opened):
    path.write_bytes(b"this is no database, whatever its name says. " * 200)
    before = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        opened(f"sqlite:///{path}").load("r1")
    assert refused.value.code == "corrupt_file"
    assert path.read_bytes() == before


def test_a_damaged_page_is_a_typed_error(store, path, opened, task):
    for n in range(50):
        store.write(replace(task, request_id=f"r{n}", text="x" * 2000))
    store.close_all()
    store.opened, store.runner = [], asyncio.Runner()
    with path.open("r+b") as file:
        for page in range(3, 20):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    damaged = opened(f"sqlite:///{path}")
    with pytest.raises(StoreError) as refused:
        damaged.tasks(limit=50)
    assert refused.value.code in {"corrupt_file", "corrupt_row"}
    assert "xxxx" not in str(refused.value)


def test_a_missing_folder_is_a_typed_error(tmp_path, opened):
    with pytest.raises(StoreError, match="the folder has to exist") as refused:
        opened(f"sqlite:///{tmp_path}/none/s.db").put()
    assert refused.value.code == "cannot_open"


def test_another_process_that_writes_all_the_time_is_waited_for_and_then_told(store, path):
    store.put()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    impatient = SQLiteStore(path, busy_s=0.05)
    store.opened.append(impatient)
    with pytest.raises(StoreError, match="writing all the time") as refused:
        store.run(impatient.request_cancel("r1"))
    assert (refused.value.code, refused.value.passing) == ("locked", True)
    assert store.run(impatient.load("r1")).version == 1  # reading waits for nobody
    other.execute("ROLLBACK")
    other.close()
    assert store.run(impatient.request_cancel("r1"))


def test_a_reader_is_never_held_up_by_the_writer(store, task):
    store.put()
    entered, go_on = threading.Event(), threading.Event()

    async def main():
        writing = asyncio.ensure_future(store.inner._file.write(lambda _db: (entered.set(), go_on.wait(20))))
        await asyncio.to_thread(entered.wait, 20)
        found = await store.inner.load("r1")
        assert not writing.done()
        go_on.set()
        await writing
        return found

    assert store.run(main()).version == 1


def test_one_store_serves_the_event_loops_of_several_threads(path, task):
    store = SQLiteStore(path)
    found = []

    def work(n):
        async def main():
            mine = replace(task, request_id=f"r{n}")
            jobs = (store.commit(Commit("x", replace(mine, request_id=f"r{n}-{k}"), 1.0)) for k in range(20))
            return [receipt.version for receipt in await asyncio.gather(*jobs)]

        found.extend(asyncio.run(main()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [1] * 80
    asyncio.run(store.close())


def test_a_store_is_no_file_until_it_is_used(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/new.db")
    assert list(tmp_path.iterdir()) == []
    assert asyncio.run(store.load("r1")) is None
    assert (tmp_path / "new.db").exists()
    asyncio.run(store.close())


def together(store, changes):
    """Let commits wait until all of them are there, and go in as one statement; return what each was told."""
    entered, go_on = threading.Event(), threading.Event()

    def ahead(_db):
        entered.set()
        go_on.wait(20)

    async def main():
        first = asyncio.ensure_future(store.inner._file._batches.write(ahead))
        await asyncio.to_thread(entered.wait, 20)
        jobs = [asyncio.ensure_future(store.inner.commit(change)) for change in changes]
        await asyncio.sleep(0)
        go_on.set()
        await first
        return await asyncio.gather(*jobs, return_exceptions=True)

    return store.run(main())


def many(task, version=0, names="r"):
    tasks = (replace(task, request_id=f"{names}{n}", version=version) for n in range(20))
    return [Commit("x", each, 1.0, audit=({"n": 1},)) for each in tasks]


def test_many_wait_for_another_process_no_longer_than_one_does(store, path, task):
    """They are not tried one by one after that, which would be waiting once more."""
    store.inner = SQLiteStore(path, busy_s=0.05)
    store.opened.append(store.inner)
    assert together(store, many(task)) == [Receipt(1)] * 20
    other, said = sqlite3.connect(path, isolation_level=None), []
    store.inner._file._write_connection.set_trace_callback(said.append)
    other.execute("BEGIN IMMEDIATE")
    told = store.run(at_once(store.inner, many(task, 1)))
    assert {(error.code, error.passing) for error in told} == {("locked", True)}
    assert said.count("BEGIN IMMEDIATE") <= 1  # of the one that went ahead of the others
    other.execute("ROLLBACK")
    other.close()
    assert together(store, many(task, 1)) == [Receipt(2)] * 20


async def at_once(store, changes):
    return await asyncio.gather(*(store.commit(change) for change in changes), return_exceptions=True)


def test_many_that_were_written_are_not_said_to_be_unwritten(store, task, monkeypatch):
    """What a statement after theirs meets may pass: their callers look, and find them."""
    with monkeypatch.context() as broken:
        broken.setattr(sqlite_fused, "_after", lambda _count: "SELECT nothing")
        told = together(store, many(task))
    assert {(error.code, error.passing) for error in told} == {("unavailable", True)}
    assert store.raw("SELECT count(*), sum(version) FROM task") == [(20, 20)]
    assert together(store, many(task, 1)) == [Receipt(2)] * 20


@pytest.mark.parametrize(
    ("broken", "healed", "code"),
    [("max_page_count = 1", "max_page_count = 100000", "disk_full"), ("query_only = 1", "query_only = 0", "read_only")],
)
def test_many_that_cannot_be_written_are_told_why_and_nothing_of_them_is(store, task, broken, healed, code):
    store.put()
    before = store.whole()
    fresh = many(replace(task, text="x" * 3000), names="s")
    store.inner._file._write_connection.execute(f"PRAGMA {broken}").fetchall()
    told = store.run(at_once(store.inner, fresh))
    assert {error.code for error in told} == {code}
    assert store.whole() == before
    store.inner._file._write_connection.execute(f"PRAGMA {healed}").fetchall()
    assert together(store, fresh) == [Receipt(1)] * 20


def test_a_connection_that_cannot_be_made_ready_for_many_tells_all_of_them_and_takes_them_later(
    store, task, monkeypatch
):
    prepare = sqlite_fused.prepare

    def breaks(db):
        prepare(db)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite_fused, "prepare", breaks)
        told = together(store, many(task))
    assert ["disk I/O error" in str(error) for error in told] == [True] * 20
    assert store.put() == 1
    assert together(store, many(task, names="s")) == [Receipt(1)] * 20


@pytest.mark.parametrize("made", [True, False], ids=["file", "none"])
def test_a_store_that_is_closed_while_it_reads_and_writes_leaves_no_connection_open(path, task, made):
    async def main():
        store = SQLiteStore(path)
        if made:
            await store.commit(Commit("x", task, 1.0))
        works = (store.load("r1"), store.steps("r1"), *(store.commit(change) for change in many(task, names="s")))
        jobs = [asyncio.ensure_future(work) for work in works]
        await asyncio.sleep(0)
        await store.close()
        return store, await asyncio.gather(*jobs)

    store, told = asyncio.run(main())
    assert told[2:] == [Receipt(1)] * 20
    assert (store._file._read_connection, store._file._write_connection) == (None, None)


def test_what_another_thread_closes_in_the_middle_of_a_read_says_so(path):
    async def main():
        store = SQLiteStore(path)
        await store.controls()
        await asyncio.get_running_loop().run_in_executor(store._file._reader, int)  # its thread has nothing left to do
        real = store._file._reader.submit

        def closed_first(*given):
            store._file._reader.submit = real
            closing = threading.Thread(target=lambda: asyncio.run(store.close()))
            closing.start()
            closing.join(20)
            return real(*given)

        store._file._reader.submit = closed_first
        with pytest.raises(StoreError) as refused:
            await store.load("r1")
        return refused.value.code

    assert asyncio.run(main()) == "store_closed"
