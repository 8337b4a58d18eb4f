"""The honest outcome in words: what a user is told, what an operator is told, and what neither is ever told."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfsm.records import Step, Task, TaskResult
from agentfsm.reporting import ANSWER, ENTRIES, for_operator, for_user
from agentfsm.states import State

REFUND = "payments.refund"


def told(world, result):
    return for_user(result, asyncio.run(world.store.steps(result.request_id)))


def record(world, result):
    task = asyncio.run(world.store.load(result.request_id))
    return for_operator(result, task, asyncio.run(world.store.steps(result.request_id)))


def test_a_user_is_told_what_was_done(world):
    assert told(world, world.run()).split("\n") == [
        "Done.",
        "Answer:",
        "  | Refunded.",
        "Done:",
        "  - orders.lookup [r1:2]",
        "  - payments.refund [r1:4]",
        "What you can do: There is nothing you need to do.",
        "Task: r1",
    ]


def test_a_user_is_told_what_nobody_knows_and_not_to_ask_again(world):
    world.breaks(REFUND, *[TimeoutError()] * 9, after_effect=True)
    lines = told(world, world.run()).split("\n")
    assert lines[0] == "It is not known whether it was done."
    assert "Why: A service did not answer in time. Nobody can tell whether it happened." in lines
    assert lines[lines.index("Unknown:") + 1] == "  - payments.refund [r1:4]"
    assert any(line.startswith("What you can do: Do not ask for it again before") for line in lines)


def test_a_user_is_told_that_it_was_not_done_and_why(world):
    world.breaks("orders.lookup", *[TimeoutError()] * 9)
    lines = told(world, world.run()).split("\n")
    assert lines[0] == "Not done."
    assert "Why: A service did not answer in time." in lines
    assert lines[lines.index("Not done:") + 1] == "  - orders.lookup [r1:2]"
    assert "  - the order was refunded, or the lookup says that it is not refundable" in lines
    assert "What you can do: Try again later." in lines


def done(tool="pay", key="r1:1", effect_class="idempotent", **more):
    return {"tool": tool, "key": key, "effect_class": effect_class, **more}


def result(outcome="failed", cause="x", answer="", state=State.FAILED, **lists):
    given = {"done": [], "not_done": [], "unknown": [], **lists}
    return TaskResult("r1", outcome, cause, answer, state, **given)


@pytest.mark.parametrize(
    ("entry", "outcome", "stays"),
    [
        (done(), "failed", True),
        (done(), "limit", True),
        (done(), "success", False),
        (done(effect_class="pure"), "failed", False),
        (done(compensated_by="r1:3"), "failed", False),
        (done(compensates="r1:1"), "failed", False),
    ],
)
def test_a_user_who_may_ask_again_is_told_what_stays_done(entry, outcome, stays):
    assert ("stays done" in for_user(result(outcome, done=[entry]), [])) is stays


def test_a_task_that_waits_is_not_finished_and_says_what_it_asks():
    waiting = result("partial", "needs_user", "Which company?", State.WAITING_EXTERNAL)
    assert for_user(waiting, []).split("\n")[:4] == [
        "Not finished yet.",
        "Answer:",
        "  | Which company?",
        "Why: The task waits for an answer from outside.",
    ]


def test_one_template_for_every_outcome():
    for outcome in ("success", "partial", "failed", "cancelled", "limit", "unknown"):
        lines = for_user(result(outcome, outcome), []).split("\n")
        assert lines[-1] == "Task: r1"
        assert lines[-2].startswith("What you can do: ")
        assert lines[1].startswith("Why: ")


@given(answer=st.text(), tool=st.text(max_size=30), goal=st.text(max_size=30), name=st.text(max_size=30))
def test_nothing_a_model_or_a_tool_says_passes_for_a_line_of_ours(answer, tool, goal, name):
    hostile = result(answer=answer, done=[done(tool)], not_done=[{"goal": goal}])
    text = for_user(TaskResult(name, *list(vars(hostile).values())[1:]), [])
    for line in text.split("\n"):
        assert line.isprintable()
    ours = [line for line in text.split("\n") if not line.startswith(("  | ", "  - "))]
    assert [line.partition(":")[0] for line in ours if line not in {"Not done.", "Answer:"}] == [
        "Why", "Done", "Not done", "What you can do", "What is listed as done, and not as undone, stays done", "Task",
    ]  # fmt: skip


def test_escapes_and_turned_text_are_made_visible():
    text = for_user(result(answer="\x1b[31mred\u202ednuf\u2028er\nWhat you can do: pay me"), [])
    assert "  | \\x1b[31mred\\u202ednuf\\u2028er\n  | What you can do: pay me" in text


def test_an_answer_and_a_list_without_end_are_cut():
    text = for_user(result(answer="x" * 99_999, done=[done()] * 500), [])
    assert len(text) < ANSWER + 60 * ENTRIES
    assert f"  - {500 - ENTRIES} more" in text


def test_an_operator_is_told_all_of_it_with_versions_budget_and_every_attempt(world):
    world.breaks(REFUND, TimeoutError())
    kept = record(world, world.run())
    assert (kept["outcome"], kept["cause"], kept["fault"], kept["incident"]) == ("success", None, "none", False)
    assert kept["versions"]["workflow"] == "support_refund@1"
    assert kept["versions"]["tools"] == {"orders.lookup": 1, REFUND: 1}
    assert kept["versions"]["models"] == ["openai/m"]
    assert kept["budget_used"]["tool_calls"] == 3
    tries = [(a["step"], a["attempt"], a["status"], a["error_code"]) for a in kept["attempts"] if a["tool"] == REFUND]
    assert tries == [(4, 2, "success", None), (4, 1, "in_doubt", "timeout")]
    json.dumps(kept, allow_nan=False)


def test_faults_of_users_and_of_systems_are_kept_apart(world, wire):
    world.breaks(REFUND, *[{"status": "invalid_input", "error_code": "bad_account"}] * 9)
    world.script = [wire.lookup(), *[wire.refund(amount) for amount in (20, 19, 18, 17)]]
    assert record(world, world.run())["fault"] == "user"
    world.restart()
    world.tools["orders.lookup"] = lambda order: {"order": "seven"}
    other = world.run(request_id="r2")
    assert (other.cause, record(world, other)["fault"]) == ("contract_violation", "tool")


def test_an_operators_record_holds_no_secret():
    task = Task("r1", "my password=hunter2x", "w@1", State.FAILED, "S", 1.0, business_state={"api_key": "hunter2x"})
    steps = [Step("r1", 1, 1, "tool", "h", 1.0, "success", tool="t", input_data={"token": "hunter2x"},
                  output_data={"text": "Bearer hunter2x"})]  # fmt: skip
    kept = for_operator(result(answer="password: hunter2x"), task, steps)
    assert "hunter2x" not in json.dumps(kept)
