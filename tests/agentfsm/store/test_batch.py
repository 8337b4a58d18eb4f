"""Group commit: units that wait together share one transaction, and nothing else."""

import asyncio
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentfsm import Commit, State
from agentfsm.errors import Conflict
from agentfsm.records import Task
from agentfsm.store.batch import Batches


class Bench:
    """A database in memory, a queue before it, and a count of what was said to it."""

    def __init__(self):
        self.said = Counter()
        self.fail_at = None
        self.abandoned = 0
        bench = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *given):
                word = statement.split()[0]
                bench.said[word] += 1
                if word == bench.fail_at:
                    raise sqlite3.OperationalError(f"{word} failed")
                return super().execute(statement, *given)

        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Connection)
        self.db.execute("CREATE TABLE t (n INTEGER)")
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.batches = Batches(self.pool, lambda: self.db, self.abandon, lambda _db, _changes: None)
        self.said.clear()

    def abandon(self):
        self.abandoned += 1

    def write(self, *works):
        """Let all of them wait together; return what each was told."""

        async def main():
            return await asyncio.gather(*(self.batches.write(work) for work in works), return_exceptions=True)

        return asyncio.run(main())

    def rows(self):
        return [row[0] for row in sqlite3.Connection.execute(self.db, "SELECT n FROM t ORDER BY n")]

    def close(self):
        self.pool.shutdown()
        self.db.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def puts(*numbers, then=None):
    def work(db):
        for number in numbers:
            db.execute("INSERT INTO t VALUES (?)", (number,))
        if then is not None:
            raise then
        return numbers[0]

    return work


def test_units_that_wait_together_are_written_together(bench):
    assert bench.write(*(puts(n) for n in range(50))) == list(range(50))
    assert bench.rows() == list(range(50))
    assert bench.said["COMMIT"] <= 3  # 25 at most in one; the first may be under way before the others come


def test_a_conflict_rolls_back_its_own_unit_and_no_other(bench):
    told = bench.write(puts(1, 2), puts(3, 4, then=Conflict("late")), puts(5))
    assert [type(t) for t in told] == [int, Conflict, int]
    assert bench.rows() == [1, 2, 5]


@pytest.mark.parametrize("error", [Conflict("late"), sqlite3.IntegrityError("no"), ValueError("no"), KeyError("bug")])
def test_a_batch_of_one_that_fails_leaves_nothing(bench, error):
    assert bench.write(puts(1, 2, then=error)) == [error]
    assert bench.rows() == []
    assert not bench.db.in_transaction
    assert bench.write(puts(3)) == [3]


@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
def test_a_transaction_that_fails_is_told_to_everybody_in_it_and_leaves_nothing(bench, word):
    bench.fail_at = word
    told = bench.write(*(puts(n) for n in range(5)))
    assert {str(t) for t in told} == {f"{word} failed"}
    assert bench.rows() == []
    bench.fail_at = None
    assert bench.write(puts(7)) == [7]
    assert bench.rows() == [7]


def test_a_unit_that_failed_hears_of_its_own_failure_where_the_commit_fails_too(bench):
    bench.fail_at = "COMMIT"
    told = bench.write(puts(1), puts(2, then=Conflict("late")))
    assert [str(t) for t in told] == ["COMMIT failed", "late"]


def test_a_transaction_that_can_neither_end_nor_be_undone_is_abandoned_with_its_connection(bench):
    bench.fail_at = "ROLLBACK"

    class Gone(BaseException):
        pass

    def breaks(db):
        raise Gone

    (told,) = bench.write(breaks)
    assert isinstance(told, Gone)
    assert bench.abandoned == 1


def test_nobody_hears_of_a_write_before_it_is_durable(bench):
    heard = []

    async def main():
        async def one(n):
            heard.append((await bench.batches.write(puts(n)), bench.db.in_transaction))

        await asyncio.gather(*(one(n) for n in range(20)))

    asyncio.run(main())
    assert {in_transaction for _, in_transaction in heard} <= {False, True}
    assert sorted(n for n, _ in heard) == bench.rows()


def test_a_caller_that_is_cancelled_waits_until_its_unit_is_written(bench):
    async def main():
        job = asyncio.ensure_future(bench.batches.write(puts(1)))
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        return bench.rows()

    assert asyncio.run(main()) == [1]


def test_a_pool_that_is_shut_leaves_nobody_waiting(bench):
    bench.pool.shutdown()
    (told,) = bench.write(puts(1))
    assert told.code == "store_closed"


def commit_of(name):
    return Commit("x", Task(name, "", "w@1", State.INIT, "", 1.0), 1.0)


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "declined"])
def test_commits_of_different_tasks_go_together_and_where_that_is_declined_one_by_one(bench, taken):
    offered = []

    def together(_db, changes):
        offered.append([change.task.request_id for change in changes])
        return [change.task.request_id for change in changes] if taken else None

    bench.batches = Batches(bench.pool, lambda: bench.db, bench.abandon, together)
    entered, leave = threading.Event(), threading.Event()

    async def main():
        ahead = asyncio.ensure_future(bench.batches.write(lambda _db: entered.set() or leave.wait()))
        await asyncio.to_thread(entered.wait)
        jobs = [asyncio.ensure_future(bench.batches.write(puts(n), commit_of(f"t{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        leave.set()
        await ahead
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == (["t0", "t1", "t2"] if taken else [0, 1, 2])
    assert offered == [["t0", "t1", "t2"]]
    assert bench.rows() == ([] if taken else [0, 1, 2])


def test_two_commits_of_one_task_are_never_fused(bench):
    bench.batches = Batches(bench.pool, lambda: bench.db, bench.abandon, lambda *_: pytest.fail("fused"))

    async def main():
        jobs = (bench.batches.write(puts(n), commit_of("same")) for n in range(3))
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == [0, 1, 2]
