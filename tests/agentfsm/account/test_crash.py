"""Dying before or after any commit, and losing any reply, changes neither the world nor the answer."""

import pytest

SIGNED = [(number, side) for number in range(1, 16) for side in ("before", "after")]
REFUSED = [(number, side) for number in range(1, 17) for side in ("before", "after")]
EFFECTS = ["accounts.open", "contracts.send"]
UNDONE = [*EFFECTS, "contracts.void", "accounts.close"]


def name(point):
    return f"{point[1]}-{point[0]}"


def carry_on(bank, kind, killed):
    """What a bank does: run it, deliver the callback, and after a death do so again."""
    for _ in range(3):
        try:
            result = bank.run()
            if result.cause == "waiting_signature":
                result = bank.deliver(kind)
        except killed:
            bank.world.restart()
        else:
            return result
    raise AssertionError("never arrives")


@pytest.mark.parametrize("point", SIGNED, ids=name)
def test_dying_at_any_commit_leaves_one_account_one_contract_and_the_same_answer(bank, killed, point):
    bank.world.restart(die=point)
    result = carry_on(bank, "contract.signed", killed)
    assert (result.outcome, result.answer) == ("success", "Your account is open and the contract is signed.")
    assert bank.effects() == EFFECTS
    assert [row["status"] for row in bank.audit("event")] in (["applied"], ["applied", "duplicate"])


@pytest.mark.parametrize("point", REFUSED, ids=name)
def test_dying_at_any_commit_of_a_refused_one_undoes_each_effect_once(bank, killed, point):
    bank.world.restart(die=point)
    result = carry_on(bank, "contract.refused", killed)
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert result.answer == "The contract was not signed: the company refused it."
    assert bank.effects() == UNDONE
    assert (result.unknown, len(result.done)) == ([], 8)


@pytest.mark.parametrize("point", REFUSED[26:], ids=name)
@pytest.mark.parametrize("again", [(1, "before"), (1, "after"), (2, "after")], ids=name)
def test_dying_again_while_undoing_changes_nothing(bank, killed, point, again):
    bank.world.restart(die=point)
    with pytest.raises(killed):
        carry_on_once(bank)
    bank.world.restart(die=again)
    result = carry_on(bank, "contract.refused", killed)
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == UNDONE


def carry_on_once(bank):
    bank.run()
    bank.deliver("contract.refused")


@pytest.mark.parametrize("tool", UNDONE)
def test_dying_inside_an_effect_leaves_it_once(bank, killed, tool):
    bank.world.breaks(tool, killed(), after_effect=True)
    result = carry_on(bank, "contract.refused", killed)
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == UNDONE
    assert len({key for called, key in bank.calls if called == tool}) == 1


@pytest.mark.parametrize("tool", UNDONE)
def test_a_lost_reply_at_any_effect_leaves_it_once(bank, killed, tool):
    bank.world.breaks(tool, TimeoutError(), after_effect=True)
    result = carry_on(bank, "contract.refused", killed)
    assert (result.outcome, result.cause) == ("failed", "signing_refused")
    assert bank.effects() == UNDONE
    assert [called for called, _ in bank.calls].count(tool) == 2


@pytest.mark.parametrize("point", SIGNED, ids=name)
def test_the_observer_misses_no_version_however_it_dies(bank, killed, point):
    bank.world.restart(die=point)
    carry_on(bank, "contract.signed", killed)
    told = [row for row in bank.world.observed if row["kind"] == "transition"]
    assert {row["version"] for row in told} == set(range(1, max(row["version"] for row in told) + 1))
    once = {(row["version"], row["from"], row["event"], row["to"]) for row in told}
    kept = {(row["version"], row["from"], row["event"], row["to"]) for row in bank.moves()}
    assert once == kept
    versions = [row["version"] for row in told]
    assert versions == sorted(versions)


def test_a_question_survives_a_death_before_and_after_its_answer(bank, wire, killed):
    bank.before("record", wire.says("Who are you?"))
    bank.world.restart(die=(2, "after"))
    with pytest.raises(killed):
        bank.run()
    bank.world.restart(die=(1, "after"))
    with pytest.raises(killed):
        bank.deliver("user.message", "m1", {"text": "ACME"})
    bank.world.restart()
    assert bank.deliver("user.message", "m1", {"text": "ACME"}).cause == "waiting_signature"
    asked = [m["content"] for m in bank.world.requests[-1]["messages"] if m["role"] == "user"]
    assert asked[1:] == ["ACME"]
