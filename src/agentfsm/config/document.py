"""The schema of an environment: every key, its unit, and what it may be."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from agentfsm.budgets import Limits

Seconds = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """A mapping that has these keys and no others, each of exactly this type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EnvPart(Part):
    """A secret or a URL: the name of the environment variable that holds it. `optional`: it may be unset."""

    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    optional: bool = False


class StorePart(Part):
    """Where tasks are kept. `default` is a file that is used where the variable is unset; no URL can stand there."""

    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    default: str | None = None


class ModelPart(Part):
    """One model. `temperature` null is not sent: some models refuse it."""

    provider: Literal["openai", "anthropic"]
    model: str = Field(min_length=1)
    api_key: EnvPart | None = None
    base_url: EnvPart | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, gt=0)
    first_event_s: Seconds
    idle_s: Seconds


class RetryPart(Part):
    """The pause before another attempt: `base_s`, doubled each time, at most `cap_s`."""

    base_s: Seconds
    cap_s: Seconds


class BreakerPart(Part):
    """Failures in a row that open a breaker, how long it stays open, when a probe is given up."""

    threshold: int = Field(gt=0)
    cool_s: Seconds
    probe_s: Seconds


class WorkerPart(Part):
    """Tasks at once, the pause between two looks, the longest pause of a task that a worker waits out itself."""

    concurrency: int = Field(gt=0)
    poll_s: Seconds
    patience_s: float = Field(ge=0)


def _limit(name: str, hint: Any) -> Any:
    if name == "per_tool":
        return dict[str, Annotated[int, Field(gt=0)]]
    return Annotated[hint, Field(ge=0) if name == "corrections" else Field(gt=0)]


if TYPE_CHECKING:
    LimitsPart = BaseModel
else:  # every field of Limits, and none of them by default: an environment says all of its limits
    _HINTS = get_type_hints(Limits)
    LimitsPart = create_model(
        "LimitsPart",
        __base__=Part,
        **{item.name: (_limit(item.name, _HINTS[item.name]), ...) for item in fields(Limits)},
    )


class Document(Part):
    """A whole environment."""

    limits: LimitsPart
    retry: RetryPart
    breaker: BreakerPart
    models: list[ModelPart] = Field(min_length=1)
    store: StorePart
    worker: WorkerPart
    approval_s: Seconds
    rollout: dict[str, dict[str, Any]] = Field(default_factory=dict)
