"""A support agent that refunds an order: look it up, then pay back at most what it cost, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agentfsm.budgets import Limits
from agentfsm.contracts import Effect, ToolContract
from agentfsm.ports import Model, Store
from agentfsm.prompts import load_prompts
from agentfsm.runtime import Runtime
from agentfsm.schemas import unit
from agentfsm.stages import Arguments, Stage
from agentfsm.tools import callable_tools
from agentfsm.waits import Business
from agentfsm.workflow import Workflow

LOOKUP, REFUND = "orders.lookup", "payments.refund"


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LookupInput(_Input):
    """Which order to look up."""

    order: Annotated[int, unit("id")] = Field(ge=1, description="The order number the user named")


class LookupOutput(BaseModel):
    """What is known of an order."""

    order: Annotated[int, unit("id")]
    amount: Annotated[int, unit("smallest unit of the currency")] = Field(ge=0)
    currency: str
    refundable: bool


class RefundInput(_Input):
    """What to pay back."""

    order: Annotated[int, unit("id")] = Field(ge=1, description="The order that was looked up")
    amount: Annotated[int, unit("smallest unit of the order's currency")] = Field(
        ge=1, description="At most the amount of the order"
    )


class RefundOutput(BaseModel):
    """The receipt."""

    refund_id: str = Field(min_length=1)


CONTRACTS = (
    ToolContract(
        name=LOOKUP,
        version=1,
        input=LookupInput,
        output=LookupOutput,
        effect=Effect.PURE,
        description="Look up an order: its amount, and whether it can be refunded.",
    ),
    ToolContract(
        name=REFUND,
        version=1,
        input=RefundInput,
        output=RefundOutput,
        effect=Effect.IDEMPOTENT,
        description="Pay money back for an order that was looked up.",
        effects=("refund",),
        example={"refund_id": "R-example"},
    ),
)


def _begin(text: str) -> Business:
    return {"asked": [int(number) for number in re.findall(r"\d{1,15}", text)]}


def _fold(business: Business, tool: str, arguments: Arguments, output: Mapping[str, Any]) -> Business:
    if tool == LOOKUP:
        facts = {name: output[name] for name in ("order", "amount", "currency", "refundable")}
        return {**business, **facts}
    return {**business, "refund_id": output["refund_id"], "refunded": arguments["amount"]}


def _looked_up(business: Business) -> bool:
    return "order" in business


def _settled(business: Business) -> bool:
    return "refund_id" in business or business.get("refundable") is False


def _lookup_guard(business: Business, arguments: Arguments) -> str | None:
    if business["asked"] and arguments["order"] not in business["asked"]:
        return f"The user did not ask about order {arguments['order']}."
    return None


def _refund_guard(business: Business, arguments: Arguments) -> str | None:
    if arguments["order"] != business["order"]:
        return f"Only order {business['order']} was looked up."
    if arguments["amount"] > business["amount"]:
        return f"The order cost {business['amount']}; no more than that can be refunded."
    return None


PROMPTS = load_prompts(Path(__file__).parent / "prompts")
PROMPT = PROMPTS["support_refund", 1]

WORKFLOW = Workflow(
    name="support_refund",
    version=1,
    instructions=PROMPT.text,
    prompt=PROMPT,
    goal="the order was refunded, or the lookup says that it is not refundable",
    contracts=CONTRACTS,
    stages=(
        Stage("LOOKUP", frozenset({LOOKUP}), _looked_up),
        Stage("REFUND", frozenset({LOOKUP, REFUND}), _settled),
        Stage("ANSWER", frozenset(), lambda _business: False),
    ),
    begin=_begin,
    fold=_fold,
    done_when=_settled,
    guards={LOOKUP: _lookup_guard, REFUND: _refund_guard},
)


def build(
    *,
    store: Store,
    model: Model,
    tools: Mapping[str, Callable[..., Any]],
    limits: Limits | None = None,
    **settings: Any,
) -> Runtime:
    """Return the agent. `tools` maps `orders.lookup` and `payments.refund` to functions, sync or async.

    They are called with keyword arguments and answer a dict; the refund also gets `idempotency_key` and
    has to dedupe by it. `settings` are those of Runtime.
    """
    return Runtime(
        workflow=WORKFLOW,
        model=model,
        tools=callable_tools(CONTRACTS, tools),
        store=store,
        limits=limits,
        **settings,
    )
