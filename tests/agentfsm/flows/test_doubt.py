"""An effect in doubt: a person says what became of it, or the tool does, or the deadline ends the question."""

import asyncio

import pytest

from agentfsm import Effect, Limits

CONFIRMED, DENIED = "effect.confirmed", "effect.denied"


def paying(lab, kit, effect=Effect.UNSAFE, *, lost=TimeoutError, **options):
    pay = lab.tool("pay", effect)
    pay.script = [lost()]
    lab.model = kit.Model(kit.calling(("pay", 7)), kit.says("Paid."))
    lab.flow(kit.asks("PAY", "pay"), **options)
    return pay


def settle(lab, kind, event_id="e1", source="operator", **payload):
    return lab.deliver(source, kind, {"id": (lab.task().asked or {}).get("id"), "by": "ann", **payload}, event_id)


def test_what_is_asked_names_the_effect_and_the_task_stays_with_nobody(lab, kit):
    pay = paying(lab, kit)
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "timeout", "WAITING_EXTERNAL")
    task = lab.task()
    assert (task.asked["kind"], task.asked["id"], task.asked["arguments"]) == ("doubt", "r1:2", {"n": 7})
    assert (task.owner, task.wait_until, task.next_run_at) == (None, None, 1300.0)
    assert lab.run() == result
    assert len(pay.calls) == 1


def test_confirmed_the_task_goes_on_with_the_answer_the_person_gave(lab, kit):
    pay = paying(lab, kit)
    lab.run()
    result = settle(lab, CONFIRMED, output={"value": 70})
    assert (result.outcome, result.answer, result.unknown) == ("success", "Paid.", [])
    assert [entry["key"] for entry in result.done] == ["r1:2"]
    assert len(pay.calls) == 1
    assert lab.task().business_state == {"pay": 1, "pay.sum": 70}
    assert lab.model.told() == ['{"value":70}']


def test_denied_the_call_is_made_again_under_the_same_key(lab, kit):
    pay = paying(lab, kit)
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.unknown) == ("success", [])
    assert pay.calls == [(7, "r1:2"), (7, "r1:2")]
    assert lab.steps()[1:3] == [(2, 1, "pay", "in_doubt", "timeout"), (2, 2, "pay", "success", None)]


def test_denied_and_lost_again_it_is_asked_about_again(lab, kit):
    pay = paying(lab, kit)
    pay.script = [TimeoutError(), ConnectionResetError()]
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.cause) == ("unknown", "connection")
    assert settle(lab, CONFIRMED, "e2", output={"value": 1}).outcome == "success"
    assert len(pay.calls) == 2


def test_denied_and_refused_for_good_it_has_failed_and_nothing_is_unknown(lab, kit):
    pay = paying(lab, kit)
    pay.script = [TimeoutError(), {"status": "permanent_error", "error_code": "declined"}]
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.cause, result.unknown) == ("failed", "declined", [])


def test_denied_when_no_attempt_is_left_it_has_failed_honestly(lab, kit):
    paying(lab, kit)
    lab.limits = Limits(attempts=1)
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.cause, result.unknown) == ("failed", "timeout", [])


def test_denied_when_the_budget_is_gone_it_ends_in_limit(lab, kit):
    paying(lab, kit)
    lab.limits = Limits(tool_calls=1)
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.cause, result.unknown) == ("limit", "limit_tool_calls", [])


@pytest.mark.parametrize(
    ("kind", "how", "reason"),
    [
        (CONFIRMED, {}, "invalid_payload"),
        (CONFIRMED, {"output": {"value": "much"}}, "invalid_payload"),
        (CONFIRMED, {"output": {"value": 1}, "id": "r1:1"}, "other_question"),
        (DENIED, {"by": ""}, "invalid_payload"),
        (DENIED, {"source": "approver"}, "unknown_kind"),
        ("approval.granted", {"source": "approver"}, "not_asked"),
    ],
)
def test_an_answer_that_does_not_fit_is_stored_and_the_doubt_remains(lab, kit, kind, how, reason):
    paying(lab, kit)
    lab.run()
    result = settle(lab, kind, **how)
    assert (result.outcome, result.state) == ("unknown", "WAITING_EXTERNAL")
    assert [e["reason"] for e in lab.notes("event")] == [reason]


def test_the_deadline_of_the_task_ends_the_question_and_it_stays_unknown(lab, kit):
    paying(lab, kit)
    lab.run()
    lab.clock.now += 300
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "timeout", "FAILED")
    late = lab.deliver("operator", DENIED, {"id": "r1:2", "by": "ann"})
    assert late == result
    assert [e["reason"] for e in lab.notes("event")] == ["finished"]


@pytest.mark.parametrize("happened", [True, False])
def test_a_queryable_tool_is_asked_and_called_again_only_if_nothing_had_happened(lab, kit, happened):
    pay = paying(lab, kit, Effect.QUERYABLE)
    if not happened:
        pay.script = [lambda _n: never(pay)]

    async def never(pay):
        raise ConnectionResetError

    assert lab.run().outcome == "success"
    assert (pay.asked, pay.effects) == (["r1:2"], ["r1:2"])
    assert len(pay.calls) == (1 if happened else 2)


def test_a_tool_that_cannot_say_yet_is_asked_again_later(lab, kit):
    pay = paying(lab, kit, Effect.QUERYABLE)
    lab.limits = Limits(attempts=3)
    real, down = pay.query, [True]

    async def query(idempotency_key):
        if down:
            raise TimeoutError
        return await real(idempotency_key)

    pay.query = query
    result = lab.run()
    assert (result.outcome, result.state) == ("unknown", "WAITING_EXTERNAL")
    down.clear()
    lab.limits = Limits(attempts=4)
    assert lab.run().outcome == "success"
    assert len(pay.calls) == 1


def test_a_later_question_comes_after_a_minute_while_there_is_time(lab, kit):
    paying(lab, kit, Effect.QUERYABLE)
    lab.limits = Limits(attempts=1)
    lab.run()
    assert lab.task().next_run_at == lab.clock.now + 60


def test_an_answer_that_arrives_while_the_task_is_still_live_is_not_lost(lab, kit):
    pay = paying(lab, kit)

    async def main(_runtime):
        answers = []

        def observe(row):
            if row["kind"] == "asked":
                payload = {"id": row["id"], "by": "ann", "output": {"value": 7}}
                deliver = runtime.deliver(
                    request_id="r1", source="operator", event_id="e1", kind=CONFIRMED, payload=payload
                )
                answers.append(asyncio.ensure_future(deliver))

        runtime = lab.runtime(observer=observe)
        await runtime.run(request_id="r1", text="go")
        await asyncio.gather(*answers)

    lab.play(main)
    assert (lab.run().outcome, len(pay.calls)) == ("success", 1)


def test_a_crash_of_an_unsafe_tool_is_a_doubt_like_a_lost_reply(lab, kit):
    paying(lab, kit, lost=ZeroDivisionError)
    assert (lab.run().outcome, lab.task().cause) == ("unknown", "tool_crashed")
    assert settle(lab, CONFIRMED, output={"value": 7}).outcome == "success"


def undoing(lab, kit):
    """A booking that has to be undone, whose undoing is lost as often as it is tried."""
    lab.tool("book", Effect.IDEMPOTENT)
    lab.tool("pay", Effect.IDEMPOTENT).script = [{"status": "permanent_error", "error_code": "declined"}]
    release = lab.tool("release", Effect.IDEMPOTENT, compensates="book")
    release.script = [TimeoutError()] * 2
    lab.limits = Limits(attempts=2)
    lab.model = kit.Model(kit.calling(("book", 1)), kit.calling(("pay", 2)))
    lab.flow(
        kit.asks("BOOK", "book"),
        kit.asks("PAY", "pay"),
        compensations={"book": lambda arguments, _output: {"n": arguments["n"]}},
    )
    return release


def test_a_person_can_say_that_a_compensation_has_happened(lab, kit):
    release = undoing(lab, kit)
    assert (lab.run().outcome, lab.task().asked["id"]) == ("unknown", "r1:5")
    result = settle(lab, CONFIRMED, output={"value": 1})
    assert (result.outcome, result.cause, result.unknown) == ("failed", "declined", [])
    booked = next(entry for entry in result.done if entry["tool"] == "book")
    assert booked["compensated_by"] == "r1:5"
    assert lab.notes("compensated")[-1]["undoes"] == "r1:2"
    assert len(release.calls) == 2


def test_a_compensation_that_did_not_happen_and_may_not_be_tried_again_is_reported(lab, kit):
    undoing(lab, kit)
    lab.run()
    result = settle(lab, DENIED)
    assert (result.outcome, result.cause) == ("unknown", "compensation_unconfirmed")
    assert result.state == "FAILED"


@pytest.mark.parametrize("happens", [True, False])
def test_dying_anywhere_while_a_doubt_is_settled_pays_once(deaths, kit, happens):
    """The person looks each time, and says what is so."""

    def life(lab):
        result = lab.run()
        while lab.task().asked:
            paid = bool(lab.tools["pay"].effects)
            output = {"output": {"value": 7}} if paid else {}
            result = settle(lab, CONFIRMED if paid else DENIED, event_id=f"e{lab.task().version}", **output)
        return result

    async def nothing(_n):
        raise ConnectionResetError

    def set_up(lab):
        pay = paying(lab, kit)
        if not happens:
            pay.script = [nothing]

    for lab, result in deaths(set_up, life):
        assert (result.outcome, result.answer) == ("success", "Paid.")
        assert lab.tools["pay"].effects == ["r1:2"]
