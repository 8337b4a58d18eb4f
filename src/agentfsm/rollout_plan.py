"""Rollouts: which version of a workflow a new task starts with, and when a canary has to go back. Pure.

A task stays on the version it started with, so a rollout is asked once, at its start. Who belongs to the canary
depends on the workflow's name and the request id alone: whoever is in at 5 % is in at 10 % as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from agentfsm.errors import DefinitionError, did_you_mean

BAD = frozenset({"failed", "limit", "unknown"})
"""Outcomes that speak against a version. A user who cancels speaks neither way, but counts as a task."""


@dataclass(frozen=True)
class Rollout:
    """How the versions of one workflow share its new tasks.

    `percent` of them start with `canary`, the others with `stable`. Once both have ended `min_tasks` tasks, a canary
    whose share of bad outcomes is more than `worse_by` above that of the stable version is rolled back; None never
    does, and with 50 percent that is an A-B test. `shadow` runs beside every live task with its effects stubbed.
    """

    stable: int
    canary: int | None = None
    percent: float = 0.0
    min_tasks: int = 50
    worse_by: float | None = 0.05
    shadow: int | None = None

    def __post_init__(self) -> None:
        if faults := list(_faults(self)):
            raise DefinitionError(f"rollout: {'; '.join(faults)}")

    @classmethod
    def of(cls, value: object) -> Self:
        """Read a rollout from plain data; raise DefinitionError with everything that is wrong."""
        if not isinstance(value, Mapping):
            raise DefinitionError(f"rollout: found {type(value).__name__}, expected a mapping such as {{'stable': 1}}")
        known = [field.name for field in fields(cls)]
        faults = [f"unknown key {name!r}.{did_you_mean(str(name), known)}" for name in value if name not in known]
        if "stable" not in value:
            faults.append("key 'stable' is missing; add the version that is known to work")
        if faults:
            raise DefinitionError(f"rollout: {'; '.join(faults)}")
        return cls(**value)

    def describe(self) -> dict[str, Any]:
        """Return the rollout as plain data, as `of` reads it."""
        return asdict(self)


@dataclass(frozen=True)
class RolledBack:
    """A canary that did worse: the evidence, and the rollout to go on with.

    `bad` is the share of bad outcomes (0 to 1), `tasks` how many have ended, each of the canary and of the stable one.
    """

    version: int
    bad: float
    tasks: int
    stable_bad: float
    stable_tasks: int
    then: Rollout


def choose(rollout: Rollout, name: str, request_id: str) -> int:
    """Return the version that a new task of workflow `name` starts with."""
    if rollout.canary is None or place(name, request_id) >= rollout.percent:
        return rollout.stable
    return rollout.canary


def place(name: str, request_id: str) -> float:
    """Return where a task stands among all tasks of a workflow: at least 0, below 100, for ever the same."""
    drawn = hashlib.sha256(f"{name}\0{request_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(drawn[:6]) / 2**48 * 100


def judge(rollout: Rollout, outcomes: Mapping[str, Mapping[str, int]]) -> RolledBack | None:
    """Return the canary's end where its outcomes demand one, else None.

    `outcomes` counts how tasks ended by label: `{"refund@2": {"success": 3, "failed": 1}}`, as `Store.outcomes` does.
    """
    if rollout.canary is None or rollout.worse_by is None:
        return None
    tasks, bad = _share(outcomes, rollout.canary)
    stable_tasks, stable_bad = _share(outcomes, rollout.stable)
    if min(tasks, stable_tasks) < rollout.min_tasks or round(bad - stable_bad, 9) <= rollout.worse_by:
        return None
    then = replace(rollout, canary=None, percent=0.0)
    return RolledBack(rollout.canary, bad, tasks, stable_bad, stable_tasks, then)


def _share(outcomes: Mapping[str, Mapping[str, int]], version: int) -> tuple[int, float]:
    found = [counts for label, counts in outcomes.items() if label.rpartition("@")[2] == str(version)]
    tasks = sum(sum(counts.values()) for counts in found)
    bad = sum(count for counts in found for outcome, count in counts.items() if outcome in BAD)
    return tasks, bad / tasks if tasks else 0.0


def _faults(rollout: Rollout) -> Any:
    for name in ("stable", "canary", "shadow", "min_tasks"):
        value = getattr(rollout, name)
        optional = name in {"canary", "shadow"}
        if (value is not None or not optional) and (type(value) is not int or value < 1):
            yield f"{name} is {value!r}, expected a whole number from 1{' or null' if optional else ''}"
    if not _number(rollout.percent, 100):
        yield f"percent is {rollout.percent!r}, expected a number from 0 to 100"
    elif rollout.percent and rollout.canary is None:
        yield f"percent is {rollout.percent!r} but there is no canary; name its version or set percent to 0"
    if rollout.worse_by is not None and not _number(rollout.worse_by, 1):
        yield f"worse_by is {rollout.worse_by!r}, expected a share from 0 to 1, or null for no roll-back"
    for name in ("canary", "shadow"):
        if getattr(rollout, name) == rollout.stable:
            yield f"{name} is {rollout.stable!r}, which is the stable version; name another one"


def _number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
