"""What is PostgreSQL's own: one gated statement a commit, connections that are lost, locks that do not last."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import asyncpg
import pytest

from agentfsm import Commit, Conflict, State
from agentfsm.committing import commit
from agentfsm.errors import StoreError
from agentfsm.records import Control, Inbound, Incident
from agentfsm.recovery import Retry
from agentfsm.store import migrate, postgres_text, postgres_writes
from agentfsm.store.postgres import PostgresStore
from agentfsm.store.postgres_errors import FAILURES, store_error
from agentfsm.telling import Telling


@pytest.fixture
def store(postgres_url, opened):
    return opened(postgres_url)


class Clock:
    """Sleeping takes no time, or until the server is back."""

    now = 0.0
    back = None

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    async def sleep(self, delay_s):
        self.now += delay_s
        await (self.back.wait() if self.back else asyncio.sleep(0))


def parts_of(store):
    limits = SimpleNamespace(step_s=30.0)
    return SimpleNamespace(store=store, clock=Clock(), limits=limits, retry=Retry(), telling=Telling(None))


def test_a_commit_is_one_statement_and_nothing_else_on_the_wire(store, step, done, monkeypatch):
    store.put(inserted=(step,))
    said = []
    for name in ("fetch", "execute", "fetchrow", "fetchval", "prepare"):
        real = getattr(asyncpg.Connection, name)

        def spy(self, query, *args, _real=real, **options):
            said.append(query)
            return _real(self, query, *args, **options)

        monkeypatch.setattr(asyncpg.Connection, name, spy)
    before = store.run(written(store))
    store.put(
        1,
        finished=(done,),
        inserted=(replace(step, step_id=2),),
        event=Inbound("mail", "e1", "x"),
        audit=({"kind": "x"},),
        incidents=(Incident("r1", "k", "c", "t", "w", 1.0),),
        controls=(Control("a", 1),),
    )
    assert [query.partition(" ")[0] for query in said if "pg_current" not in query] == ["WITH"]
    assert store.run(written(store)) == before + 1


async def written(store):
    """How many transactions have written so far."""
    db = await asyncpg.connect(store.url)
    try:
        return int(await db.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
    finally:
        await db.close()


def refused_whole(store, task, step, done):
    """Let a worker that was taken over bring its result; return whether nothing at all of it was written."""
    store.write(replace(task, fence=2), inserted=(step,))
    before = store.whole()
    late = replace(task, version=1, fence=1)
    with pytest.raises(Conflict):
        store.write(
            late,
            finished=(done,),
            inserted=(replace(step, step_id=2),),
            event=Inbound("mail", "e1", "x"),
            audit=({"kind": "x"},),
            incidents=(Incident("r1", "k", "c", "t", "w", 1.0),),
            controls=(Control("a", 1),),
        )
    return store.whole() == before


def test_nothing_of_a_commit_under_a_stale_fence_is_written(store, task, step, done):
    assert refused_whole(store, task, step, done)


@pytest.mark.parametrize("part", ["_finished", "_inserted", "_arrived", "_controls", "_incidents", "_insert"])
def test_each_part_without_its_gate_would_be_found_out(store, task, step, done, part, monkeypatch):
    """The planted bug: the part no longer reads FROM the change of the task."""
    real = getattr(postgres_text, part)

    def ungated(*args):
        made = real(*args)
        if isinstance(made, dict):
            return {name: text.replace(" FROM moved", "") for name, text in made.items()}
        return made.replace(" FROM moved ", " FROM (SELECT) AS nothing ")

    monkeypatch.setattr(postgres_text, part, ungated)
    monkeypatch.setattr(postgres_writes, "text", postgres_text.text.__wrapped__)
    assert not refused_whole(store, task, step, done)


def test_a_crash_of_the_server_costs_time_and_nothing_else(store, task, step, postgres):
    parts = parts_of(store.inner)
    store.put(inserted=(step,))
    postgres.crash()
    receipt = store.run(commit(parts, Commit("x", replace(task, version=1), 1.0)))
    assert receipt.version == 2
    assert store.load("r1").version == 2
    assert store.steps("r1") == [step]


def test_reading_goes_on_after_a_crash_of_the_server(store, postgres):
    store.put()
    postgres.crash()
    assert store.load("r1").version == 1


def test_a_crash_in_the_middle_of_a_commit_leaves_it_whole_or_undone(store, task, step, postgres):
    """The statement hangs on a row that somebody holds; the server dies; the write is tried again."""
    store.put()
    parts = parts_of(store.inner)

    async def main():
        parts.clock.back = asyncio.Event()
        other = await asyncpg.connect(store.url)
        held = other.transaction()
        await held.start()
        await other.execute("SELECT * FROM task FOR UPDATE")
        change = Commit("x", replace(task, version=1), 1.0, inserted=(step,))
        job = asyncio.ensure_future(commit(parts, change))
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not job.done()
        await asyncio.to_thread(postgres.crash)
        parts.clock.back.set()
        other.terminate()
        return await job

    assert store.run(main()).version == 2
    assert (store.load("r1").version, store.steps("r1")) == (2, [step])


def test_a_server_that_is_not_there_is_a_typed_error_that_may_pass(opened):
    door = opened("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError) as refused:
        door.load("r1")
    assert (refused.value.code, refused.value.passing) == ("unavailable", True)


def test_a_row_that_is_held_too_long_is_a_typed_error_and_nothing_is_written(store, task):
    store.put()
    impatient = PostgresStore(store.url, wait_s=0.2)
    store.opened.append(impatient)

    async def main():
        other = await asyncpg.connect(store.url)
        async with other.transaction():
            await other.execute("SELECT * FROM task FOR UPDATE")
            with pytest.raises(StoreError) as refused:
                await impatient.commit(Commit("x", replace(task, version=1), 1.0))
        await other.close()
        return refused.value

    error = store.run(main())
    assert (error.code, error.passing) == ("unavailable", True)
    assert store.load("r1").version == 1
    assert store.run(impatient.commit(Commit("x", replace(task, version=1), 1.0))).version == 2


def test_no_lock_outlives_a_statement(store, task, step):
    """A tool may run for hours: the row of its task is free meanwhile."""
    store.write(replace(task, owner="me", lease_until=99.0), inserted=(step,))
    store.claim("me", ["w@1"], 9.0, 5.0, 5)
    held = "SELECT count(*) FROM pg_locks WHERE locktype IN ('tuple', 'transactionid') AND pid <> pg_backend_pid()"
    assert store.raw(held) == [(0,)]
    assert store.raw("SELECT request_id FROM task FOR UPDATE NOWAIT") == [("r1",)]


def test_a_claim_skips_what_another_is_about_to_change(store, task):
    for n in range(3):
        store.write(replace(task, request_id=f"r{n}"))

    async def main():
        other = await asyncpg.connect(store.url)
        async with other.transaction():
            await other.execute("SELECT * FROM task WHERE request_id = 'r1' FOR UPDATE")
            claimed = await store.inner.claim("me", ["w@1"], 9.0, 5.0, 5)
        await other.close()
        return claimed

    assert [t.request_id for t in store.run(main())] == ["r0", "r2"]


def test_commits_are_durable_whatever_the_database_thinks(store):
    store.raw(f"ALTER DATABASE {store.url.rpartition('/')[2]} SET synchronous_commit = off")
    fresh = store.open()
    found = store.run(fresh._database.read("SELECT current_setting('synchronous_commit')"))
    assert found[0][0] == "on"


def test_controls_become_visible_in_the_order_of_their_numbers(store):
    """A worker that has seen a number has seen every change up to it."""

    async def main():
        stores = [store.inner, store.open(), store.open()]
        jobs = [s.set_control(f"c{n}", n, 1.0) for n in range(10) for s in stores]
        await asyncio.gather(*jobs)
        return await store.inner.controls()

    last, found = store.run(main())
    assert last == 30
    assert {control.version for control in found.values()} == {3}


def test_a_read_only_database_is_a_typed_error(store):
    store.put()
    store.raw(f"ALTER DATABASE {store.url.rpartition('/')[2]} SET default_transaction_read_only = on")
    reader = store.open()
    assert store.run(reader.load("r1")).version == 1
    with pytest.raises(StoreError) as refused:
        store.run(reader.request_cancel("r1"))
    assert (refused.value.code, refused.value.passing) == ("read_only", False)


def test_a_full_disk_has_the_code_it_has_everywhere():
    error = store_error("postgresql://host/db", asyncpg.DiskFullError("could not extend file"))
    assert (error.code, error.passing) == ("disk_full", False)
    assert "make room" in str(error)
    assert store_error("x", asyncpg.DataCorruptedError("invalid page")).code == "corrupt_file"
    assert store_error("x", asyncpg.DeadlockDetectedError("deadlock")).passing
    assert store_error("x", asyncpg.TooManyConnectionsError("sorry, too many clients already")).passing


def test_a_store_belongs_to_one_event_loop(store):
    store.put()
    with pytest.raises(StoreError) as refused:
        asyncio.run(store.inner.load("r1"))
    assert refused.value.code == "wrong_loop"


def test_names_are_what_they_are_in_a_database_of_any_language(postgres, opened, task):
    door = opened(postgres.empty(" LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0"))
    door.run(migrate(door.url))
    for n, label in enumerate(("w@1", "w0@1", "W@1", "w-@1", "ww@1")):
        ended = {"fsm_state": State.DONE, "outcome": "success", "workflow": label}
        door.write(replace(task, request_id=f"r{n}", **ended))
    assert door.outcomes("w") == {"w@1": {"success": 1}}
    for name in ("b", "B", "a", "_"):
        door.write(replace(task, request_id=name))
    assert [t.request_id for t in door.claim("me", ["w@1"], 9.0, 5.0, 9)] == ["B", "_", "a", "b"]


def test_changes_of_a_task_stay_on_its_page(store, task):
    """No index has to follow a step, so that old versions of the row are cleared away at once."""
    for version in range(40):
        store.put(version)
    store.raw("SELECT pg_stat_force_next_flush()")
    store.close()
    hot, updates = store.raw("SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'task'")[0]
    assert hot >= 0.9 * updates > 30


def at_once(store, task, names, version=1):
    """Commits of these tasks, under way."""
    changes = (Commit("x", replace(task, request_id=name, version=version), 1.0) for name in names)
    return [asyncio.ensure_future(store.commit(change)) for change in changes]


@pytest.mark.parametrize("held", [["r7"], ["r0", "r1", "r7", "r40"]], ids=["one", "several"])
def test_a_row_that_is_held_keeps_no_other_task_waiting(store, task, held):
    """Neither those of its batch nor those of the next: they are written while it is still held."""
    names = [f"r{n}" for n in range(60)]

    async def main():
        await asyncio.gather(*at_once(store.inner, task, names, 0))
        other = await asyncpg.connect(store.url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT * FROM task WHERE request_id = ANY($1::text[]) FOR UPDATE", held)
        jobs = dict(zip(names, at_once(store.inner, task, names), strict=True))
        free = await asyncio.gather(*(job for name, job in jobs.items() if name not in held))
        assert not any(jobs[name].done() for name in held)
        await transaction.rollback()
        await other.close()
        return free + await asyncio.gather(*(jobs[name] for name in held))

    assert {receipt.version for receipt in store.run(main())} == {2}


def test_a_store_that_never_rests_closes(store, task):
    """What is under way is written, and what would come after it is refused."""
    heard = {}

    async def goes_on(name):
        for version in range(10_000):
            (job,) = at_once(store.inner, task, [name], version)
            heard[name] = (await job).version

    async def main():
        jobs = [asyncio.ensure_future(goes_on(f"r{n}")) for n in range(40)]
        while len(heard) < 40:
            await asyncio.sleep(0)
        await store.inner.close()
        return await asyncio.gather(*jobs, return_exceptions=True)

    assert {error.code for error in store.run(main())} == {"store_closed"}
    assert dict(store.raw("SELECT request_id, version FROM task")) == heard


def test_a_commit_of_another_event_loop_is_refused_while_batches_are_under_way(store, task):
    names = [f"r{n}" for n in range(60)]

    async def main():
        await asyncio.gather(*at_once(store.inner, task, names, 0))
        jobs = at_once(store.inner, task, names)
        await asyncio.sleep(0)
        with pytest.raises(StoreError) as refused:
            await asyncio.to_thread(lambda: asyncio.run(store.inner.commit(Commit("x", task, 1.0))))
        await asyncio.gather(*jobs)
        return refused.value

    assert store.run(main()).code == "wrong_loop"


class Wire:
    """Between the store and its server; once `armed`, what is large gets through and its answer does not come back."""

    LARGE = 20_000

    def __init__(self, url):
        self.host, _, self.name = url.rpartition("@")[2].partition("/")
        self.armed, self.ends = False, []

    async def open(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"postgresql://bench@127.0.0.1:{self.server.sockets[0].getsockname()[1]}/{self.name}"

    async def _serve(self, reader, writer):
        host, _, port = self.host.partition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        self.ends += [writer, forth]
        asked = 0

        async def ask():
            nonlocal asked
            while said := await reader.read(65536):
                asked += len(said)
                forth.write(said)

        async def answer():
            nonlocal asked
            while said := await back.read(65536):
                if not (self.armed and asked > self.LARGE):
                    asked = 0
                    writer.write(said)

        await asyncio.wait(
            [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())], return_when="FIRST_COMPLETED"
        )
        writer.close()
        forth.close()

    async def close(self):
        self.server.close()
        self.cut()
        await self.server.wait_closed()

    def cut(self):
        """Lose every connection, in both directions."""
        self.armed = False
        for end in self.ends:
            end.transport.abort()


def test_the_acknowledgement_of_many_that_is_lost_is_no_conflict_for_any_of_them(store, task):
    large = replace(task, business_state={"x": "x" * 2000})
    wire = Wire(store.url)

    async def main():
        far = PostgresStore(await wire.open())
        other = await asyncpg.connect(store.url)
        parts = parts_of(far)
        parts.clock.back = asyncio.Event()
        await asyncio.gather(*at_once(far, large, [f"r{n}" for n in range(50)], 0))
        wire.armed = True
        changes = (Commit("x", replace(large, request_id=f"r{n}", version=1), 1.0) for n in range(50))
        jobs = [asyncio.ensure_future(commit(parts, change)) for change in changes]
        while await other.fetchval("SELECT count(*) FROM task WHERE version = 2") < 27:
            await asyncio.sleep(0)
        assert sum(job.done() for job in jobs) <= 2  # those that went ahead
        wire.cut()
        parts.clock.back.set()
        receipts = await asyncio.gather(*jobs)
        await other.close()
        await far.close()
        await wire.close()
        return receipts

    assert {receipt.version for receipt in store.run(main())} == {2}
    assert store.raw("SELECT count(*) FROM task WHERE version = 2") == [(50,)]


def test_whatever_the_driver_says_of_a_connection_that_just_ended_may_pass():
    error = store_error("x", asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress"))
    assert asyncpg.InternalClientError in FAILURES
    assert (error.code, error.passing) == ("unavailable", True)
