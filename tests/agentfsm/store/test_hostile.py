"""Bad rows, bad values, bad moments: a typed error with a stable code on both stores, and state unharmed."""

import asyncio
import pickle
from dataclasses import replace

import pytest

from agentfsm import Commit, State
from agentfsm.errors import StoreError
from agentfsm.records import Control, Inbound, Incident, Receipt
from agentfsm.store.packing import MOST_CHARACTERS


def raised(act, *args, **options):
    with pytest.raises(StoreError) as refused:
        act(*args, **options)
    return refused.value


def code_of(act, *args, **options):
    return raised(act, *args, **options).code


@pytest.mark.parametrize("damage", ["business_state = '{\"a\": '", "budget_used = 'x'", "fsm_state = 'ASLEEP'"])
def test_a_damaged_task_is_refused_by_name_and_its_neighbours_are_not(store, task, damage):
    store.put()
    store.write(replace(task, request_id="r2"))
    store.raw(f"UPDATE task SET {damage} WHERE request_id = 'r1'")  # noqa: S608
    before = store.whole()
    with pytest.raises(StoreError, match="'r1' cannot be read") as refused:
        store.load("r1")
    assert (refused.value.code, refused.value.fields["request_id"]) == ("corrupt_row", "r1")
    assert store.load("r2").request_id == "r2"
    assert store.whole() == before


def test_a_damaged_answer_of_a_step_is_refused(store, step):
    store.put(inserted=(step,))
    store.raw("UPDATE agent_steps SET input_data = 'nothing'")
    assert code_of(store.steps, "r1") == "corrupt_row"


def test_a_claim_leaves_a_damaged_task_to_its_lease_and_takes_the_others(store, task, caplog):
    for name in ("r1", "r2", "r3"):
        store.write(replace(task, request_id=name))
    store.raw("UPDATE task SET business_state = '[' WHERE request_id = 'r2'")
    assert [t.request_id for t in store.claim("me", ["w@1"], 9.0, 5.0, 5)] == ["r1", "r3"]
    assert "'r2' cannot be read" in caplog.text
    assert store.claim("me", ["w@1"], 9.0, 5.0, 5) == []


def test_a_row_of_a_newer_schema_is_refused_and_left_alone(store, task):
    store.put()
    store.write(replace(task, request_id="r2"))
    store.raw("UPDATE task SET schema_version = 99, readable_by = 98 WHERE request_id = 'r1'")
    before = store.whole()
    assert code_of(store.load, "r1") == "newer_schema"
    assert store.whole() == before
    assert [t.request_id for t in store.claim("me", ["w@1"], 9.0, 5.0, 5)] == ["r2"]
    assert [row for row in store.whole()["task"] if row[0] == "r1"] == [r for r in before["task"] if r[0] == "r1"]


@pytest.mark.parametrize(
    "change",
    [
        {"inserted": True},
        {"finished": True},
        {"event": Inbound("mail", "e1", "x", "x" * MOST_CHARACTERS)},
        {"incidents": (Incident("r1", "k", "c", "t", "w", 1.0, None, {"x": "y" * MOST_CHARACTERS}),)},
        {"controls": (Control("c", "x" * MOST_CHARACTERS),)},
        {"audit": ({"kind": "x" * MOST_CHARACTERS},)},
    ],
    ids=["input", "answer", "payload", "incident", "control", "audit"],
)
def test_what_is_too_large_is_refused_whole(store, step, done, change):
    store.put(inserted=(step,))
    before = store.whole()
    if "inserted" in change:
        change = {"inserted": (replace(step, step_id=2, input_data="x" * MOST_CHARACTERS),)}
    if "finished" in change:
        change = {"finished": (replace(done, output_data=["x" * MOST_CHARACTERS]),)}
    assert code_of(store.put, 1, **change) == "too_large"
    assert store.whole() == before


def test_an_integer_that_no_column_holds_is_refused_and_leaves_the_others_alone(store, task):
    async def at_once():
        tasks = (replace(task, request_id=f"r{n}", attempt=2**70 if n == 2 else 1) for n in range(5))
        return await asyncio.gather(
            *(store.inner.commit(Commit("x", each, 1.0)) for each in tasks), return_exceptions=True
        )

    told = store.run(at_once())
    assert [getattr(each, "code", each) for each in told] == [Receipt(1)] * 2 + ["unstorable"] + [Receipt(1)] * 2


def test_a_row_that_the_tables_refuse_is_not_tried_again(store, task, step):
    store.put()
    error = raised(store.put, 1, incidents=(Incident("r1", None, "c", "t", "w", 1.0),))
    assert (error.code, error.passing) == ("constraint", False)


@pytest.mark.parametrize("field", ["text", "answer", "business_state"])
def test_a_task_that_is_too_large_is_refused(store, task, field):
    big = "x" * (MOST_CHARACTERS + 1)
    assert (
        code_of(store.write, replace(task, **{field: {"x": big} if field == "business_state" else big})) == "too_large"
    )
    assert store.load("r1") is None


def test_the_largest_value_that_is_allowed_comes_back(store, step):
    large = "ü" * (MOST_CHARACTERS - 2)
    store.put(inserted=(replace(step, input_data=large),))
    assert store.steps("r1")[0].input_data == large


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("where", ["text", "answer", "cause", "request_id", "current_step"])
def test_a_text_that_one_of_the_stores_cannot_keep_is_refused_by_both(store, task, bad, where):
    assert code_of(store.write, replace(task, **{where: bad})) == "unstorable"
    assert store.tasks() == []


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
def test_so_is_one_in_a_step_an_event_an_incident_or_the_key_of_a_control(store, step, done, bad):
    store.put(inserted=(step,))
    before = store.whole()
    for change in (
        {"inserted": (replace(step, step_id=2, call_id=bad),)},
        {"inserted": (replace(step, step_id=2, model=bad),)},
        {"finished": (replace(done, error_code=bad),)},
        {"event": Inbound("mail", bad, "x")},
        {"incidents": (Incident("r1", bad, "c", "t", "w", 1.0),)},
        {"controls": (Control(bad, 1),)},
    ):
        assert code_of(store.put, 1, **change) == "unstorable"
    assert code_of(store.set_control, bad, 1, 2.0) == "unstorable"
    assert store.whole() == before


def test_a_nul_inside_json_is_a_character_like_any_other(store, task, step):
    value = {"a\0": ["\0", "\u2028", "\x7f", "🙂"]}
    store.write(replace(task, business_state=value), inserted=(replace(step, input_data=value),))
    assert store.load("r1").business_state == value
    assert store.steps("r1")[0].input_data == value


@pytest.mark.parametrize(
    "bad", [float("nan"), [float("inf")], {"x": "\ud800"}, object()], ids=["nan", "infinity", "surrogate", "object"]
)
def test_what_is_no_json_is_refused(store, step, bad):
    assert code_of(store.put, inserted=(replace(step, input_data=bad),)) == "unstorable"
    assert store.load("r1") is None


def test_a_quote_is_data(store, task, step):
    nasty = "'; DROP TABLE task; -- \" %s ? $1 {0}"
    store.write(replace(task, request_id=nasty, text=nasty), inserted=(replace(step, request_id=nasty, tool=nasty),))
    assert store.load(nasty).text == nasty
    assert store.steps(nasty)[0].tool == nasty
    assert store.set_control(nasty, nasty, 1.0) == 1
    assert store.controls()[1][nasty].value == nasty
    assert store.outcomes(nasty) == {}


def test_a_closed_store_says_so_and_may_be_closed_again(store, task):
    store.put()
    store.close()
    store.close()
    for act, args in ((store.load, "r1"), (store.put, 1), (store.claim, ("a", [], 1.0, 1.0, 1)), (store.controls, ())):
        assert code_of(act, *(args if isinstance(args, tuple) else (args,))) == "store_closed"


def test_a_store_that_was_never_used_closes(store):
    store.close()


def test_tables_that_a_newer_program_has_contracted_are_refused_and_left_alone(store, opened):
    store.put()
    store.raw("UPDATE meta SET value = 9 WHERE key IN ('layout', 'readable_by')")
    before = store.whole()
    late = opened(store.url)
    with pytest.raises(StoreError, match="usable from version 9 on; this program knows 2") as refused:
        late.put(1)
    assert refused.value.code == "newer_schema"
    assert code_of(late.load, "r1") == "newer_schema"
    assert store.whole() == before


def test_the_error_survives_pickling(store):
    store.close()
    with pytest.raises(StoreError) as refused:
        store.load("r1")
    again = pickle.loads(pickle.dumps(refused.value))  # noqa: S301
    assert (again.code, again.passing, str(again)) == ("store_closed", False, str(refused.value))


def test_a_task_in_every_state_is_read(store, task):
    for n, state in enumerate(State):
        store.write(replace(task, request_id=f"r{n}", fsm_state=state))
    assert {t.fsm_state for t in store.tasks()} == set(State)
