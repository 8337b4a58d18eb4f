"""An agent that opens an account and takes out a loan for a company, up to the signed contract.

COLLECT_COMPANY_DATA -> RISK_CHECK -> OFFER_SELECTION -> ACCOUNT_OPENING -> CONTRACT_SIGNING. It waits for the
user where data are missing, and for the signature; without one it voids the contract and closes the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentfsm.agents.business_contracts import (
    CHOOSE,
    CONTRACTS,
    LIST,
    OPEN,
    RECORD,
    RISK,
    SEND,
    Signing,
    UserMessage,
)
from agentfsm.budgets import Limits
from agentfsm.ports import Model, Store
from agentfsm.prompts import load_prompts
from agentfsm.runtime import Runtime
from agentfsm.stages import Abort, Arguments, Stage
from agentfsm.tools import callable_tools
from agentfsm.waits import Business, Payload, Wait
from agentfsm.workflow import Workflow

DAY_S = 86_400.0
LIMITS = Limits(steps=60, model_calls=60, tool_calls=60, wall_s=600.0)
"""What a task may use where nothing else is said: the way is long, and the user may be asked several times."""

_FACTS = ("name", "registration_number", "revenue", "loan_amount")
_SIGNED, _REFUSED = "contract.signed", "contract.refused"


def _fold(business: Business, tool: str, arguments: Arguments, output: Mapping[str, Any]) -> Business:
    if tool == RECORD:
        return {**business, **{name: value for name, value in arguments.items() if value is not None}}
    if tool == RISK:
        return {**business, "risk": dict(output)}
    if tool == LIST:
        return {**business, "offers": list(output["offers"])}
    if tool == CHOOSE:
        return {**business, "offer_id": arguments["offer_id"]}
    return {**business, **output}  # the account, the contract


def _complete(business: Business) -> bool:
    return all(name in business for name in _FACTS)


def _approved(business: Business) -> bool:
    return bool(business.get("risk", {}).get("approved"))


def _fits(business: Business, offer: Mapping[str, Any]) -> bool:
    return bool(offer["amount"] <= business["risk"]["limit"])


def _aborted(business: Business) -> Abort | None:
    if "risk" in business and not _approved(business):
        return Abort("risk_refused", explained=True)
    if "offers" in business and not any(_fits(business, offer) for offer in business["offers"]):
        return Abort("no_offer", explained=True)
    if business.get("signing") == _REFUSED:
        return Abort("signing_refused", answer="The contract was not signed: the company refused it.")
    return None


def _as_recorded(business: Business, arguments: Arguments) -> str | None:
    for name, value in arguments.items():
        if value != business.get(name):
            return f"{name} must be {business.get(name)!r}, as it is on record."
    return None


def _risk_guard(business: Business, arguments: Arguments) -> str | None:
    if "risk" in business:
        return "The risk check has refused the loan, and that binds. Explain it to the user in plain words."
    return _as_recorded(business, arguments)


def _choose_guard(business: Business, arguments: Arguments) -> str | None:
    offers = {offer["offer_id"]: offer for offer in business.get("offers", [])}
    offer = offers.get(arguments["offer_id"])
    if offer is None:
        return f"There is no such offer. Listed: {sorted(offers)}." if offers else f"Call {LIST} first."
    if not _fits(business, offer):
        limit = business["risk"]["limit"]
        return f"This offer is for {offer['amount']}; the risk check allows {limit} at most."
    return None


def _send_guard(business: Business, arguments: Arguments) -> str | None:
    if "contract_id" in business:
        return "The contract has been sent already."
    return _as_recorded(business, arguments)


def _signing(business: Business, kind: str, _payload: Payload) -> Business:
    return {**business, "signing": kind}


def _other_contract(business: Business, payload: Payload) -> str | None:
    return None if payload["contract_id"] in {None, business["contract_id"]} else "other_contract"


USER = Wait(
    cause="needs_user",
    source="user",
    kinds=frozenset({"user.message"}),
    payload=UserMessage,
    timeout_s=7 * DAY_S,
    timeout_cause="user_timeout",
    timeout_says="Nothing was opened: the data that were asked for did not come in time.",
    tell=lambda _kind, payload: str(payload["text"]),
)
SIGNATURE = Wait(
    cause="waiting_signature",
    source="signing",
    kinds=frozenset({_SIGNED, _REFUSED}),
    payload=Signing,
    timeout_s=14 * DAY_S,
    timeout_cause="signing_timeout",
    timeout_says="The contract was not signed in time.",
    tell=lambda kind, _payload: "The contract was signed." if kind == _SIGNED else "The contract was refused.",
    fold=_signing,
    refuse=_other_contract,
    begins_when=lambda business: "contract_id" in business and "signing" not in business,
    says="The contract has been sent for signing.",
)

PROMPT = load_prompts(Path(__file__).parent / "prompts")["business_account", 1]

WORKFLOW = Workflow(
    name="business_account",
    version=1,
    instructions=PROMPT.text,
    prompt=PROMPT,
    goal="the account is open and the contract is signed",
    contracts=CONTRACTS,
    stages=(
        Stage("COLLECT_COMPANY_DATA", frozenset({RECORD}), _complete, USER),
        Stage("RISK_CHECK", frozenset({RISK}), _approved),
        Stage("OFFER_SELECTION", frozenset({LIST, CHOOSE}), lambda business: "offer_id" in business),
        Stage("ACCOUNT_OPENING", frozenset({OPEN}), lambda business: "account_id" in business),
        Stage("CONTRACT_SIGNING", frozenset({SEND}), lambda business: "signing" in business, SIGNATURE),
    ),
    begin=lambda _text: {},
    fold=_fold,
    done_when=lambda business: business.get("signing") == _SIGNED,
    aborted_when=_aborted,
    guards={
        RISK: _risk_guard,
        LIST: _as_recorded,
        CHOOSE: _choose_guard,
        OPEN: _as_recorded,
        SEND: _send_guard,
    },
    compensations={
        OPEN: lambda _arguments, output: {"account_id": output["account_id"]},
        SEND: lambda _arguments, output: {"contract_id": output["contract_id"]},
    },
)


def build(
    *,
    store: Store,
    model: Model,
    tools: Mapping[str, Callable[..., Any]],
    limits: Limits | None = None,
    **settings: Any,
) -> Runtime:
    """Return the agent. `tools` maps the names of the eight contracts to functions, sync or async.

    They are called with keyword arguments and answer a dict; those that open, close, send and void also get
    `idempotency_key` and have to dedupe by it. `settings` are those of Runtime.
    """
    return Runtime(
        workflow=WORKFLOW,
        model=model,
        tools=callable_tools(CONTRACTS, tools),
        store=store,
        limits=limits or LIMITS,
        **settings,
    )
