"""Fallbacks, in order, where a tool cannot do its work and nothing is in doubt."""

import pytest
from pydantic import BaseModel, ConfigDict

from agentfsm import Effect, Limits
from agentfsm.errors import DefinitionError
from agentfsm.fallbacks import Cached, Degraded, OtherTool, Person
from agentfsm.stages import Never

GONE = {"status": "permanent_error", "error_code": "gone"}
BUSY = {"status": "temporary_error", "error_code": "busy"}


class Text(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Words(BaseModel):
    words: str


OTHER = OtherTool(
    "spare", lambda arguments: {"text": str(arguments["n"])}, lambda output: {"value": int(output["words"])}
)


class Spare:
    """Makes the spare tool answer in words of its own."""

    def __init__(self, lab, effect=Effect.PURE):
        self.tool = lab.tool("spare", effect, input=Text, output=Words)
        self.calls = []
        self.script = []
        lab.tools["spare"].port = self.port
        self._contract = self.tool.contract

    def port(self):
        from agentfsm import CallableTool

        async def call(text, idempotency_key=""):
            self.calls.append((text, idempotency_key))
            happens = self.script.pop(0) if self.script else None
            if isinstance(happens, BaseException):
                raise happens
            return happens or {"words": text}

        return CallableTool(self._contract, call)


def reading(lab, kit, *fallbacks, effect=Effect.PURE, spare=Effect.PURE, **options):
    """A model that wants `read`, which is down for good."""
    lab.spare = Spare(lab, spare)
    read = lab.tool("read", effect)
    read.script = [GONE] * 9
    lab.model = kit.Model(kit.calling(("read", 7)), kit.says("Read."))
    lab.flow(kit.asks("READ", "read"), fallbacks={"read": fallbacks}, **options)
    return read


def one_answer_per_call(lab):
    """Whether the last conversation answers each call of the model exactly once, right after its turn."""
    messages = lab.model.requests[-1].messages
    asked = [call.id for m in messages for call in m.calls]
    return [m.call_id for m in messages if m.role == "tool"] == asked


def test_without_any_the_task_fails_with_the_error_of_the_tool(lab, kit):
    reading(lab, kit)
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "gone")


def test_another_tool_answers_in_its_own_words_and_under_its_own_key(lab, kit):
    reading(lab, kit, OTHER, spare=Effect.IDEMPOTENT)
    result = lab.run()
    assert (result.outcome, result.answer) == ("success", "Read.")
    assert lab.spare.calls == [("7", "r1:3")]
    assert lab.task().business_state == {"read": 1, "read.sum": 7}
    assert lab.model.told() == ['{"value":7}']
    assert one_answer_per_call(lab)
    assert lab.notes("fallback") == [{"step": 2, "tool": "read", "number": 1, "kind_of": "OtherTool"}]
    assert [entry["tool"] for entry in result.done] == ["spare"]


def test_the_tool_is_first_tried_as_often_as_it_may_be(lab, kit):
    read = reading(lab, kit, OTHER)
    read.script = [BUSY] * 9
    lab.limits = Limits(attempts=3)
    assert lab.run().outcome == "success"
    assert (len(read.calls), len(lab.spare.calls)) == (3, 1)


def test_a_tool_that_recovers_in_time_needs_no_fallback(lab, kit):
    read = reading(lab, kit, OTHER)
    read.script = [BUSY]
    assert lab.run().outcome == "success"
    assert lab.spare.calls == []


def test_the_other_tool_has_attempts_of_its_own(lab, kit):
    reading(lab, kit, OTHER, spare=Effect.IDEMPOTENT)
    lab.spare.script = [BUSY, TimeoutError(), None]
    assert lab.run().outcome == "success"
    assert lab.spare.calls == [("7", "r1:3")] * 3
    assert [step for step in lab.steps() if step[2] == "spare"] == [
        (3, 1, "spare", "failed", "busy"),
        (3, 2, "spare", "in_doubt", "timeout"),
        (3, 3, "spare", "success", None),
    ]


def test_they_are_taken_in_order_until_one_has_an_answer(lab, kit):
    reading(lab, kit, OTHER, Cached(60), Degraded({"value": 0}))
    lab.spare.script = [GONE]
    result = lab.run()
    assert (result.outcome, result.cause, result.answer) == ("partial", "degraded", "Read.")
    assert lab.model.told() == ['{"value":0}']
    assert one_answer_per_call(lab)
    assert [row["kind_of"] for row in lab.notes("fallback")] == ["OtherTool", "Degraded"]
    assert lab.gapless()


def test_when_all_have_failed_the_task_fails_with_the_error_of_its_tool(lab, kit):
    reading(lab, kit, OTHER, Cached(60))
    lab.spare.script = [{**GONE, "error_code": "other"}]
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "gone")
    assert [entry["tool"] for entry in result.not_done if "tool" in entry] == ["read"]


@pytest.mark.parametrize(("age", "outcome"), [(60, "success"), (61, "failed")])
def test_a_cached_answer_is_taken_as_long_as_it_is_young_enough(lab, kit, age, outcome):
    read = reading(lab, kit, Cached(60))
    read.script = [None, GONE]

    async def main(runtime):
        await runtime.run(request_id="r0", text="go")
        lab.clock.now += age
        return await runtime.run(request_id="r1", text="go")

    result = lab.play(main)
    assert result.outcome == outcome
    if outcome == "success":
        assert lab.model.told() == ['{"value":7}']


def test_a_cached_answer_to_other_arguments_is_none(lab, kit):
    read = reading(lab, kit, Cached(60))
    read.script = [None, GONE]

    async def main(runtime):
        await runtime.run(request_id="r0", text="go")
        lab.model.turns[0] = kit.calling(("read", 8))
        return await runtime.run(request_id="r1", text="go")

    assert lab.play(main).outcome == "failed"


def test_a_degraded_answer_makes_a_partial_end_and_the_next_task_is_whole_again(lab, kit):
    read = reading(lab, kit, Degraded({"value": 0}))
    assert (lab.run().outcome, lab.task().cause) == ("partial", "degraded")
    read.script = []
    assert lab.run("r2").outcome == "success"


def test_a_person_answers_in_place_of_the_tool(lab, kit):
    reading(lab, kit, Person(600))
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("partial", "needs_person", "WAITING_EXTERNAL")
    asked = lab.task().asked
    assert (asked["kind"], asked["tool"], asked["arguments"]) == ("person", "read", {"n": 7})
    lab.clock.now += 599
    result = lab.deliver("person", "person.answered", {"id": asked["id"], "by": "ann", "output": {"value": 9}})
    assert (result.outcome, lab.task().waited_s) == ("success", 599)
    assert lab.model.told() == ['{"value":9}']
    assert one_answer_per_call(lab)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"output": {"value": "nine"}}, "invalid_payload"),
        ({"output": {"value": 9}, "id": "r1:9"}, "other_question"),
        ({}, "invalid_payload"),
    ],
)
def test_an_answer_of_a_person_has_to_fit_like_that_of_the_tool(lab, kit, payload, reason):
    reading(lab, kit, Person(600))
    lab.run()
    result = lab.deliver("person", "person.answered", {"id": lab.task().asked["id"], "by": "ann", **payload})
    assert result.cause == "needs_person"
    assert [row["reason"] for row in lab.notes("event")] == [reason]


@pytest.mark.parametrize("then", [(), (Degraded({"value": 0}),), (OTHER,)])
def test_a_person_who_does_not_answer_in_time_makes_room_for_the_next(lab, kit, then):
    reading(lab, kit, Person(600), *then)
    lab.run()
    lab.clock.now += 600
    result = lab.run()
    expected = {0: ("failed", "gone")}.get(len(then)) or (
        ("partial", "degraded") if isinstance(then[0], Degraded) else ("success", None)
    )
    assert (result.outcome, result.cause) == expected
    assert lab.notes("expired") == [{"what": "person", "id": "r1:2"}]


@pytest.mark.parametrize("effect", [Effect.UNSAFE, Effect.IDEMPOTENT, Effect.QUERYABLE])
def test_a_step_in_doubt_never_falls_back(lab, kit, effect):
    read = reading(lab, kit, OTHER, Degraded({"value": 0}), effect=effect)
    read.script = [ZeroDivisionError()]
    result = lab.run()
    assert (result.outcome, result.cause, lab.spare.calls) == ("unknown", "tool_crashed", [])
    assert lab.task().asked["id"] == "r1:2"


def test_a_step_that_was_in_doubt_and_is_denied_may_fall_back(lab, kit):
    read = reading(lab, kit, OTHER, effect=Effect.UNSAFE)
    read.script = [TimeoutError(), GONE]
    lab.run()
    result = lab.deliver("operator", "effect.denied", {"id": "r1:2", "by": "ann"})
    assert (result.outcome, len(lab.spare.calls)) == ("success", 1)


def test_a_stand_in_that_is_in_doubt_is_a_doubt_and_no_further_one_is_taken(lab, kit):
    reading(lab, kit, OTHER, Degraded({"value": 0}), effect=Effect.IDEMPOTENT, spare=Effect.UNSAFE)
    lab.spare.script = [TimeoutError()]
    result = lab.run()
    assert (result.outcome, result.cause, lab.task().asked["id"]) == ("unknown", "timeout", "r1:3")
    assert [entry["key"] for entry in result.unknown] == ["r1:3"]
    confirmed = {"id": "r1:3", "by": "ann", "output": {"words": "70"}}
    result = lab.deliver("operator", "effect.confirmed", confirmed)
    assert (result.outcome, result.unknown) == ("success", [])
    assert [(entry["tool"], entry["key"]) for entry in result.done] == [("spare", "r1:3")]
    assert lab.model.told() == ['{"value":70}']
    assert lab.task().business_state == {"read": 1, "read.sum": 70}
    assert one_answer_per_call(lab)
    assert len(lab.spare.calls) == 1


def test_a_stand_in_that_did_not_happen_is_tried_again_and_then_the_next_one_is_taken(lab, kit):
    reading(lab, kit, OTHER, Degraded({"value": 0}), spare=Effect.UNSAFE)
    lab.spare.script = [TimeoutError(), GONE]
    lab.run()
    result = lab.deliver("operator", "effect.denied", {"id": "r1:3", "by": "ann"})
    assert (result.outcome, result.cause, len(lab.spare.calls)) == ("partial", "degraded", 2)


def test_an_answer_of_the_other_tool_that_cannot_be_turned_into_ours_is_its_fault(lab, kit):
    reading(lab, kit, OTHER, Degraded({"value": 0}))
    lab.spare.script = [{"words": "seven"}]
    assert (lab.run().outcome, lab.steps()[2][3:]) == ("partial", ("failed", "contract_violation"))


def test_the_other_tool_is_undone_by_what_it_answered_itself(lab, kit):
    seen = []
    lab.tool("drop", Effect.IDEMPOTENT, compensates="spare")
    lab.tool("pay", Effect.IDEMPOTENT).script = [GONE]

    def arguments(given, output):
        seen.append((given, output))
        return {"n": 1}

    lab.spare = Spare(lab, Effect.IDEMPOTENT)
    lab.tool("read", Effect.IDEMPOTENT).script = [GONE]
    lab.model = kit.Model(kit.calling(("read", 7)), kit.calling(("pay", 1)))
    lab.flow(
        kit.asks("READ", "read"),
        kit.asks("PAY", "pay"),
        fallbacks={"read": (OTHER,)},
        compensations={"spare": arguments},
    )
    assert lab.run().outcome == "failed"
    assert seen == [({"text": "7"}, {"words": "7"})] * len(seen)
    assert lab.tools["drop"].effects == ["r1:6"]


@pytest.mark.parametrize(
    "options",
    [
        {"never": (Never("spare", lambda tool, _a, _b: tool == "spare"),)},
        {"guards": {"spare": lambda _b, _a: "not now"}},
    ],
)
def test_what_is_forbidden_is_no_fallback(lab, kit, options):
    reading(lab, kit, OTHER, Degraded({"value": 0}), **options)
    assert (lab.run().outcome, lab.spare.calls) == ("partial", [])


def test_another_tool_for_which_the_budget_has_no_room_is_passed_over(lab, kit):
    reading(lab, kit, OTHER, Degraded({"value": 0}))
    lab.limits = Limits(tool_calls=1)
    assert (lab.run().outcome, lab.spare.calls) == ("partial", [])


def test_an_other_tool_that_does_not_accept_the_arguments_is_passed_over(lab, kit):
    reading(lab, kit, OtherTool("spare", lambda a: {"no": 1}), OtherTool("spare", lambda a: a["no"]), OTHER)
    assert (lab.run().outcome, len(lab.spare.calls)) == ("success", 1)


@pytest.mark.parametrize("second", [Degraded({"value": 2}), Cached(60), OTHER])
def test_two_members_of_a_group_that_fail_both_fall_back(lab, kit, second):
    lab.spare = Spare(lab)
    for name in ("a", "b", "c"):
        lab.tool(name).script = [GONE] if name != "c" else []
    lab.options["model"] = ()
    lab.flow(
        kit.own("ALL", ("a", 1), ("b", 2), ("c", 3)),
        fallbacks={"a": (Degraded({"value": 1}),), "b": (second,) if second != Cached(60) else (second, OTHER)},
        answers=lambda b: str(sum(n for name, n in b.items() if name.endswith(".sum"))),
    )
    result = lab.run()
    assert (result.outcome, result.answer) == ("partial", "6")
    assert lab.gapless()


def test_an_own_call_falls_back_and_the_model_is_told_of_the_last_answer_alone(lab, kit):
    lab.spare = Spare(lab)
    lab.tool("read").script = [GONE]
    lab.model = kit.Model(kit.says("Read."))
    lab.flow(kit.own("READ", ("read", 7)), fallbacks={"read": (Cached(9), OTHER)})
    assert lab.run().outcome == "success"
    assert lab.model.told() == ['read was called with {"n":7}. Result: {"value":7}']


def test_after_a_degraded_answer_the_same_call_may_be_made_as_often_as_before(lab, kit):
    reading(lab, kit, Degraded({"value": 0}))
    again = [kit.calling(("read", 7), ids=(f"x{i}",)) for i in range(3)]
    lab.model.turns[1:] = [*again[:2], kit.says("Read.")]
    lab.flow(
        kit.asks("READ", "read", done=lambda b: b.get("read", 0) >= 3), fallbacks={"read": (Degraded({"value": 0}),)}
    )
    assert lab.run().outcome == "partial"


@pytest.mark.parametrize(
    ("fallbacks", "said"),
    [
        ({"read": (OtherTool("reed"),)}, "reed"),
        ({"reed": (Cached(1),)}, "reed"),
        ({"pay": (Cached(1),)}, "cached"),
        ({"read": (Degraded({"value": "none"}),)}, "value"),
    ],
)
def test_a_fallback_that_cannot_work_is_refused_when_it_is_defined(lab, kit, fallbacks, said):
    lab.tool("read")
    lab.tool("pay", Effect.IDEMPOTENT)
    with pytest.raises(DefinitionError, match=said):
        lab.flow(kit.asks("READ", "read", "pay"), fallbacks=fallbacks)


def test_dying_anywhere_on_the_way_through_all_fallbacks_leaves_one_answer(deaths, kit):
    def set_up(lab):
        reading(lab, kit, OTHER, Cached(60), OTHER, Person(600))
        lab.spare.script = [BUSY, *[GONE] * 9]

    def life(lab):
        result = lab.run()
        if lab.task().asked:
            answer = {"id": lab.task().asked["id"], "by": "ann", "output": {"value": 9}}
            result = lab.deliver("person", "person.answered", answer)
        return result

    for lab, result in deaths(set_up, life):
        assert (result.outcome, result.answer) == ("success", "Read.")
        assert lab.model.told() == ['{"value":9}']
        assert one_answer_per_call(lab)
        assert lab.task().business_state == {"read": 1, "read.sum": 9}
