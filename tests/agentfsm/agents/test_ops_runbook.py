"""The runbook agent beyond its scenarios: what it never does, what it refuses, and what a person has to say first."""

import asyncio
import json

import pytest

from agentfsm import SQLiteStore, Turn
from agentfsm.agents import ops_runbook
from agentfsm.agents.ops_contracts import CONTRACTS
from agentfsm.turns import ToolCall

TASK = "The service checkout in region eu-1 is slow."
WHERE = {"service": "checkout", "region": "eu-1"}


class Script:
    """A model that says one turn after the other, and keeps what it was asked."""

    name = "script"

    def __init__(self, *turns):
        self.turns, self.requests = list(turns), []

    async def complete(self, request):
        self.requests.append(request)
        return self.turns.pop(0)


def says(tool, **arguments):
    call = ToolCall(id=f"c-{tool}-{len(arguments)}", name=tool, arguments=json.dumps(arguments))
    return Turn(calls=(call,), finish="tool_calls")


class Service:
    """The tools, and what they did."""

    def __init__(self, *healthy):
        self.done, self.healthy = [], list(healthy) or [True]

    def tools(self):
        answers = {
            "metrics.read": {"error_rate": 1.0, "latency": 900.0},
            "logs.search": {"lines": []},
            "deployments.list": {"current": "v42", "previous": "v41"},
            "service.restart": {"restarted": True},
            "deployments.roll_back": {"current": "v41"},
            "service.scale": {"change_id": "C-1"},
            "service.unscale": {"undone": True},
            "pager.page": {"sent": True},
        }

        def tool(name):
            async def call(idempotency_key="", **arguments):
                if idempotency_key:
                    self.done.append((name, arguments))
                return answers[name]

            return call

        async def check(**_where):
            return {"healthy": self.healthy.pop(0) if len(self.healthy) > 1 else self.healthy[0]}

        return {**{name: tool(name) for name in answers}, "health.check": check}


@pytest.fixture
def play(tmp_path):
    def run(service, *turns, approve=None, **options):
        async def main():
            store = SQLiteStore(tmp_path / "tasks.db")
            model = Script(*turns)
            runtime = ops_runbook.build(store=store, model=model, tools=service.tools())
            result = await runtime.run(request_id="r1", text=TASK, **options)
            if approve is not None:
                payload = {"id": "r1:approval:1", "by": "ann"}
                event = {"request_id": "r1", "source": "approver", "event_id": "e1", "payload": payload}
                result = await runtime.deliver(kind=approve, **event)
            await store.close()
            return result, model

        return asyncio.run(main())

    return run


def test_what_only_adds_needs_no_approval(play):
    service = Service()
    result, _ = play(service, says("service.scale", **WHERE, add=2))
    assert (result.outcome, service.done) == ("success", [("service.scale", {**WHERE, "add": 2})])


def test_what_destroys_waits_for_a_person(play):
    service = Service()
    result, _ = play(service, says("service.restart", **WHERE))
    assert (result.outcome, result.cause, service.done) == ("partial", "needs_approval", [])


def test_the_approved_call_runs_once_and_is_checked(play):
    service = Service()
    result, _ = play(service, says("service.restart", **WHERE), approve="approval.granted")
    assert (result.outcome, service.done) == ("success", [("service.restart", WHERE)])


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("service.restart", {"service": "payments", "region": "eu-1"}, "about service 'checkout' alone"),
        ("service.restart", {"service": "checkout", "region": "us-1"}, "about region 'eu-1' alone"),
        ("service.scale", {"service": "db-primary", "region": "eu-1", "add": 1}, "never done"),
        ("deployments.roll_back", {**WHERE, "to": "v13"}, "go back to no other"),
        ("pager.page", {**WHERE, "text": "help"}, "not switched on"),
    ],
)
def test_what_it_may_not_do_is_refused_with_a_reason(play, tool, arguments, said):
    service = Service()
    result, model = play(service, says(tool, **arguments), says("service.scale", **WHERE, add=1))
    assert said in model.requests[1].messages[-1].text
    assert (result.outcome, service.done) == ("success", [("service.scale", {**WHERE, "add": 1})])


def test_where_nothing_helps_the_added_replicas_are_taken_away(play):
    service = Service(False)
    scale = says("service.scale", **WHERE, add=2)
    result, _ = play(service, scale, says("service.scale", **WHERE, add=3))
    assert (result.outcome, result.cause) == ("failed", "still_ill")
    assert [name for name, _ in service.done] == [
        "service.scale",
        "service.scale",
        "service.unscale",
        "service.unscale",
    ]


def test_a_dry_run_changes_nothing_and_asks_nobody(play):
    service = Service()
    result, _ = play(service, says("service.restart", **WHERE), dry_run=True)
    assert (result.outcome, result.cause, service.done) == ("partial", "dry_run", [])


def test_a_task_that_names_no_service_ends_with_the_way_to_say_it(play):
    service = Service()
    ops = ops_runbook.WORKFLOW
    abort = ops.aborted_when(ops.begin("it is slow"))
    assert abort is not None
    assert "service NAME in region NAME" in abort.answer
    assert service.done == []


def test_every_effect_has_an_example_for_its_dry_run():
    assert [c.name for c in CONTRACTS if c.effects and c.example is None] == []
