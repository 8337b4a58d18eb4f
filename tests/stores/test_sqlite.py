"""Commits of SQLite connections as sites, and what a death leaves of a database."""

import sqlite3
import threading
from contextlib import closing

import pytest

from pytest_agent import restartable
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.stores.torn import tear
from pytest_agent.trace import StoreCommitted


def run_it(run, work):
    """What `work(connect)` gives in the first life of an agent, and the labels of its commits."""
    agent = restartable(lambda folder: work(lambda **more: sqlite3.connect(folder / "a.db", **more)))
    with run.inside():
        result = AgentRunner(run.seams, run)(agent)
    return result, [event.label for event in run.trace.of(StoreCommitted) if event.site.endswith(".after")]


def explicit(connect):
    db = connect()
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    db.commit()
    db.commit()


def block(connect):
    with connect() as db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    try:
        with db:
            db.execute("DELETE FROM t")
            db.execute("no SQL")
    except sqlite3.OperationalError:
        return db.execute("SELECT count(*) FROM t").fetchone()


def statements(connect):
    db = connect(isolation_level=None)
    db.execute("-- a comment\n /* and one */ create table t (x)")
    db.execute("WITH one AS (SELECT 1) INSERT INTO t SELECT * FROM one")
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE t SET x = 2")
    db.execute("END")
    db.execute("SELECT * FROM t").fetchall()


def script(connect):
    db = connect()
    db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
    db.execute("INSERT INTO t VALUES (2)")
    db.executescript("SELECT 1;")


@pytest.mark.parametrize(
    ("work", "labels"),
    [
        (explicit, ["CREATE", "COMMIT"]),
        (block, ["CREATE", "COMMIT"]),
        (statements, ["CREATE", "WITH", "END"]),
        (script, ["script", "COMMIT"]),
    ],
)
def test_every_way_to_commit_is_a_site(run_under, work, labels):
    assert run_it(run_under(), work)[1] == labels


def test_connections_of_a_class_of_the_agents_own_are_observed_too(run_under):
    class Mine(sqlite3.Connection):
        def seven(self):
            return 7

    class MyCursor(sqlite3.Cursor):
        def one(self):
            return self.fetchone()[0]

    def work(connect):
        db = connect(factory=Mine)
        cursor = db.cursor(MyCursor)
        cursor.execute("CREATE TABLE t (x)")
        return db.seven(), cursor.execute("SELECT 3").one(), isinstance(db, Mine)

    assert run_it(run_under(), work) == ((7, 3, True), ["CREATE"])


def test_a_connection_is_still_for_its_own_thread_only(run_under):
    def work(connect):
        db, said = connect(), []

        def other():
            try:
                db.execute("SELECT 1")
            except sqlite3.ProgrammingError as error:
                said.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return said

    (said,), _ = run_it(run_under(), work)
    assert said.startswith("SQLite objects created in a thread can only be used in that same thread")


@pytest.mark.parametrize(
    ("fault", "said", "name", "rows"),
    [
        ("store-busy@store:commit#2.before", "database is locked", "SQLITE_BUSY", 0),
        ("commit-acknowledgement-lost@store:commit#2.after", "the connection was lost", "SQLITE_BUSY", 1),
        ("disk-full@store:commit#2.before", "database or disk is full", "SQLITE_FULL", 0),
        ("store-read-only@store:commit#2.before", "attempt to write a readonly database", "SQLITE_READONLY", 0),
        ("store-locked@store:commit#2.before", "database is locked", "SQLITE_BUSY", 0),
    ],
)
def test_a_store_that_fails_says_so_as_sqlite_does(run_under, fault, said, name, rows):
    def work(connect):
        db = connect(isolation_level=None)
        db.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.OperationalError, match=said) as caught:
            db.execute("INSERT INTO t VALUES (1)")
        return caught.value.sqlite_errorname, db.execute("SELECT count(*) FROM t").fetchone()[0]

    run = run_under(fault)
    assert run_it(run, work)[0] == (name, rows)
    assert run.clock.elapsed_s == (5 if fault.startswith("store-locked") else 0)  # as long as the connection waits


def test_a_lock_is_over_after_a_while_and_a_full_disk_is_not(run_under):
    def work(connect):
        db = connect(isolation_level=None, timeout=20)
        failed = 0
        while failed < 9:
            try:
                db.execute("CREATE TABLE t (x)")
                break
            except sqlite3.OperationalError:
                failed += 1
        return failed

    assert run_it(run_under("store-locked@store:commit.before"), work)[0] == 2  # it lasts 30 s
    assert run_it(run_under("disk-full@store:commit.before"), work)[0] == 9


def is_whole(path):
    with closing(sqlite3.connect(path)) as db:
        try:
            return db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        except sqlite3.DatabaseError:
            return False


def test_without_its_journal_a_database_that_was_torn_is_broken(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    before = {"a.db": path.read_bytes()}
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 40)
    torn = tear(before, {"a.db": path.read_bytes()})
    path.write_bytes(torn["a.db"])
    assert not is_whole(path)
    path.write_bytes(torn["a.db"])
    path.with_name("a.db-journal").write_bytes(torn["a.db-journal"])
    assert is_whole(path)
    assert path.read_bytes() == before["a.db"]


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate", "persist"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_torn_write_is_undone_by_sqlite_itself(run_under, mode, n):
    seen = []

    def work(connect):
        db = connect(isolation_level=None)
        seen.append(db.execute("PRAGMA integrity_check").fetchone()[0])
        if len(seen) == 2:
            return db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        db.execute(f"PRAGMA journal_mode = {mode}")
        for step in (1, 2, 3):
            db.execute("BEGIN")
            db.execute(f"CREATE TABLE t{step} (x)")
            db.executemany(f"INSERT INTO t{step} VALUES (?)", [("x" * 900,)] * 40)  # noqa: S608 - a number
            db.execute("COMMIT")
        raise AssertionError("not reached")

    run = run_under(f"torn-last-write@process@store:commit#{n}.after")
    tables, _ = run_it(run, work)
    assert seen == ["ok", "ok"]
    assert tables == n - 1
