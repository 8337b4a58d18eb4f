"""Incidents: written where somebody has to look, with what is needed to look, masked, bounded, and grouped."""

import asyncio
import json
from dataclasses import asdict, replace

import pytest
from pydantic import BaseModel

from agentfsm import Effect, ModelError
from agentfsm.incidents import BOUNDS, group, incident_of, notice
from agentfsm.masking import Masker
from agentfsm.records import Incident, Step, Task
from agentfsm.states import State

CANARY = "sk-canary0123456789abcdef"


def incidents(lab):
    return asyncio.run(lab.store.incidents())


def simple(lab, kit, effect=Effect.IDEMPOTENT, **contract):
    tool = lab.tool("pay", effect, **contract)
    lab.flow(kit.asks("PAY", "pay"))
    lab.model = kit.Model(kit.calling(("pay", 7)), kit.says("Paid."))
    return tool


@pytest.mark.parametrize(
    ("breaks", "effect", "outcome", "found"),
    [
        ([TimeoutError()] * 9, Effect.PURE, "failed", ("transient", "timeout")),
        ([{"status": "temporary_error", "error_code": "busy"}] * 9, Effect.IDEMPOTENT, "failed", ("transient", "busy")),
        ([{"value": "seven"}], Effect.PURE, "failed", ("contract_violation", "contract_violation")),
        ([{"value": "seven"}], Effect.IDEMPOTENT, "unknown", ("unknown_effect", "contract_violation")),
        ([KeyError("x")], Effect.PURE, "failed", ("crashed", "tool_crashed")),
        ([TimeoutError()], Effect.UNSAFE, "unknown", ("unknown_effect", "timeout")),
    ],
)
def test_what_an_operator_has_to_look_at_is_an_incident(lab, kit, breaks, effect, outcome, found):
    tool = simple(lab, kit, effect)
    tool.script = list(breaks)
    assert lab.run().outcome == outcome
    (incident,) = [one for one in incidents(lab) if one.code != "breaker_opened"]
    assert (incident.error_class, incident.code) == found
    assert incident.request_id == "r1"
    assert incident.key.split("|")[2:4] == ["pay@1", "flow@1"]
    (note,) = lab.notes("incident")
    assert note == {"code": incident.code, "error_class": incident.error_class, "key": incident.key}


@pytest.mark.parametrize(
    "error",
    [ModelError("no", code="insufficient_quota"), ModelError("no", code="authentication"), ValueError("a bug")],
    ids=str,
)
def test_a_provider_that_will_not_have_us_is_an_incident(lab, kit, error):
    simple(lab, kit)
    lab.model.first = [error] * 9
    assert lab.run().outcome == "failed"
    assert len(incidents(lab)) == 1


@pytest.mark.parametrize(
    ("breaks", "outcome"),
    [
        ([], "success"),
        ([TimeoutError()], "success"),
        ([{"status": "permanent_error", "error_code": "order_closed"}], "failed"),
        ([{"status": "invalid_input", "error_code": "bad_iban"}] * 9, "failed"),
    ],
)
def test_what_works_as_meant_is_none(lab, kit, breaks, outcome):
    simple(lab, kit).script = list(breaks)
    if len(breaks) > 1:
        lab.model = kit.Model(*[kit.calling(("pay", n)) for n in range(9)])
    assert lab.run().outcome == outcome
    assert incidents(lab) == []


def test_a_limit_that_was_set_to_be_reached_is_none(lab, kit):
    simple(lab, kit)
    lab.limits = replace(lab.limits, tool_calls=1, model_calls=1)
    assert lab.run().outcome == "limit"
    assert incidents(lab) == []


def test_a_cancelled_task_is_one_only_where_an_effect_was_under_way(lab, kit):
    def task(status):
        ended = Task("r1", "go", "flow@1", State.FAILED, "PAY", 1.0, outcome="cancelled", cause="cancelled")
        return ended, [Step("r1", 2, 1, "tool", "h", 1.0, status, tool="pay", effect_class="unsafe",
                            error_code="cancelled")]  # fmt: skip

    simple(lab, kit)
    assert incident_of(*task("failed"), lab.workflow, 5.0) is None
    assert incident_of(*task("in_doubt"), lab.workflow, 5.0).error_class == "unknown_effect"


def test_a_rehearsal_is_none_whatever_becomes_of_it(lab, kit):
    simple(lab, kit)
    ended = Task("r1", "go", "flow@1", State.FAILED, "PAY", 1.0, outcome="failed", cause="model_crashed", mode="shadow")
    assert incident_of(ended, [], lab.workflow, 5.0) is None
    live = ended.but(mode="live")
    assert incident_of(live, [Step("r1", 1, 1, "model", "h", 1.0, "failed", error_code="model_crashed")],
                       lab.workflow, 5.0) is not None  # fmt: skip


def test_it_holds_what_is_needed_to_look_and_no_secret(lab, kit):
    class Answer(BaseModel):
        value: int

    tool = simple(lab, kit, Effect.PURE, output=Answer, version=3)
    tool.script = [{"value": "x", "reason": CANARY, "note": f"password={CANARY}"}]
    lab.run(text=f"pay 7 with {CANARY}")
    (incident,) = incidents(lab)
    data = incident.data
    assert data["input"].startswith("pay 7 with ***")
    assert (data["state"], data["stage"], data["fault"], data["cause"]) == (
        "FAILED",
        "PAY",
        "tool",
        "contract_violation",
    )
    assert data["versions"]["tools"] == {"pay": 3}
    assert data["versions"]["workflow"] == "flow@1"
    assert data["versions"]["prompts"] == [incident.prompt]
    assert data["budget_used"]["tool_calls"] == 1
    last = data["attempts"][0]
    assert (last["tool"], last["status"], last["input"]) == ("pay", "failed", {"n": 7})
    assert CANARY not in json.dumps(asdict(incident))


def history(number, text="x"):
    good = Step("r1", 1, 1, "tool", "h", 1.0, "success", tool="pay", input_data={"t": text}, output_data={"t": text})
    bad = good.but(step_id=number, status="failed", error_code="tool_crashed", error_class="permanent")
    return [*(good.but(step_id=i) for i in range(1, number)), bad]


def test_its_size_is_bounded_and_the_last_attempts_are_kept(lab, kit):
    simple(lab, kit)
    ended = Task("r1", "go" * 9_000, "flow@1", State.FAILED, "PAY", 1.0, outcome="failed", cause="tool_crashed")
    incident = incident_of(ended, history(500, "y" * 5_000), lab.workflow, 5.0)
    assert len(json.dumps(incident.data)) < BOUNDS.total * 2
    assert incident.data["attempts"][0]["error_code"] == "tool_crashed"


def test_a_history_that_cannot_be_read_is_an_incident_as_well():
    task = Task("r1", "go", "flow@1", State.PLANNING, "PAY", 1.0)
    found = notice("corrupt_history", about=task, now=5.0, facts={"why": f"token={CANARY}"})
    assert (found.request_id, found.error_class, found.data["why"]) == ("r1", "system", "token=***")
    assert notice("breaker_opened", about="flow@1", now=5.0, facts={}, tool="pay@1", fault="tool").key == (
        "tool|breaker_opened|pay@1|flow@1|-"
    )


def test_known_secrets_are_masked_by_the_masker_of_the_process():
    found = notice("x", about="flow@1", now=5.0, facts={"why": "plain words"}, masker=Masker(["plain words"]))
    assert found.data["why"] == "***"


def test_incidents_are_grouped_by_class_and_by_the_versions_they_happened_under():
    def one(number, prompt, code="timeout"):
        return Incident(f"r{number}", "k", code, "transient", "flow@1", float(number), prompt)

    groups = group([one(1, "a@1"), one(2, "a@2"), one(3, "a@1"), one(4, None, "x")])
    first = {"error_class": "transient", "code": "timeout", "workflow": "flow@1", "prompt": "a@1"}
    assert groups[0] == {**first, "count": 2, "first": 1.0, "last": 3.0, "last_task": "r3"}
    assert [(g["prompt"], g["count"]) for g in groups[1:]] == [("a@2", 1), ("", 1)]
