"""What the tools and the events of the business account agent look like. Amounts are in whole euros."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentfsm.contracts import Effect, ToolContract
from agentfsm.schemas import unit

RECORD, RISK = "company.record", "risk.check"
LIST, CHOOSE = "offers.list", "offers.choose"
OPEN, CLOSE = "accounts.open", "accounts.close"
SEND, VOID = "contracts.send", "contracts.void"

Euros = Annotated[int, unit("EUR")]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CompanyInput(_Input):
    """What the user said of the company. Leave out what is not known yet; never guess it."""

    name: str | None = Field(default=None, min_length=1)
    registration_number: str | None = Field(default=None, min_length=1)
    revenue: Annotated[int | None, unit("EUR")] = Field(default=None, ge=0, description="Revenue of the last year")
    loan_amount: Annotated[int | None, unit("EUR")] = Field(
        default=None, ge=1, description="The loan that is asked for"
    )


class CompanyOutput(BaseModel):
    """Whether it was taken down."""

    recorded: Literal[True]


class RiskInput(_Input):
    """The recorded facts, as they were recorded."""

    registration_number: str
    revenue: Euros
    loan_amount: Euros


class RiskOutput(BaseModel):
    """The decision. `limit` is the highest loan that may be offered."""

    approved: bool
    limit: Euros = Field(ge=0)
    reason: str = ""


class ListInput(_Input):
    """The loan that is asked for."""

    loan_amount: Euros


class Offer(BaseModel):
    """One offer."""

    offer_id: str = Field(min_length=1)
    amount: Euros = Field(ge=1)
    rate_bp: Annotated[int, unit("hundredths of a percent a year")] = Field(ge=0)
    months: Annotated[int, unit("months")] = Field(ge=1)


class ListOutput(BaseModel):
    """What the bank offers."""

    offers: list[Offer]


class ChooseInput(_Input):
    """Which of the listed offers to take."""

    offer_id: str


class ChooseOutput(BaseModel):
    """The offer that is reserved."""

    offer_id: str


class OpenInput(_Input):
    """Whose account to open."""

    registration_number: str


class AccountOutput(BaseModel):
    """The account."""

    account_id: str = Field(min_length=1)


class CloseInput(_Input):
    """Which account to close."""

    account_id: str


class CloseOutput(BaseModel):
    """That it is closed."""

    closed: Literal[True]


class SendInput(_Input):
    """Which contract to make and send for signing."""

    account_id: str
    offer_id: str


class SendOutput(BaseModel):
    """The contract."""

    contract_id: str = Field(min_length=1)


class VoidInput(_Input):
    """Which contract to void."""

    contract_id: str


class VoidOutput(BaseModel):
    """That it is void."""

    voided: Literal[True]


class UserMessage(BaseModel):
    """Payload of `user.message`."""

    text: str = Field(min_length=1)


class Signing(BaseModel):
    """Payload of `contract.signed` and `contract.refused`. Without a contract id it is taken for this task's."""

    contract_id: str | None = None


def _tool(
    name: str,
    shapes: tuple[type[BaseModel], type[BaseModel]],
    description: str,
    effect: str = "",
    compensates: str | None = None,
) -> ToolContract:
    return ToolContract(
        name=name,
        version=1,
        input=shapes[0],
        output=shapes[1],
        effect=Effect.IDEMPOTENT if effect else Effect.PURE,
        description=description,
        effects=(effect,) if effect else (),
        compensates=compensates,
    )


CONTRACTS = (
    _tool(RECORD, (CompanyInput, CompanyOutput), "Take down what the user said of the company."),
    _tool(RISK, (RiskInput, RiskOutput), "Check the risk of the loan; the decision binds."),
    _tool(LIST, (ListInput, ListOutput), "List the offers for a loan."),
    _tool(CHOOSE, (ChooseInput, ChooseOutput), "Choose one of the listed offers."),
    _tool(OPEN, (OpenInput, AccountOutput), "Open the account.", "account"),
    _tool(CLOSE, (CloseInput, CloseOutput), "Close an account that was opened.", "account_closed", OPEN),
    _tool(SEND, (SendInput, SendOutput), "Make the contract and send it for signing.", "contract"),
    _tool(VOID, (VoidInput, VoidOutput), "Void a contract that was sent.", "contract_voided", SEND),
)
