"""A circuit breaker per tool: calls stop after so many failures in a row, and one probe asks whether they may go on.

Pure: the state is plain JSON, `{"state", "failures", "opened_at", "until", "probe"}`, shared by all workers. What is
no such state blocks nothing and is replaced by the next reply.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentfsm.errors import DefinitionError
from agentfsm.recovery import ErrorClass

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FAR_S = 3600.0
"""Seconds; what claims to last longer than this from now was written by a clock that is wrong."""

_NOTHING_LEARNED = frozenset({"throttled", "breaker_open", "cancelled", "interrupted"})
_BROKEN = frozenset({"tool_crashed", "undeclared_error_code"})
_FAILURES = frozenset({ErrorClass.TRANSIENT, ErrorClass.CONTRACT_VIOLATION})


@dataclass(frozen=True)
class Allowed:
    """The call may be made; where `claims` is not None, only once that value is stored in place of the one read."""

    claims: dict[str, Any] | None = None


@dataclass(frozen=True)
class Blocked:
    """The call may not be made before `until`, in seconds since the epoch."""

    until: float


ALLOWED = Allowed()


def healthy(error: ErrorClass | None, code: str) -> bool | None:
    """Whether a reply speaks for its tool; None where it says nothing of it, for it was not asked or not heard.

    Transient failures, contract violations and crashes speak against it. An invalid input or a refusal speaks for it:
    it answered.
    """
    if code in _NOTHING_LEARNED:
        return None
    return error not in _FAILURES and code not in _BROKEN


@dataclass(frozen=True)
class Breaker:
    """The rules of one breaker. It opens after `threshold` failures in a row over all workers, for `cool_s` seconds.

    Then one call at a time is let through as a probe. A success closes the breaker, a failure opens it again; a probe
    that has not been heard of for `probe_s` seconds is given up, which must be longer than a call may take.
    """

    threshold: int = 5
    cool_s: float = 30.0
    probe_s: float = 30.0

    def __post_init__(self) -> None:
        if self.threshold < 1 or not 0 < self.cool_s <= FAR_S or not 0 < self.probe_s <= FAR_S:
            raise DefinitionError(f"{self}: threshold must be at least 1, the seconds above 0 and at most {FAR_S:.0f}")

    def allow(self, value: Any, now: float, owner: str) -> Allowed | Blocked:
        """Say whether a call may be made. `owner` names this one call (step key and attempt), not the worker."""
        if value is None or _fault(value, now) or value["state"] == CLOSED:
            return ALLOWED
        probe = value["probe"]
        if probe is not None and probe["owner"] == owner:
            return ALLOWED  # its claim was stored already, though it may not have heard so
        until = value["until"] if probe is None else probe["until"]
        if now < until:
            return Blocked(until)
        return Allowed({**value, "state": HALF_OPEN, "probe": {"owner": owner, "until": now + self.probe_s}})

    def after(self, value: Any, ok: bool | None, now: float, owner: str) -> dict[str, Any] | None:
        """Return the value after a reply (see `healthy`), or None where nothing changes.

        While the breaker is not closed only its probe counts: other replies belong to calls that began before.
        """
        if value is None:
            return self._failed(0, now) if ok is False else None
        if _fault(value, now):
            return _closed(0) if ok is not False else self._failed(0, now)
        if value["state"] == CLOSED:
            if ok is False:
                return self._failed(value["failures"], now)
            return _closed(0) if ok and value["failures"] else None
        probe = value["probe"]
        if probe is None or probe["owner"] != owner:
            return None
        if ok is None:
            return {**value, "probe": None}  # `until` has passed: the next call is the probe
        return _closed(0) if ok else self._opened(value["failures"] + 1, now)

    def _failed(self, failures: int, now: float) -> dict[str, Any]:
        failures += 1
        return self._opened(failures, now) if failures >= self.threshold else _closed(failures)

    def _opened(self, failures: int, now: float) -> dict[str, Any]:
        return {"state": OPEN, "failures": failures, "opened_at": now, "until": now + self.cool_s, "probe": None}


def state_of(value: Any, now: float) -> str:
    """Return `closed`, `open` or `half_open`; what is malformed blocks nothing, and so is `closed`."""
    return CLOSED if value is None or _fault(value, now) else str(value["state"])


def malformed(value: Any, now: float) -> str | None:
    """Return what is wrong with a stored value, or None where it is sound or absent."""
    return None if value is None else _fault(value, now)


def _closed(failures: int) -> dict[str, Any]:
    return {"state": CLOSED, "failures": failures, "opened_at": None, "until": None, "probe": None}


def _fault(value: Any, now: float) -> str | None:
    if not isinstance(value, Mapping):
        return f"an object was expected, not {type(value).__name__}"
    if missing := {"state", "failures", "until", "probe"} - set(value):
        return f"{sorted(missing)} is missing"
    state, failures, probe = value["state"], value["failures"], value["probe"]
    if state not in (CLOSED, OPEN, HALF_OPEN):
        return f"state must be {CLOSED}, {OPEN} or {HALF_OPEN}"
    if type(failures) is not int or failures < 0:
        return "failures must be a number of failures"
    if state == CLOSED:
        return None
    if not _moment(value["until"], now):
        return "until must be a moment, at most an hour ahead"
    if probe is not None and not (
        isinstance(probe, Mapping) and isinstance(probe.get("owner"), str) and _moment(probe.get("until"), now)
    ):
        return "probe must be null, or an owner and a moment at most an hour ahead"
    return None


def _moment(value: Any, now: float) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value <= now + FAR_S
