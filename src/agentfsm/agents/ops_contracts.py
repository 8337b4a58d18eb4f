"""What the tools of the runbook agent look like. Rates are in percent, times in milliseconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentfsm.contracts import Effect, ToolContract

METRICS, LOGS, DEPLOYS, HEALTH = "metrics.read", "logs.search", "deployments.list", "health.check"
RESTART, ROLL_BACK, SCALE, UNSCALE, PAGE = (
    "service.restart",
    "deployments.roll_back",
    "service.scale",
    "service.unscale",
    "pager.page",
)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ServiceInput(_Input):
    """Which service, and where."""

    service: Name
    region: Name


class MetricsOutput(BaseModel):
    """How it does."""

    error_rate: float = Field(ge=0, le=100, json_schema_extra={"unit": "percent"})
    latency: float = Field(ge=0, json_schema_extra={"unit": "ms"})


class LogsOutput(BaseModel):
    """What it says."""

    lines: list[str]


class DeploysOutput(BaseModel):
    """What runs, and what ran before."""

    current: str
    previous: str


class RestartOutput(BaseModel):
    """That it was restarted."""

    restarted: Literal[True]


class RollBackInput(ServiceInput):
    """To which version."""

    to: str = Field(min_length=1)


class RollBackOutput(BaseModel):
    """What runs now."""

    current: str


class ScaleInput(ServiceInput):
    """How many replicas to add."""

    add: int = Field(ge=1, le=10, json_schema_extra={"unit": "replicas"})


class ScaleOutput(BaseModel):
    """The change, by which it can be undone."""

    change_id: str = Field(min_length=1)


class UnscaleInput(_Input):
    """Which change to undo."""

    change_id: str


class UnscaleOutput(BaseModel):
    """That it is undone."""

    undone: Literal[True]


class PageInput(ServiceInput):
    """What to tell whoever is on call."""

    text: str = Field(min_length=1, max_length=500)


class PageOutput(BaseModel):
    """That it was sent."""

    sent: Literal[True]


class HealthOutput(BaseModel):
    """Whether it is well."""

    healthy: bool


def _tool(
    name: str, given: type[BaseModel], answer: type[BaseModel], description: str, effect: Effect, **more: Any
) -> ToolContract:
    return ToolContract(
        name=name, version=1, input=given, output=answer, description=description, effect=effect, **more
    )


READ = (
    _tool(METRICS, ServiceInput, MetricsOutput, "Read error rate and latency.", Effect.PURE),
    _tool(LOGS, ServiceInput, LogsOutput, "Search the last errors in the logs.", Effect.PURE),
    _tool(DEPLOYS, ServiceInput, DeploysOutput, "Say which version runs, and which ran before.", Effect.PURE),
)

CONTRACTS = (
    *READ,
    _tool(HEALTH, ServiceInput, HealthOutput, "Check whether the service is well.", Effect.PURE),
    _tool(
        RESTART,
        ServiceInput,
        RestartOutput,
        "Restart every replica of a service. Requests are lost meanwhile.",
        Effect.QUERYABLE,
        effects=("restart",),
        destructive=True,
        example={"restarted": True},
    ),
    _tool(
        ROLL_BACK,
        RollBackInput,
        RollBackOutput,
        "Go back to the version that ran before.",
        Effect.IDEMPOTENT,
        effects=("roll_back",),
        destructive=True,
        example={"current": "previous"},
    ),
    _tool(
        SCALE,
        ScaleInput,
        ScaleOutput,
        "Add replicas to a service.",
        Effect.IDEMPOTENT,
        effects=("scale",),
        example={"change_id": "dry"},
    ),
    _tool(
        UNSCALE,
        UnscaleInput,
        UnscaleOutput,
        "Take added replicas away again.",
        Effect.IDEMPOTENT,
        effects=("unscale",),
        compensates=SCALE,
        example={"undone": True},
    ),
    _tool(
        PAGE,
        PageInput,
        PageOutput,
        "Wake whoever is on call. It cannot be taken back.",
        Effect.UNSAFE,
        effects=("page",),
        flag="paging",
        example={"sent": True},
    ),
)
