"""The whole way to the signed contract, and the model that tries another one."""

import asyncio
import itertools
import json

import pytest

TO_THE_WAIT = [
    "start, intent step 1 model",
    "finish step 1, intent step 2 company.record",
    "finish step 2, intent step 3 model",
    "finish step 3, intent step 4 risk.check",
    "finish step 4, intent step 5 model",
    "finish step 5, intent step 6 offers.list",
    "finish step 6, intent step 7 model",
    "finish step 7, intent step 8 offers.choose",
    "finish step 8, intent step 9 model",
    "finish step 9, intent step 10 accounts.open",
    "finish step 10, intent step 11 model",
    "finish step 11, intent step 12 contracts.send",
    "finish step 12, WAITING_EXTERNAL waiting_signature",
]
FROM_THE_WAIT = ["event signing/e1 applied, step 13, intent step 14 model", "finish step 14, DONE success"]
STAGES = ["COLLECT_COMPANY_DATA", "RISK_CHECK", "OFFER_SELECTION", "ACCOUNT_OPENING", "CONTRACT_SIGNING"]


def labels(bank):
    return [change.label for change in bank.world.store.commits]


def test_a_company_gets_its_account_and_its_loan_once_the_contract_is_signed(bank):
    waiting = bank.run()
    assert (waiting.outcome, waiting.cause, waiting.state) == ("partial", "waiting_signature", "WAITING_EXTERNAL")
    assert waiting.answer == "The contract has been sent for signing."
    assert waiting.not_done == [{"goal": "the account is open and the contract is signed"}]
    result = bank.deliver("contract.signed")
    assert (result.outcome, result.cause, result.state) == ("success", None, "DONE")
    assert result.answer == "Your account is open and the contract is signed."
    assert (result.not_done, result.unknown) == ([], [])
    assert bank.effects() == ["accounts.open", "contracts.send"]
    assert labels(bank) == TO_THE_WAIT + FROM_THE_WAIT


def test_a_waiting_task_is_not_driven_by_asking_for_it(bank):
    first = bank.run()
    asked, commits = len(bank.world.requests), len(labels(bank))
    assert bank.run() == bank.resume() == first
    assert (len(bank.world.requests), len(labels(bank))) == (asked, commits)


def test_the_stages_are_passed_in_order(bank):
    bank.run()
    seen = [change.task.current_step for change in bank.world.store.commits]
    assert [stage for stage, _ in itertools.groupby(seen)] == STAGES


def test_every_change_of_state_is_told_with_a_version_without_gaps(bank):
    bank.run()
    bank.deliver("contract.signed")
    told = [row for row in bank.world.observed if row["kind"] == "transition" and "again" not in row]
    assert all(a["to"] == b["from"] for a, b in itertools.pairwise(told))
    assert sorted({row["version"] for row in told}) == list(range(1, 16))
    legal = {(row["state"], row["event"], row["to"]) for row in describe(bank)["transitions"]}
    assert {(row["from"], row["event"], row["to"]) for row in told} <= legal


def describe(bank):
    async def later(runtime):
        return runtime.describe()

    return bank.play(later)


def test_the_agent_describes_its_stages_waits_and_compensations_as_plain_data(bank):
    told = describe(bank)
    assert json.loads(json.dumps(told)) == told
    assert [stage["name"] for stage in told["stages"]] == STAGES
    assert told["own_sources"] == ["model", "runtime", "tool"]
    assert [wait["cause"] for wait in told["waits"]] == ["needs_user", "waiting_signature"]
    contracts = {contract["name"]: contract for contract in told["contracts"]}
    assert contracts["accounts.open"]["compensation"] == "accounts.close"
    assert contracts["accounts.close"]["compensates"] == "accounts.open"
    assert contracts["accounts.open"]["effects"] == ["account"]
    assert contracts["risk.check"]["compensation"] is None
    assert {"steps", "model_calls", "tool_calls", "tokens", "wall_s", "step_s", "attempts", "same_call"} <= set(
        told["limits"]
    )


def test_the_model_is_not_offered_what_only_a_compensation_may_do(bank):
    bank.run()
    names = [tool["function"]["name"] for tool in bank.world.requests[0]["tools"]]
    assert "accounts_open" in names
    assert "accounts_close" not in names


def test_a_question_to_the_user_waits_for_the_answer(bank, wire):
    bank.before("record", wire.says("How much do you want to borrow?"))
    asked = bank.run()
    assert (asked.outcome, asked.cause, asked.state) == ("partial", "needs_user", "WAITING_EXTERNAL")
    assert asked.answer == "How much do you want to borrow?"
    result = bank.deliver("user.message", "m1", {"text": "50000"})
    assert result.cause == "waiting_signature"
    assert bank.world.requests[1]["messages"][-1] == {"role": "user", "content": "50000"}
    assert bank.deliver("contract.signed").outcome == "success"


def test_data_may_be_taken_down_bit_by_bit_and_asked_for_twice(bank, wire):
    part = wire.calls(("company_record", {"name": "ACME"}))
    bank.before("record", wire.says("Who are you?"), part, wire.says("And the rest?"))
    assert bank.run().answer == "Who are you?"
    assert bank.deliver("user.message", "m1", {"text": "ACME"}).answer == "And the rest?"
    assert bank.deliver("user.message", "m2", {"text": "HRB 7, ..."}).cause == "waiting_signature"


def test_an_answer_of_the_user_is_a_fresh_start_for_corrections(bank, wire):
    wrong = wire.calls(("company_record", "{"))
    bank.before("record", wrong, wrong, wire.says("Who are you?"), wrong, wrong)
    assert bank.run().cause == "needs_user"
    assert bank.deliver("user.message", "m1", {"text": "ACME"}).cause == "waiting_signature"


def test_a_text_where_nothing_is_missing_is_no_question(bank, wire):
    bank.before("risk", wire.says("All done?"))
    assert bank.run().cause == "waiting_signature"
    assert bank.world.steps()[3][4] == "not_done"


def test_a_question_that_nobody_answers_ends_the_task(bank, wire):
    bank.before("record", wire.says("Who are you?"))
    bank.run()
    bank.world.clock.now += 7 * 86_400 - 1
    assert bank.run().cause == "needs_user"
    bank.world.clock.now += 1
    result = bank.run()
    assert (result.outcome, result.cause, result.state) == ("failed", "user_timeout", "FAILED")
    assert bank.effects() == []


def test_time_spent_waiting_does_not_count_against_the_task(bank, wire):
    bank.before("record", wire.says("Who are you?"))
    bank.run()
    bank.world.clock.now += 6 * 86_400
    assert bank.deliver("user.message", "m1", {"text": "ACME"}).cause == "waiting_signature"
    bank.world.clock.now += 13 * 86_400
    assert bank.deliver("contract.signed").outcome == "success"


def test_a_refused_risk_is_explained_and_is_no_success(bank, wire):
    bank.risk = {"approved": False, "limit": 0, "reason": "too young"}
    bank.script("record", "risk", wire.says("We cannot lend you money: the company is too young."))
    result = bank.run()
    assert (result.outcome, result.cause, result.state) == ("failed", "risk_refused", "FAILED")
    assert result.answer == "We cannot lend you money: the company is too young."
    assert result.not_done == [{"goal": "the account is open and the contract is signed"}]
    assert bank.effects() == []


def test_a_refused_risk_cannot_be_checked_again(bank, wire):
    bank.risk = {"approved": False, "limit": 0, "reason": "too young"}
    bank.script("record", "risk", "risk", wire.says("Refused."))
    assert bank.run().cause == "risk_refused"
    assert "that binds" in bank.world.told()[-1]


@pytest.mark.parametrize("offer", ["O2", "O9"])
def test_an_offer_over_the_limit_or_never_listed_is_refused_with_a_reason(bank, wire, offer):
    bank.before("choose", wire.calls(("offers_choose", {"offer_id": offer})))
    assert bank.run().cause == "waiting_signature"
    assert bank.world.steps()[7] == (8, 1, "offers.choose", "failed", "guard")
    assert ("60000 at most" in str(bank.world.told())) == (offer == "O2")


def test_no_offer_is_chosen_before_they_are_listed(bank):
    bank.before("list", bank.turns["choose"])
    assert bank.run().cause == "waiting_signature"
    assert "Call offers.list first." in str(bank.world.told())


def test_where_no_offer_fits_the_model_says_so_and_it_is_no_success(bank, wire):
    bank.offers = bank.offers[1:]
    bank.script("record", "risk", "list", wire.says("There is no offer for you."))
    result = bank.run()
    assert (result.outcome, result.cause, result.answer) == ("failed", "no_offer", "There is no offer for you.")


@pytest.mark.parametrize(
    ("stage", "tool"),
    [("record", "open"), ("risk", "send"), ("list", "send"), ("choose", "open"), ("open", "send"), ("send", "record")],
)
def test_no_stage_can_be_skipped_or_gone_back_to(bank, stage, tool):
    bank.before(stage, bank.turns[tool])
    assert bank.run().cause == "waiting_signature"
    assert "not_allowed" in [step[4] for step in bank.world.steps()]
    assert bank.effects() == ["accounts.open", "contracts.send"]


def test_skipping_is_bounded(bank):
    bank.script("record", *["send"] * 9)
    result = bank.run()
    assert (result.outcome, result.cause) == ("failed", "not_allowed")
    assert len(bank.world.requests) == 4
    assert bank.effects() == []


def test_the_model_cannot_call_a_compensation(bank, wire):
    bank.before("send", wire.calls(("accounts_close", {"account_id": "A"})))
    assert bank.run().cause == "waiting_signature"
    assert bank.effects() == ["accounts.open", "contracts.send"]


@pytest.mark.parametrize(
    ("stage", "tool", "arguments"),
    [
        ("risk", "risk_check", {"registration_number": "HRB 7", "revenue": 9, "loan_amount": 50_000}),
        ("list", "offers_list", {"loan_amount": 1}),
        ("open", "accounts_open", {"registration_number": "HRB 8"}),
        ("send", "contracts_send", {"account_id": "B", "offer_id": "O1"}),
        ("send", "contracts_send", {"account_id": "A", "offer_id": "O2"}),
    ],
)
def test_what_is_on_record_cannot_be_changed_on_the_way(bank, wire, stage, tool, arguments):
    bank.before(stage, wire.calls((tool, arguments)))
    assert bank.run().cause == "waiting_signature"
    assert "guard" in [step[4] for step in bank.world.steps()]


def test_a_contract_is_sent_once_even_if_the_model_asks_twice_in_one_turn(bank, wire):
    twice = wire.calls(*[("contracts_send", {"account_id": "A", "offer_id": "O1"})] * 2, ids=("a", "b"))
    bank.script("record", "risk", "list", "choose", "open", twice, "end")
    assert bank.run().cause == "waiting_signature"
    assert bank.deliver("contract.signed").outcome == "success"
    assert bank.effects() == ["accounts.open", "contracts.send"]


def test_what_the_bank_keeps_of_the_payload_stays_out_of_the_audit(bank):
    bank.run()
    bank.deliver("contract.signed", payload={"contract_id": "C", "name": "canary-secret"})
    assert "canary-secret" not in str(bank.world.observed) + str(asyncio.run(bank.world.store.audit("r1")))
