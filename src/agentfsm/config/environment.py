"""An environment: every setting of a runtime, checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agentfsm.budgets import Limits
from agentfsm.recovery import Retry
from agentfsm.rollout_plan import Rollout


@dataclass(frozen=True)
class Reference:
    """A secret or a URL, by the variable of the process environment that holds it. The value is in no repr.

    `value` is None where the variable is unset and nothing else is meant to be used.
    """

    env: str
    value: str | None = field(default=None, repr=False)

    def describe(self, *, masked: bool = True, secret: bool = True) -> dict[str, Any]:
        """Return it as plain data. Masked, a secret is only `set` or not, a URL has no password and no query."""
        shown = self.value
        if masked and shown is not None:
            shown = None if secret else without_secrets(shown)
        return {"env": self.env, "set": self.value is not None, **({} if shown is None else {"value": shown})}


@dataclass(frozen=True)
class ModelSettings:
    """One model of the order in which they are asked. Seconds as in `OpenAIChat`; None is not sent."""

    provider: str
    model: str
    api_key: Reference | None
    base_url: Reference | None
    temperature: float | None
    max_tokens: int | None
    first_event_s: float
    idle_s: float

    def describe(self, *, masked: bool = True) -> dict[str, Any]:
        """Return it as plain data."""
        found = {name: value for name, value in vars(self).items() if not isinstance(value, Reference)}
        if self.api_key:
            found["api_key"] = self.api_key.describe(masked=masked)
        if self.base_url:
            found["base_url"] = self.base_url.describe(masked=masked, secret=False)
        return found


@dataclass(frozen=True)
class BreakerSettings:
    """Failures in a row that open a breaker, seconds it stays open, seconds after which a probe is given up."""

    threshold: int
    cool_s: float
    probe_s: float


@dataclass(frozen=True)
class WorkerSettings:
    """Tasks at once, seconds between two looks, the longest pause in seconds that a worker waits out itself."""

    concurrency: int
    poll_s: float
    patience_s: float


@dataclass(frozen=True)
class Environment:
    """All settings of one environment. `files` are those it was read from, `sources` says where each value stands."""

    name: str
    limits: Limits
    retry: Retry
    breaker: BreakerSettings
    models: tuple[ModelSettings, ...]
    store: Reference
    worker: WorkerSettings
    approval_s: float
    rollout: Mapping[str, Rollout]
    files: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def describe(self, masked: bool = True) -> dict[str, Any]:
        """Return everything as plain data; `masked=False` holds the secrets themselves."""
        return {
            "environment": self.name,
            "files": list(self.files),
            "limits": self.limits.describe(),
            "retry": {"base_s": self.retry.base_s, "cap_s": self.retry.cap_s},
            "breaker": asdict(self.breaker),
            "models": [model.describe(masked=masked) for model in self.models],
            "store": self.store.describe(masked=masked, secret=False),
            "worker": asdict(self.worker),
            "approval_s": self.approval_s,
            "rollout": {name: plan.describe() for name, plan in self.rollout.items()},
        }


def without_secrets(url: str) -> str:
    """Return a URL without password, query and fragment; what is no URL is returned as it is."""
    try:
        parts = urlsplit(url)
        if not parts.scheme or not parts.netloc:
            return url if "://" not in url else "(not a URL)"
        name, at, host = parts.netloc.rpartition("@")
        user = f"{name.partition(':')[0]}:***" if ":" in name else name
        return f"{parts.scheme}://{user}{at}{host}{parts.path}"
    except ValueError:
        return "(not a URL)"
