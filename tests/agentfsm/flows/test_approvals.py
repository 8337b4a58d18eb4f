"""Approvals: a person decides about the very call before it runs."""

import asyncio

import pytest

from agentfsm import Effect, Limits, Stage

GRANTED, REFUSED = "approval.granted", "approval.refused"


def wiping(lab, kit, effect=Effect.UNSAFE, **stage):
    """A model that reads, then wipes; wiping is destructive."""
    lab.tool("read")
    wipe = lab.tool("wipe", effect, destructive=True)
    lab.model = kit.Model(kit.calling(("wipe", 7)), kit.says("Wiped."), kit.says("Not wiped."), kit.says("Well."))
    lab.flow(kit.asks("WIPE", "read", "wipe", done=kit.has("wipe"), **stage))
    return wipe


def decide(lab, kind=GRANTED, event_id="e1", source="approver", **payload):
    asked = lab.task().asked or {}
    return lab.deliver(source, kind, {"id": asked.get("id"), "by": "ann", **payload}, event_id)


def test_a_destructive_call_waits_for_a_person_and_says_what_it_wants(lab, kit):
    wipe = wiping(lab, kit)
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("partial", "needs_approval", "WAITING_EXTERNAL")
    asked = lab.task().asked
    assert (asked["kind"], asked["tool"], asked["arguments"]) == ("approval", "wipe", {"n": 7})
    assert (wipe.calls, lab.run()) == ([], result)
    assert lab.task().owner is None


def test_granted_the_very_call_runs_once(lab, kit):
    wipe = wiping(lab, kit)
    lab.run()
    result = decide(lab)
    assert (result.outcome, result.answer) == ("success", "Wiped.")
    assert wipe.calls == [(7, "r1:3")]
    assert lab.notes("approval") == [{"id": "r1:approval:1", "verdict": "granted", "by": "ann"}]
    assert [m.role for m in lab.model.requests[-1].messages] == ["system", "user", "assistant", "tool"]


def test_refused_the_model_hears_why_and_nothing_runs(lab, kit):
    wipe = wiping(lab, kit)
    lab.run()
    result = decide(lab, REFUSED, reason="not on a Friday")
    assert (result.outcome, result.cause, wipe.calls) == ("failed", "not_done", [])
    assert "not on a Friday" in lab.model.requests[1].messages[-1].text


def test_a_refusal_holds_for_the_same_call_but_another_one_is_asked_about_anew(lab, kit):
    wipe = wiping(lab, kit)
    lab.model.turns[1:] = [kit.calling(("wipe", 7), ids=("x",)), kit.calling(("wipe", 8), ids=("y",)), kit.says("Ok.")]
    lab.run()
    result = decide(lab, REFUSED)
    assert (result.cause, lab.task().asked["arguments"]) == ("needs_approval", {"n": 8})
    result = decide(lab, event_id="e2")
    assert (result.outcome, wipe.calls) == ("success", [(8, "r1:8")])


def test_nobody_decides_in_time_and_the_model_hears_that(lab, kit):
    wipe = wiping(lab, kit)
    lab.options["approval_s"] = 60
    lab.run()
    lab.clock.now += 59
    assert lab.run().cause == "needs_approval"
    lab.clock.now += 1
    result = lab.run()
    assert (result.outcome, result.cause, wipe.calls) == ("failed", "not_done", [])
    assert "approval_expired" in lab.model.requests[1].messages[-1].text
    assert lab.notes("expired") == [{"what": "approval", "id": "r1:approval:1"}]


def test_an_answer_after_its_time_changes_nothing(lab, kit):
    wipe = wiping(lab, kit)
    lab.options["approval_s"] = 60
    lab.run()
    lab.clock.now += 60
    result = decide(lab)
    assert (result.outcome, wipe.calls) == ("failed", [])
    assert [e["reason"] for e in lab.notes("event")] == ["late"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"id": "r1:9"}, "other_question"),
        ({"by": ""}, "invalid_payload"),
        ({"by": 7}, "invalid_payload"),
        ({"source": "stranger"}, "unknown_kind"),
        ({"source": "operator", "kind": "effect.confirmed"}, "not_asked"),
        ({"kind": "approval.maybe"}, "unknown_kind"),
    ],
)
def test_an_answer_that_is_none_is_stored_with_its_reason_and_the_wait_goes_on(lab, kit, how, reason):
    wipe = wiping(lab, kit)
    lab.run()
    result = decide(lab, **{"kind": GRANTED, **how})
    assert (result.cause, wipe.calls) == ("needs_approval", [])
    assert [e["reason"] for e in lab.notes("event")] == [reason]
    assert decide(lab, event_id="e2").outcome == "success"


def test_an_approval_before_it_was_asked_for_grants_nothing(lab, kit):
    wipe = wiping(lab, kit)
    lab.model.first = [kit.calling(("read", 1))]
    early = {"id": "r1:approval:1", "by": "ann"}

    async def main(runtime):
        lab.tools["read"].script = [
            lambda _n: runtime.deliver(request_id="r1", source="approver", event_id="e0", kind=GRANTED, payload=early)
        ]
        return await runtime.run(request_id="r1", text="go")

    lab.model.turns.insert(0, None)
    result = lab.play(main)
    assert (result.cause, wipe.calls) == ("needs_approval", [])
    assert [e["reason"] for e in lab.notes("event")] == ["not_asked"]


def test_of_two_answers_the_first_one_counts(lab, kit):
    wipe = wiping(lab, kit)
    lab.run()
    asked = lab.task().asked
    decide(lab)
    result = lab.deliver("approver", REFUSED, {"id": asked["id"], "by": "bob"}, "e2")
    assert (result.outcome, len(wipe.calls)) == ("success", 1)
    assert [e["status"] for e in lab.notes("event")] == ["applied", "ignored"]


def test_an_answer_that_is_delivered_twice_counts_once(lab, kit):
    wipe = wiping(lab, kit)
    lab.run()
    asked = lab.task().asked
    for _ in range(2):
        result = lab.deliver("approver", GRANTED, {"id": asked["id"], "by": "ann"})
    assert (result.outcome, len(wipe.calls)) == ("success", 1)
    assert [e["status"] for e in lab.notes("event")] == ["applied", "duplicate"]


def test_an_approval_that_arrives_while_the_task_is_still_live_is_not_lost(lab, kit):
    """Whoever is told of the question may answer before `run` has come back."""
    wipe = wiping(lab, kit)

    async def main(runtime):
        answers = []

        def observe(row):
            lab.observed.append(row)
            if row["kind"] == "asked":
                payload = {"id": row["id"], "by": "ann"}
                deliver = runtime.deliver(
                    request_id="r1", source="approver", event_id="e1", kind=GRANTED, payload=payload
                )
                answers.append(asyncio.ensure_future(deliver))

        runtime = lab.runtime(observer=observe)
        first = await runtime.run(request_id="r1", text="go")
        return first, *await asyncio.gather(*answers)

    lab.play(main)
    assert lab.run().outcome == "success"
    assert len(wipe.calls) == 1


def test_the_clock_of_the_task_stands_still_while_a_person_decides(lab, kit):
    wiping(lab, kit)
    lab.limits = Limits(wall_s=10)
    lab.run()
    lab.clock.now += 3600
    assert decide(lab).outcome == "success"
    assert lab.task().waited_s == 3600


def test_a_call_that_is_tried_again_needs_no_second_approval(lab, kit):
    wipe = wiping(lab, kit)
    wipe.script = [{"status": "temporary_error"}]
    lab.run()
    assert decide(lab).outcome == "success"
    assert len(wipe.calls) == 2


def test_a_call_that_was_refused_by_the_tool_needs_another_approval_to_be_made_again(lab, kit):
    wipe = wiping(lab, kit)
    wipe.script = [{"status": "invalid_input", "reason": "busy"}]
    lab.model.turns[1:] = [kit.calling(("wipe", 7), ids=("x",)), kit.says("Wiped.")]
    lab.run()
    assert decide(lab).cause == "needs_approval"
    assert decide(lab, event_id="e2").outcome == "success"


def test_a_stage_that_calls_by_itself_asks_for_each_call_and_then_makes_them(lab, kit):
    wipe, drop = lab.tool("wipe", Effect.UNSAFE, destructive=True), lab.tool("drop", Effect.UNSAFE, approval=True)
    lab.options["model"] = ()
    lab.flow(kit.own("ALL", ("wipe", 1), ("drop", 2)), answers=lambda _b: "Gone.")
    assert lab.run().cause == "needs_approval"
    assert (lab.task().asked["tool"], decide(lab).cause, lab.task().asked["tool"]) == ("wipe", "needs_approval", "drop")
    assert wipe.calls == drop.calls == []
    assert decide(lab, event_id="e2").outcome == "success"
    assert (len(wipe.calls), len(drop.calls)) == (1, 1)


@pytest.mark.parametrize("verdict", ["refused", "expired"])
def test_a_stage_that_calls_by_itself_fails_without_its_approval(lab, kit, verdict):
    wipe = lab.tool("wipe", Effect.UNSAFE, destructive=True)
    lab.options["model"] = ()
    lab.flow(kit.own("ALL", ("wipe", 1)), answers=lambda _b: "Gone.")
    lab.run()
    lab.clock.now += 90_000 if verdict == "expired" else 0
    result = lab.run() if verdict == "expired" else decide(lab, REFUSED)
    assert (result.outcome, result.cause, wipe.calls) == ("failed", f"approval_{verdict}", [])


def test_the_call_that_runs_is_the_one_that_was_approved_also_where_the_stage_has_changed_its_mind(lab, kit):
    wipe = lab.tool("wipe", Effect.UNSAFE, destructive=True)
    lab.options["model"] = ()
    wanted = [1]
    stage = Stage("ALL", frozenset({"wipe"}), kit.has("wipe"), calls=lambda b: [("wipe", {"n": wanted[0]})])
    lab.flow(stage, answers=lambda _b: "Gone.")
    lab.run()
    wanted[0] = 2
    assert decide(lab).cause == "needs_approval"
    assert (wipe.calls, lab.task().asked["arguments"]) == ([], {"n": 2})


def test_two_equal_calls_of_one_turn_need_an_approval_each(lab, kit):
    wipe = wiping(lab, kit)
    lab.model.turns[0] = kit.calling(("wipe", 7), ("wipe", 7), ids=("a", "b"))
    lab.run()
    assert decide(lab).cause == "needs_approval"
    assert len(wipe.calls) == 1
    assert decide(lab, event_id="e2").outcome == "success"
    assert len(wipe.calls) == 2


def test_a_fallback_or_a_compensation_that_a_person_has_to_approve_is_refused_when_it_is_defined(lab, kit):
    from agentfsm.errors import DefinitionError
    from agentfsm.fallbacks import OtherTool

    lab.tool("pay", Effect.IDEMPOTENT)
    lab.tool("wipe", Effect.IDEMPOTENT, destructive=True)
    with pytest.raises(DefinitionError, match=r"wipe.*approv"):
        lab.flow(kit.asks("PAY", "pay"), fallbacks={"pay": (OtherTool("wipe"),)})
    lab.tool("undo", Effect.IDEMPOTENT, compensates="pay", approval=True)
    with pytest.raises(DefinitionError, match=r"undo.*approv"):
        lab.flow(kit.asks("PAY", "pay"), compensations={"pay": lambda a, o: {}})


def life(lab):
    """One life: run, then answer whatever is asked, as the outside does: again until it was acknowledged."""
    result = lab.run()
    if (lab.task().asked or {}).get("kind") == "approval":
        result = decide(lab, event_id=lab.task().asked["id"])
    return result


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.QUERYABLE])
def test_dying_anywhere_around_an_approval_runs_the_call_once(deaths, kit, effect):
    for lab, result in deaths(lambda lab: wiping(lab, kit, effect), life):
        assert (result.outcome, result.answer) == ("success", "Wiped.")
        assert lab.tools["wipe"].effects == ["r1:3"]
        assert len(lab.notes("approval")) == 1


def test_dying_anywhere_around_a_refusal_runs_nothing(deaths, kit):
    def refuse(lab):
        result = lab.run()
        if lab.task().asked:
            result = decide(lab, REFUSED)
        return result

    for lab, result in deaths(lambda lab: wiping(lab, kit), refuse):
        assert (result.outcome, lab.tools["wipe"].effects) == ("failed", [])
