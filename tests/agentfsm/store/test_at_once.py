"""Commits that go in together: each caller hears what became of its own, and of no other."""

import asyncio
from dataclasses import replace

import pytest

from agentfsm import Commit
from agentfsm.records import Receipt


@pytest.fixture
def at_once(store):
    """Commit many at the same time; return what each was told."""

    def commit(changes, into=None):
        async def main():
            jobs = ((into or store.inner).commit(change) for change in changes)
            return await asyncio.gather(*jobs, return_exceptions=True)

        return store.run(main())

    return commit


def named(task, step, name, **change):
    return Commit("x", replace(task, request_id=name, **change), 1.0, inserted=(replace(step, request_id=name),))


def nested():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("count", [1, 2, 24, 25, 26, 49, 50, 51, 76])
def test_however_many_there_are_each_is_written_once(store, task, step, at_once, count):
    names = [f"r{n}" for n in range(count)]
    assert at_once(named(task, step, name) for name in names) == [Receipt(1)] * count
    moves = [Commit("x", replace(task, request_id=name, version=1), 2.0, audit=({"n": 1},)) for name in names]
    assert at_once(moves) == [Receipt(2)] * count
    assert sorted(store.raw("SELECT request_id, version FROM task")) == sorted((name, 2) for name in names)
    for table in ("agent_steps", "audit"):
        assert store.raw(f"SELECT count(*) FROM {table}") == [(count,)]  # noqa: S608


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"text": None}, "constraint"),
        ({"created_at": None}, "constraint"),
        ({"text": "x" * 1_000_001}, "too_large"),
        ({"answer": "\ud800"}, "unstorable"),
        ({"cause": "\0"}, "unstorable"),
        ({"fence": 2**63}, "unstorable"),
        ({"business_state": {"x": object()}}, "unstorable"),
        ({"business_state": {"x": nested()}}, "unstorable"),
        ({"text": 3}, TypeError),
    ],
    ids=["null", "no-time", "large", "surrogate", "nul", "integer", "object", "nested", "type"],
)
def test_what_is_wrong_with_one_is_told_to_its_caller_and_its_neighbours_are_written(
    store, task, step, at_once, wrong, error
):
    changes = [named(task, step, f"r{n}", **(wrong if n == 9 else {})) for n in range(20)]
    told = at_once(changes)
    fault = told.pop(9)
    assert (type(fault) if error is TypeError else fault.code) == error
    assert told == [Receipt(1)] * 19
    assert {name for (name,) in store.raw("SELECT request_id FROM task")} == {f"r{n}" for n in range(20) if n != 9}


def test_rows_are_the_same_whether_they_came_alone_or_together(store, task, step, done, at_once):
    """Down to the types that SQLite gives its values, and the sign of a zero."""
    floats = [0.0, -0.0, 1e308, 5e-324, 2**53 + 1, True, 1.5, float("inf"), float("nan")]
    texts = ["", "a\u2028", "🙂", "'", "\\", "null", "NULL", "{}", "{a,b}", "\t\n", "1", "1.0", "x" * 999_000]
    places = [*({"wait_until": f, "next_run_at": f} for f in floats), *({"answer": t} for t in texts)]
    steps = [*({"not_before": f, "finished_at": f} for f in floats), *({"input_data": t} for t in texts)]

    def changes(kind, version):
        for n, (values, more) in enumerate(zip(places, steps, strict=True)):
            name = f"{kind}{n}"
            mine = replace(task, request_id=name, version=version, business_state={"i": 2**200, "f": -0.0}, **values)
            begun = replace(step, request_id=name, step_id=version + 1, **more)
            ended = replace(done, request_id=name, finished_at=more.get("finished_at", 0.0), error_class="é")
            yield Commit("x", mine, 2.5, (ended,) if version else (), (begun,), audit=({"f": 0.1},) if n % 2 else ())

    for version in (0, 1):
        at_once(changes("t", version))
        for change in changes("a", version):
            store.commit(change)
    for table in ("task", "agent_steps", "audit"):
        kept = ", ".join(typed(store, name) for name in columns(store, table) if name not in {"seq", "idempotency_key"})
        rows = store.raw(f"SELECT {kept} FROM {table}")  # noqa: S608
        alone, together = (sorted(repr(row[1:]) for row in rows if row[0].startswith(kind)) for kind in "at")
        assert len(alone) > len(places) // 2 - 1
        assert alone == together


def columns(store, table):
    if store.url.startswith("sqlite"):
        return [row[1] for row in store.raw(f"PRAGMA table_xinfo({table})")]
    said = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"  # noqa: S608
    return [name for (name,) in store.raw(said)]


def typed(store, name):
    """What to select of a column: in SQLite its type as well, value by value."""
    return name if name == "request_id" or not store.url.startswith("sqlite") else f"typeof({name}), {name}"


def test_a_receipt_of_many_tells_whose_end_is_asked_for_and_the_last_change_of_a_control(store, task, step, at_once):
    at_once(named(task, step, f"r{n}") for n in range(30))
    for n in (3, 29):
        store.request_cancel(f"r{n}")
    assert store.set_control("flag", True, 1.0) == 1
    told = at_once(Commit("x", replace(task, request_id=f"r{n}", version=1), 2.0) for n in range(30))
    assert told == [Receipt(2, 1, n in {3, 29}) for n in range(30)]


def test_two_stores_that_start_the_same_tasks_in_another_order_share_them_out(store, task, step):
    async def main():
        stores = [store.inner, store.open()]
        await asyncio.gather(*(each.controls() for each in stores))
        jobs = []
        for n in range(60):
            for each, name in zip(stores, (f"r{n}", f"r{59 - n}"), strict=True):
                jobs.append(each.commit(named(task, step, name)))
        return await asyncio.gather(*jobs, return_exceptions=True)

    told = store.run(main())
    assert sorted(getattr(each, "code", "written") for each in told) == ["conflict"] * 60 + ["written"] * 60
    assert store.raw("SELECT count(*), sum(version) FROM task") == [(60, 60)]
