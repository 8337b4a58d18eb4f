"""Policy: what the shared controls say of a running task. Pure; made once per change, asked once per step.

Keys: `kill:all`, `kill:workflow:NAME` (or `NAME@VERSION`), `kill:tool:NAME`, `flag:NAME`, `rollout:NAME`,
`breaker:TOOL`. A kill switch is `off`, `pause` (nothing new is begun until it is off) or `stop` (tasks end), or
`{"strength": ..., "why": ...}`. A flag is true, false, or `{"on": true, "until": "2026-12-31"}`: on through that day
(UTC), or up to that moment. A flag or a rollout that is null is not set. What is stored and cannot be read fails
safe: the switch stops, the flag is off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

from agentfsm.contracts import ToolContract
from agentfsm.errors import DefinitionError, InvalidControl, did_you_mean
from agentfsm.records import Control
from agentfsm.rollout_plan import Rollout

Strength = Literal["off", "pause", "stop"]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
KINDS = ("kill", "flag", "rollout", "breaker")
_UNSET = frozenset({"flag", "rollout"})
_NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,200}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Switches:
    """What is switched how. `faults` names stored controls that could not be read, and what they were taken for."""

    everything: Strength = "off"
    workflows: Mapping[str, Strength] = field(default_factory=dict)
    tools: Mapping[str, Strength] = field(default_factory=dict)
    flags: Mapping[str, float] = field(default_factory=dict)
    """Until when each flag is on, in seconds since the epoch; one that is off is not among them."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, controls: Mapping[str, Control]) -> Switches:
        """Read them from all controls of a store."""
        made = _Making()
        for key in sorted(controls):
            made.add(key, controls[key].value)
        return cls(made.everything, made.workflows, made.tools, made.flags, made.rollouts, tuple(made.faults))

    def stopped(self, workflow_label: str) -> Strength:
        """Return the strongest switch that is on for a workflow, given as `name@version`."""
        if not self.workflows:
            return self.everything
        name = workflow_label.rpartition("@")[0]
        named = (self.workflows.get(name, "off"), self.workflows.get(workflow_label, "off"))
        return max(self.everything, *named, key=STRENGTHS.index)

    def tool_disabled(self, contract: ToolContract, now: float) -> str | None:
        """Return why a tool is not to be had at `now` (seconds since the epoch), in words for the model, or None."""
        if contract.name in self.tools:
            return f"{contract.name!r} is switched off by an operator."
        if contract.flag is not None and not self.flag(contract.flag, now):
            return f"{contract.name!r} is not switched on here."
        return None

    def flag(self, name: str, now: float) -> bool:
        """Whether a flag is on at `now`. An unknown one is off."""
        return now < self.flags.get(name, 0.0)


def check_control(key: str, value: object) -> None:
    """Raise InvalidControl where `value` is not to be stored under `key`, with what is wrong and the edit to make."""
    try:
        kind, _ = _split(key)
        if kind in _UNSET and value is None:
            return
        if kind == "kill":
            _strength(value)
        elif kind == "flag":
            _until(value)
        elif kind == "rollout":
            Rollout.of(value)
        else:
            _check_breaker(value)
    except DefinitionError as error:
        raise InvalidControl(f"{_short(key)}: {error}", key=key) from None


class _Making:
    def __init__(self) -> None:
        self.everything: Strength = "off"
        self.workflows: dict[str, Strength] = {}
        self.tools: dict[str, Strength] = {}
        self.flags: dict[str, float] = {}
        self.rollouts: dict[str, Rollout] = {}
        self.faults: list[str] = []

    def add(self, key: str, value: object) -> None:
        kind = key.partition(":")[0]
        try:
            kind, name = _split(key)
            if kind in _UNSET and value is None:
                return
            if kind == "kill":
                self._kill(name, _strength(value))
            elif kind == "flag" and (until := _until(value)):
                self.flags[name] = until
            elif kind == "rollout":
                self.rollouts[name] = Rollout.of(value)
        except DefinitionError as error:
            taken = {"kill": "taken for 'stop'", "flag": "taken for off"}.get(kind, "left out")
            self.faults.append(f"{_short(key)}: {error}; {taken}")
            if kind == "kill":
                self._kill(key.partition(":")[2], "stop")

    def _kill(self, name: str, strength: Strength) -> None:
        if strength == "off":
            return
        scope, _, target = name.partition(":")
        if scope == "workflow" and target:
            self.workflows[target] = strength
        elif scope == "tool" and target:
            self.tools[target] = strength
        else:  # `all`, or a scope that nobody here knows, which may mean anything
            self.everything = max(self.everything, strength, key=STRENGTHS.index)


def _split(key: str) -> tuple[str, str]:
    kind, colon, name = key.partition(":")
    if kind not in KINDS or not colon:
        raise DefinitionError(f"a key is KIND:NAME.{did_you_mean(kind, KINDS)}")
    if kind == "kill":
        scope, _, target = name.partition(":")
        if name != "all" and (scope not in {"workflow", "tool"} or not target):
            raise DefinitionError("a kill switch is kill:all, kill:workflow:NAME or kill:tool:NAME")
    if not _NAME.fullmatch(name):
        raise DefinitionError("a name has 1 to 200 characters and no blanks among them")
    return kind, name


def _strength(value: object) -> Strength:
    _check_keys(value, ("strength", "why"))
    found = value.get("strength") if isinstance(value, Mapping) else value
    if not isinstance(found, str) or found not in STRENGTHS:
        hint = did_you_mean(found, STRENGTHS) if isinstance(found, str) else f" Known: {', '.join(STRENGTHS)}."
        raise DefinitionError(f"found {_short(found)}, expected a strength.{hint}")
    return found


def _until(value: object) -> float:
    """Return until when the flag is on: 0.0 where it is off, infinity where no end is named."""
    _check_keys(value, ("on", "until"))
    on, until = (value.get("on"), value.get("until")) if isinstance(value, Mapping) else (value, None)
    if not isinstance(on, bool):
        raise DefinitionError(f"found {_short(on)}, expected true or false")
    end = float("inf") if until is None else _moment(until)
    return end if on else 0.0


def _check_breaker(value: object) -> None:
    if not isinstance(value, Mapping):
        raise DefinitionError(f"found {_short(value)}, expected a mapping with the state of the breaker")


def _moment(text: object) -> float:
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            midnight = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return (midnight + timedelta(days=1)).timestamp()
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DefinitionError(f"until is {_short(text)}, expected a day (2026-12-31) or a time (2026-12-31T18:00:00Z)")
    return moment.timestamp()


def _check_keys(value: object, known: tuple[str, ...]) -> None:
    for name in value if isinstance(value, Mapping) else ():
        if name not in known:
            raise DefinitionError(f"unknown key {_short(name)}.{did_you_mean(str(name), known)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
