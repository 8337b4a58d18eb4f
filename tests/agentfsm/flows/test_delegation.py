"""Handing work down: a task below under the key of the step above, begun once however often it is called."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from agentfsm import Effect, Limits, Runtime, SQLiteStore, ToolContract
from agentfsm.delegating import DelegatedTask
from agentfsm.errors import DefinitionError


class Outcome(BaseModel):
    outcome: str
    answer: str
    cause: str | None


class Above:
    """A runtime whose only tool is a task of the lab's own runtime, over the same file."""

    def __init__(self, lab, kit, effect=Effect.IDEMPOTENT, **contract: Any):
        self.lab, self.kit = lab, kit
        lab.tool("pay", effect)
        lab.options["model"] = ()
        self.below = lab.flow(kit.own("PAY", ("pay", 7)), name="below", answers=lambda _b: "Paid.")
        self.contract = ToolContract(
            name="ask",
            version=1,
            input=kit.Number,
            output=Outcome,
            effect=Effect.IDEMPOTENT,
            effects=("work",),
            timeout_s=contract.pop("timeout_s", 30.0),
        )
        kept = lambda b, _t, _a, output: {**b, "ask": output}  # noqa: E731
        tool = lab.tools.pop("pay")
        lab.tools["ask"] = type("Named", (), {"contract": self.contract})()
        self.flow = lab.flow(
            kit.own("ASK", ("ask", 1)), name="above", fold=kept, answers=lambda b: f"Below: {b['ask']['answer']}"
        )
        lab.tools = {"pay": tool}
        self.limits_below = Limits()

    def runtimes(self, store=None):
        lab = self.lab
        store = store or lab.store
        below = lab.runtime(workflow=self.below, limits=self.limits_below, store=store)
        text = lambda arguments: f"pay {arguments['n']}"  # noqa: E731
        tools = {"ask": DelegatedTask(self.contract, below, text)}
        return below, lab.runtime(workflow=self.flow, tools=tools, store=store)

    def run(self, **options: Any):
        async def main():
            return await self.runtimes()[1].run(request_id="r1", text="go", **options)

        return asyncio.run(main())


@pytest.fixture
def above(lab, kit):
    return Above(lab, kit)


def test_the_task_below_does_the_work_and_its_answer_is_the_tools(lab, above):
    result = above.run()
    assert (result.outcome, result.answer) == ("success", "Below: Paid.")
    below = lab.task("r1:1")
    assert (below.workflow, below.text, below.depth, below.outcome) == ("below@1", "pay 1", 1, "success")
    assert lab.tools["pay"].effects == ["r1:1:1"]


def test_dying_anywhere_above_or_below_does_the_work_once(deaths, kit):
    for lab, result in deaths(lambda lab: setattr(lab, "above", Above(lab, kit)), lambda lab: lab.above.run()):
        assert (result.outcome, result.answer) == ("success", "Below: Paid.")
        assert lab.tools["pay"].effects == ["r1:1:1"]


def test_a_task_below_that_fails_fails_the_step_above_with_its_cause(lab, above):
    lab.tools["pay"].script = [{"status": "permanent_error", "error_code": "declined"}]
    result = above.run()
    assert (result.outcome, result.cause) == ("failed", "declined")


def test_no_task_goes_deeper_than_the_limit_below(lab, above):
    above.limits_below = Limits(depth=2)
    assert above.run(depth=1).outcome == "success"
    lab.world.path = lab.world.path.with_name("deeper.db")
    lab.world.restart()
    result = above.run(depth=2)
    assert (result.outcome, result.cause) == ("failed", "limit_depth")
    assert (lab.task("r1:1").outcome, len(lab.tools["pay"].calls)) == ("limit", 1)


def test_a_task_below_with_an_effect_in_doubt_leaves_the_one_above_in_doubt(lab, kit):
    above = Above(lab, kit, Effect.UNSAFE)
    lab.tools["pay"].script = [TimeoutError()]
    result = above.run()
    assert (result.outcome, result.state) == ("unknown", "WAITING_EXTERNAL")
    assert lab.task("r1:1").outcome == "unknown"

    async def settle():
        below, over = above.runtimes()
        payload = {"id": "r1:1:1", "by": "ann", "output": {"value": 7}}
        await below.deliver(
            request_id="r1:1", source="operator", event_id="e1", kind="effect.confirmed", payload=payload
        )
        payload = {"id": "r1:1", "by": "ann"}
        return await over.deliver(
            request_id="r1", source="operator", event_id="e2", kind="effect.denied", payload=payload
        )

    above.lab.limits = Limits(attempts=9)
    assert asyncio.run(settle()).outcome == "success"
    assert len(lab.tools["pay"].calls) == 1


def test_a_task_below_that_ended_unknown_is_no_clean_failure(lab, kit):
    above = Above(lab, kit, Effect.UNSAFE)
    lab.tools["pay"].script = [TimeoutError()]
    above.run()
    lab.clock.now += 300
    result = above.run()
    assert (result.outcome, [e["tool"] for e in result.unknown]) == ("unknown", ["ask"])


def test_a_task_below_that_another_worker_has_is_waited_for(lab, above):
    """The lease of the other worker ends within the attempts of the step above."""

    async def main():
        below, over = above.runtimes()
        await below.submit(request_id="r1:1", text="pay 1")
        other = SQLiteStore(lab.world.path)
        await other.claim("elsewhere/1/abc", below.labels, lab.clock.time(), 3.0, 1)
        await other.close()
        return await over.run(request_id="r1", text="go")

    assert asyncio.run(main()).outcome == "success"
    assert lab.tools["pay"].effects == ["r1:1:1"]


def test_cancelled_above_the_task_below_is_cancelled_with_it(lab, above):
    begun = asyncio.Event()

    async def hang(_n):
        begun.set()
        await asyncio.Event().wait()

    lab.tools["pay"].script = [hang]

    async def main():
        job = asyncio.create_task(above.runtimes()[1].run(request_id="r1", text="go"))
        await begun.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(main())
    assert (lab.task("r1").outcome, lab.task("r1:1").outcome) == ("cancelled", "cancelled")
    assert [e["tool"] for e in above.run().unknown] == ["ask"]


def test_work_is_handed_down_under_an_idempotent_contract_only(lab, kit, above):
    unsafe = ToolContract(name="ask", version=1, input=kit.Number, output=Outcome, effect=Effect.UNSAFE, effects=("x",))
    with pytest.raises(DefinitionError, match="idempotent"):
        DelegatedTask(unsafe, above.runtimes()[0], str)
    assert isinstance(above.runtimes()[0], Runtime)
