"""What was done is undone, last one first, each once; and what cannot be shown to be undone is unknown."""

import asyncio
from dataclasses import replace

import pytest

from agentfsm import AgentError, Effect, Limits
from agentfsm.agents import business_account

BACKWARDS = ["accounts.open", "contracts.send", "contracts.void", "accounts.close"]
FROM_THE_REFUSAL = [
    "event signing/e1 applied, step 13, intent step 14 contracts.void",
    "finish step 14, intent step 15 accounts.close",
    "finish step 15, FAILED failed signing_refused",
]
CLOSE, VOID, OPEN, SEND = "accounts.close", "contracts.void", "accounts.open", "contracts.send"


def refused(bank):
    bank.run()
    return bank.deliver("contract.refused")


def test_a_refused_contract_is_voided_and_its_account_closed(bank):
    result = refused(bank)
    assert (result.outcome, result.cause, result.state) == ("failed", "signing_refused", "FAILED")
    assert result.answer == "The contract was not signed: the company refused it."
    assert bank.effects() == BACKWARDS
    assert bank.calls == [(OPEN, "r1:10"), (SEND, "r1:12"), (VOID, "r1:14"), (CLOSE, "r1:15")]
    assert [arguments for _, arguments in bank.ledger.values()][2:] == [{"contract_id": "C"}, {"account_id": "A"}]
    assert [change.label for change in bank.world.store.commits][-3:] == FROM_THE_REFUSAL


def test_the_twin_that_is_signed_undoes_nothing(bank):
    bank.run()
    bank.deliver("contract.signed")
    assert bank.effects() == [OPEN, SEND]
    assert bank.audit("compensation") == bank.audit("ending") == []


def test_the_claim_and_the_audit_show_what_undid_what(bank):
    result = refused(bank)
    done = {entry["key"]: entry for entry in result.done if entry["effect_class"] != "pure"}
    assert done["r1:10"]["compensated_by"] == "r1:15"
    assert done["r1:15"]["compensates"] == "r1:10"
    assert [(row["tool"], row["undoes"]) for row in bank.audit("compensated")] == [(VOID, "r1:12"), (CLOSE, "r1:10")]
    assert [row["of"] for row in bank.audit("compensation")] == [SEND, OPEN]


def test_no_model_is_asked_once_the_end_is_decided(bank):
    bank.run()
    asked = len(bank.world.requests)
    bank.deliver("contract.refused")
    assert len(bank.world.requests) == asked


def test_a_finished_compensation_is_never_begun_again(bank):
    first = refused(bank)
    bank.world.restart()
    assert bank.run() == bank.resume() == bank.deliver("contract.refused") == first
    assert bank.deliver("contract.signed", "e2") == first
    assert bank.effects() == BACKWARDS
    assert len(bank.calls) == 4


def test_a_signature_that_comes_while_it_is_being_undone_is_late(bank):
    real = bank.world.tools[VOID]

    async def slow(**arguments):
        await bank.runtime.deliver(**bank.event("contract.signed", "e2"))
        return await real(**arguments)

    bank.world.tools[VOID] = slow
    assert refused(bank).cause == "signing_refused"
    assert ("e2", "ignored", "late") in bank.events()


def test_a_signature_that_does_not_come_for_days_is_a_timeout(bank):
    bank.run()
    bank.world.clock.now += 14 * 86_400 - 1
    assert bank.run().cause == "waiting_signature"
    bank.world.clock.now += 1
    result = bank.run()
    assert (result.outcome, result.cause) == ("failed", "signing_timeout")
    assert result.answer == "The contract was not signed in time."
    assert bank.effects() == BACKWARDS


@pytest.mark.parametrize(
    ("reply", "outcome", "cause"),
    [
        ({"status": "permanent_error", "error_code": "no_template"}, "failed", "no_template"),
        ({"status": "temporary_error", "error_code": "busy"}, "failed", "busy"),
    ],
)
def test_where_the_contract_cannot_be_sent_the_account_is_closed_again(bank, reply, outcome, cause):
    bank.world.breaks(SEND, *[reply] * 9)
    result = bank.run()
    assert (result.outcome, result.cause, result.state) == (outcome, cause, "FAILED")
    assert bank.effects() == [OPEN, CLOSE]


def test_where_the_account_cannot_be_opened_there_is_nothing_to_undo(bank):
    bank.world.breaks(OPEN, {"status": "permanent_error", "error_code": "blocked"})
    assert bank.run().cause == "blocked"
    assert bank.effects() == []


def test_a_model_that_gives_up_halfway_leaves_no_account_behind(bank, wire):
    bank.script("record", "risk", "list", "choose", "open", wire.error(401))
    result = bank.run()
    assert (result.outcome, result.cause) == ("failed", "authentication")
    assert bank.effects() == [OPEN, CLOSE]


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        ({"steps": 12}, "limit_steps"),
        ({"steps": 13}, "limit_steps"),
        ({"tool_calls": 6}, "limit_tool_calls"),
        ({"tool_calls": 7}, "limit_tool_calls"),
        ({"model_calls": 5}, "limit_model_calls"),
    ],
)
def test_a_budget_that_runs_out_halfway_has_kept_room_to_undo(bank, limits, cause):
    bank.limits = replace(business_account.LIMITS, **limits)
    result = bank.run()
    assert (result.outcome, result.cause) == ("limit", cause)
    assert bank.effects() == [OPEN, CLOSE]
    used = asyncio.run(bank.world.store.load("r1")).budget_used
    assert all(used[name] <= value for name, value in limits.items())


def test_a_budget_that_ran_out_does_not_stop_a_compensation_from_being_repeated(bank):
    bank.limits = replace(business_account.LIMITS, tool_calls=6)
    bank.world.breaks(CLOSE, {"status": "temporary_error"})
    assert bank.run().cause == "limit_tool_calls"
    assert bank.effects() == [OPEN, CLOSE]


def test_the_twin_whose_budget_just_suffices_arrives(bank):
    bank.limits = Limits(steps=15, tool_calls=8, model_calls=7)
    bank.run()
    assert bank.deliver("contract.signed").outcome == "success"


def test_the_deadline_of_the_task_does_not_stop_the_undoing(bank):
    real = bank.world.tools[OPEN]

    async def slow(**arguments):
        bank.world.clock.now += bank.limits.wall_s + 1
        return await real(**arguments)

    bank.world.tools[OPEN] = slow
    bank.world.breaks(CLOSE, {"status": "temporary_error"})
    result = bank.run()
    assert (result.outcome, result.cause) == ("limit", "limit_wall_s")
    assert bank.effects() == [OPEN, CLOSE]


@pytest.mark.parametrize("tool", [VOID, CLOSE])
@pytest.mark.parametrize("failure", [TimeoutError(), {"status": "temporary_error"}], ids=["lost", "busy"])
def test_a_compensation_is_repeated_under_its_own_key(bank, tool, failure):
    bank.world.breaks(tool, failure, after_effect=isinstance(failure, BaseException))
    result = refused(bank)
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == BACKWARDS
    assert len([key for name, key in bank.calls if name == tool]) == 1 + isinstance(failure, BaseException)


@pytest.mark.parametrize("failure", [TimeoutError(), {"status": "temporary_error"}, {"closed": False}], ids=str)
def test_a_compensation_that_cannot_be_confirmed_is_unknown(bank, failure):
    bank.world.breaks(CLOSE, *[failure] * 9, after_effect=True)
    result = refused(bank)
    assert (result.outcome, result.state) == ("unknown", "WAITING_EXTERNAL")
    assert [entry["tool"] for entry in result.unknown] == [CLOSE]
    assert result.unknown[0]["compensates"] == "r1:10"


def test_one_that_heals_is_confirmed_later_and_the_decided_end_stands(bank):
    bank.limits = replace(business_account.LIMITS, attempts=2)
    bank.world.breaks(VOID, *[TimeoutError()] * 2, after_effect=True)
    assert refused(bank).outcome == "unknown"
    bank.limits = replace(business_account.LIMITS, attempts=3)
    result = bank.run()
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == BACKWARDS


def test_one_that_heals_is_confirmed_even_after_the_deadline_of_the_task(bank):
    bank.limits = replace(business_account.LIMITS, attempts=2)
    bank.world.breaks(VOID, *[TimeoutError()] * 2)
    assert refused(bank).outcome == "unknown"
    bank.world.clock.now += bank.limits.wall_s
    bank.limits = replace(business_account.LIMITS, attempts=3)
    assert bank.run().cause == "signing_refused"
    assert bank.effects() == BACKWARDS


def test_one_that_never_heals_does_not_keep_the_rest_from_being_undone(bank):
    bank.world.breaks(VOID, *[TimeoutError()] * 9)
    assert refused(bank).state == "WAITING_EXTERNAL"
    assert bank.effects() == [OPEN, SEND]
    bank.world.clock.now += bank.limits.wall_s
    result = bank.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "compensation_unconfirmed", "FAILED")
    assert bank.effects() == [OPEN, SEND, CLOSE]
    assert [entry["tool"] for entry in result.unknown] == [VOID]


@pytest.mark.parametrize("status", ["permanent_error", "invalid_input"])
def test_one_that_is_refused_for_good_gets_one_attempt_and_the_rest_is_undone(bank, status):
    bank.world.breaks(VOID, *[{"status": status, "error_code": "already_signed"}] * 2)
    result = refused(bank)
    assert (result.outcome, result.cause, result.state) == ("unknown", "compensation_unconfirmed", "FAILED")
    assert bank.effects() == [OPEN, SEND, CLOSE]
    assert result.unknown[0]["error_code"] == "already_signed"
    assert [step[:2] for step in bank.world.steps() if step[2] == VOID] == [(14, 1)]


def test_a_contract_in_doubt_is_not_aborted_until_its_time_is_over(bank):
    bank.world.breaks(SEND, *[TimeoutError()] * 9, after_effect=True)
    result = bank.run()
    assert (result.outcome, result.state) == ("unknown", "WAITING_EXTERNAL")
    assert bank.effects() == [OPEN, SEND]
    bank.world.clock.now += bank.limits.wall_s
    result = bank.run()
    assert (result.outcome, result.state) == ("unknown", "FAILED")
    assert [entry["tool"] for entry in result.unknown] == [SEND]
    assert bank.effects() == [OPEN, SEND, CLOSE]


def test_a_cancelled_task_begins_nothing_new_and_the_next_resume_undoes_it(bank):
    async def cancel(runtime):
        started = asyncio.Event()

        async def hang(**_):
            started.set()
            await asyncio.Event().wait()

        bank.world.tools[SEND] = hang
        runtime = bank.build(runtime._newest.models[0])
        job = asyncio.create_task(runtime.run(request_id="r1", text="Open an account."))
        await started.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert bank.effects() == [OPEN]
        return await runtime.resume("r1")

    result = bank.play(cancel)
    assert (result.outcome, result.cause, result.state) == ("cancelled", "cancelled", "FAILED")
    assert bank.effects() == [OPEN, CLOSE]
    assert [entry["tool"] for entry in result.unknown] == [SEND]
    assert bank.run("Open an account.") == result


def test_a_cancel_while_undoing_does_not_change_the_end(bank):
    bank.run()

    async def cancel(runtime):
        real, started = bank.world.tools[VOID], asyncio.Event()

        async def hang(**arguments):
            bank.world.tools[VOID] = real
            started.set()
            await asyncio.Event().wait()

        bank.world.tools[VOID] = hang
        runtime = bank.build(runtime._newest.models[0])
        job = asyncio.create_task(runtime.deliver(**bank.event("contract.refused")))
        await started.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    bank.play(cancel)
    result = bank.run()
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == BACKWARDS


@pytest.mark.parametrize(
    "change",
    [
        {"compensations": {}},
        {"contracts": tuple(c for c in business_account.WORKFLOW.contracts if c.name != CLOSE)},
        {
            "contracts": tuple(
                replace(c, effect=Effect.UNSAFE) if c.name == VOID else c for c in business_account.WORKFLOW.contracts
            )
        },
    ],
)
def test_a_compensation_that_does_not_fit_is_refused_when_the_workflow_is_made(change):
    with pytest.raises(AgentError) as refusal:
        replace(business_account.WORKFLOW, **change)
    assert refusal.value.code == "definition"
