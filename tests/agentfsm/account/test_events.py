"""Events from outside: applied once, held, or ignored with a reason, and never lost."""

import asyncio

import pytest

from agentfsm import AgentError, SQLiteStore
from agentfsm.errors import StoreError


def rows(bank):
    """The stored events from outside, with the reason why they are not applied."""
    query = "SELECT event_id, kind, reason FROM event WHERE source IN ('signing', 'user') ORDER BY rowid"
    found: list[tuple[str, str, str | None]] = asyncio.run(
        bank.world.store._file.write(lambda db: [tuple(row) for row in db.execute(query)])
    )
    return found


def test_a_callback_that_comes_again_is_stored_once_and_changes_nothing(bank):
    bank.run()
    first = bank.deliver("contract.signed")
    asked, moves = len(bank.world.requests), bank.moves()
    assert bank.deliver("contract.signed") == first
    bank.world.restart()
    assert bank.deliver("contract.signed") == first
    assert (len(bank.world.requests), bank.moves()) == (asked, moves)
    assert rows(bank) == [("e1", "contract.signed", None)]
    assert bank.events() == [("e1", "applied", None), ("e1", "duplicate", None), ("e1", "duplicate", None)]


def test_the_same_kind_under_another_id_is_no_duplicate(bank):
    bank.run()
    bank.deliver("contract.signed", "e1")
    bank.deliver("contract.signed", "e2")
    assert rows(bank) == [("e1", "contract.signed", None), ("e2", "contract.signed", "finished")]


def test_the_same_id_of_another_source_is_no_duplicate(bank, wire):
    bank.before("record", wire.says("Who are you?"))
    bank.run()
    bank.deliver("user.message", "e1", {"text": "ACME"})
    assert bank.deliver("contract.signed", "e1").outcome == "success"


@pytest.mark.parametrize("times", [1, 3])
def test_a_callback_that_comes_before_its_wait_is_held_and_then_applied(bank, times):
    real = bank.world.tools["contracts.send"]

    async def quick(**arguments):
        output = await real(**arguments)
        held = [await bank.runtime.deliver(**bank.event("contract.signed")) for _ in range(times)]
        assert {(result.outcome, result.cause) for result in held} == {("partial", "running")}
        return output

    bank.world.tools["contracts.send"] = quick
    assert bank.run().outcome == "success"
    assert rows(bank) == [("e1", "contract.signed", None)]
    assert [status for _, status, _ in bank.events()] == ["held", *["duplicate"] * (times - 1), "applied"]
    assert bank.effects() == ["accounts.open", "contracts.send"]


def test_a_held_callback_for_another_contract_is_ignored_when_its_wait_begins(bank):
    real = bank.world.tools["contracts.send"]

    async def quick(**arguments):
        await bank.runtime.deliver(**bank.event("contract.refused", payload={"contract_id": "X"}))
        return await real(**arguments)

    bank.world.tools["contracts.send"] = quick
    assert bank.run().cause == "waiting_signature"
    assert rows(bank) == [("e1", "contract.refused", "other_contract")]
    assert bank.deliver("contract.signed", "e2").outcome == "success"


def test_a_callback_that_arrives_while_the_task_is_dead_is_applied_by_whoever_goes_on(bank, killed):
    bank.world.restart(die=(12, "after"))
    with pytest.raises(killed):
        bank.run()
    bank.world.restart()
    assert bank.deliver("contract.signed").outcome == "success"
    assert bank.effects() == ["accounts.open", "contracts.send"]


def test_the_same_callback_twice_at_once_is_applied_once(bank):
    bank.run()

    async def both(runtime):
        event = bank.event("contract.signed")
        return await asyncio.gather(*(runtime.deliver(**event) for _ in range(3)))

    results = bank.play(both)
    assert "success" in {result.outcome for result in results}
    assert bank.run().outcome == "success"
    assert [row["event"] for row in bank.moves()].count("callback_received") == 1
    assert rows(bank) == [("e1", "contract.signed", None)]


def test_two_processes_that_get_the_same_callback_apply_it_once(bank):
    bank.run()

    async def both(runtime):
        other = SQLiteStore(bank.world.path)
        second = bank.build(runtime._newest.models[0], other)
        event = bank.event("contract.signed")
        results = await asyncio.gather(runtime.deliver(**event), second.deliver(**event))
        await other.close()
        return results

    results = bank.play(both)
    assert {result.outcome for result in results} <= {"success", "partial"}
    assert bank.run().outcome == "success"
    assert [row["event"] for row in bank.moves()].count("callback_received") == 1


def test_signed_and_refused_at_once_have_one_winner_and_the_other_is_kept(bank):
    bank.run()

    async def both(runtime):
        events = [bank.event("contract.signed", "e1"), bank.event("contract.refused", "e2")]
        return await asyncio.gather(*(runtime.deliver(**event) for event in events))

    bank.play(both)
    result = bank.run()
    assert result.outcome == "success"
    kept = {event_id: reason for event_id, _, reason in rows(bank)}
    assert kept["e1"] is None
    assert kept["e2"] in {"early", "late", "finished"}


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        ("contract.lost", None, "unknown_kind"),
        ("contract.signed", {"contract_id": "X"}, "other_contract"),
        ("contract.signed", {"contract_id": 7}, "invalid_payload"),
        ("contract.signed", "yes", "invalid_payload"),
        ("user.message", {"text": "hello?"}, "late"),
    ],
)
def test_an_event_that_does_not_fit_is_kept_with_a_reason_and_the_wait_goes_on(bank, kind, payload, reason):
    waiting = bank.run()
    assert bank.deliver(kind, "e0", payload) == waiting
    assert rows(bank) == [("e0", kind, reason)]
    assert bank.events() == [("e0", "ignored", reason)]
    assert bank.deliver("contract.signed", payload={"contract_id": "C"}).outcome == "success"


def test_a_callback_from_another_source_is_not_taken_for_the_signature(bank):
    bank.run()
    bank.deliver("contract.signed", source="mallory")
    assert bank.events() == [("e1", "ignored", "unknown_kind")]
    assert bank.run().cause == "waiting_signature"


def test_an_event_for_a_task_nobody_knows_is_kept_all_the_same(bank):
    for _ in range(2):
        with pytest.raises(AgentError) as refused:
            bank.deliver("contract.signed")
        assert refused.value.code == "unknown_task"
    assert rows(bank) == [("e1", "contract.signed", "unknown_task")]
    assert [status for _, status, _ in bank.events()] == ["ignored", "duplicate"]


def test_an_event_that_came_before_its_task_is_judged_anew_when_it_comes_again(bank, wire):
    bank.before("record", wire.says("Who are you?"))
    with pytest.raises(AgentError):
        bank.deliver("user.message", "m1", {"text": "ACME"})
    assert bank.run().cause == "needs_user"
    assert bank.deliver("user.message", "m1", {"text": "ACME"}).cause == "waiting_signature"
    assert rows(bank) == [("m1", "user.message", None)]


def test_no_event_from_outside_can_take_the_place_of_the_start(bank):
    with pytest.raises(AgentError):
        bank.deliver("user.message", "r1:start", {"text": "x"})
    with pytest.raises(AgentError, match="own"):
        bank.deliver("x", "r1:start", source="runtime")
    assert bank.run().cause == "waiting_signature"


def test_a_signature_after_the_deadline_is_late(bank):
    bank.run()
    bank.world.clock.now += 14 * 86_400
    result = bank.deliver("contract.signed")
    assert (result.outcome, result.cause) == ("failed", "signing_timeout")
    assert rows(bank) == [("e1", "contract.signed", "late")]


def test_a_signature_just_before_the_deadline_counts(bank):
    bank.run()
    bank.world.clock.now += 14 * 86_400 - 1
    assert bank.deliver("contract.signed").outcome == "success"


def test_a_callback_that_was_held_in_time_counts_even_if_nobody_looks_before_the_deadline(bank, killed):
    real = bank.world.tools["contracts.send"]

    async def quick(**arguments):
        await bank.runtime.deliver(**bank.event("contract.signed"))
        return await real(**arguments)

    bank.world.tools["contracts.send"] = quick
    bank.world.restart(die=(14, "after"))  # 13 of the way and the held event: the task waits, the process is gone
    with pytest.raises(killed):
        bank.run()
    bank.world.restart()
    bank.world.clock.now += 20 * 86_400
    assert bank.run().outcome == "success"


@pytest.mark.parametrize(
    "event",
    [
        {"event_id": " "},
        {"source": ""},
        {"kind": ""},
        {"source": "tool"},
        {"payload": {"x": float("nan")}},
        {"payload": object()},
        {"payload": "\ud800"},
        {"event_id": "\ud800"},
    ],
    ids=range(8),
)
def test_an_event_without_an_identity_or_beyond_json_is_refused(bank, event):
    bank.run()
    whole = {**bank.event("contract.signed"), **event}
    with pytest.raises(AgentError) as refused:
        bank.play(lambda runtime: runtime.deliver(**whole))
    assert refused.value.code == "invalid_event"
    assert rows(bank) == []


def test_a_message_of_the_user_while_the_agent_is_at_work_answers_the_next_question(bank, wire):
    bank.before("record", wire.calls(("company_record", {"name": "ACME"})), wire.says("And the rest?"))
    first = []

    async def record(**_):
        if not first:
            first.append(await bank.runtime.deliver(**bank.event("user.message", "m1", {"text": "HRB 7, ..."})))
        return {"recorded": True}

    bank.world.tools["company.record"] = record
    assert bank.run().cause == "waiting_signature"
    assert [status for _, status, _ in bank.events()] == ["held", "applied"]
    assert bank.world.requests[2]["messages"][-1] == {"role": "user", "content": "HRB 7, ..."}


def test_a_held_message_that_no_question_asks_for_is_not_held_for_ever(bank):
    async def record(**_):
        await bank.runtime.deliver(**bank.event("user.message", "m1", {"text": "by the way"}))
        return {"recorded": True}

    bank.world.tools["company.record"] = record
    assert bank.run().cause == "waiting_signature"
    assert rows(bank) == [("m1", "user.message", "late")]


def test_what_is_still_held_at_the_end_is_ignored_with_a_reason(bank):
    real = bank.world.tools["accounts.open"]

    async def open_account(**arguments):
        await bank.runtime.deliver(**bank.event("contract.signed"))
        return await real(**arguments)

    bank.world.tools["accounts.open"] = open_account
    bank.world.breaks("contracts.send", {"status": "permanent_error"})
    assert bank.run().outcome == "failed"
    assert rows(bank) == [("e1", "contract.signed", "finished")]


def test_a_callback_in_the_very_moment_the_wait_begins_is_held_and_heard(bank):
    real, given = bank.world.store.inner.inbox, []

    async def inbox(request_id):
        if not given:
            given.append(True)
            given.append(await bank.runtime.deliver(**bank.event("contract.signed")))
        return await real(request_id)

    bank.world.store.inbox = inbox
    assert bank.run().outcome == "success"
    assert given[1].cause == "waiting_signature"
    assert bank.events() == [("e1", "held", "early"), ("e1", "applied", None)]


@pytest.mark.parametrize("missing", [True, False], ids=["for the user", "for the signature"])
def test_a_run_that_is_cancelled_as_its_wait_begins_ends_the_task_and_the_wait(bank, wire, missing):
    if missing:
        bank.before("record", wire.says("Who are you?"))

    async def inbox(_request_id):
        raise asyncio.CancelledError

    bank.world.store.inbox = inbox
    with pytest.raises(asyncio.CancelledError):
        bank.run()
    bank.world.restart()
    assert asyncio.run(bank.world.store.load("r1")).wait_until is None
    assert bank.run().outcome == "cancelled"
    assert bank.effects() == (
        [] if missing else ["accounts.open", "contracts.send", "contracts.void", "accounts.close"]
    )


def test_a_held_callback_that_another_process_hears_first_is_left_to_it(bank):
    send, real, seen = bank.world.tools["contracts.send"], bank.world.store.inner.inbox, []

    async def quick(**arguments):
        await bank.runtime.deliver(**bank.event("contract.signed"))
        return await send(**arguments)

    async def inbox(request_id):
        held = await real(request_id)
        if not seen:
            other = SQLiteStore(bank.world.path)
            seen.append(await bank.build(bank.runtime._newest.models[0], other).resume("r1"))
            await other.close()
        return held

    bank.world.tools["contracts.send"], bank.world.store.inbox = quick, inbox
    assert bank.run() == seen[0]
    assert seen[0].outcome == "success"
    assert [row["event"] for row in bank.moves()].count("callback_received") == 1


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("kind", "status"), [("contract.signed", "applied"), ("contract.lost", "ignored")])
def test_an_event_whose_commit_fails_once_is_taken_once_and_is_no_duplicate_of_itself(bank, kind, status, side):
    bank.run()
    real, failed = bank.world.store.commit, []

    async def commit(change):
        if not failed:
            failed.append(await real(change) if side == "after" else None)
            raise StoreError("the connection was lost")
        return await real(change)

    bank.world.store.commit = commit
    bank.deliver(kind)
    assert [row[1] for row in bank.events()] == [status]
    assert len(rows(bank)) == 1
