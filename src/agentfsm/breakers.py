"""The breakers of all tools, shared by all workers through the store's controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from agentfsm.breaker import ALLOWED, HALF_OPEN, Allowed, Blocked, Breaker, malformed, state_of
from agentfsm.errors import Conflict, StoreError
from agentfsm.ports import Clock, Store
from agentfsm.records import Control

PREFIX = "breaker:"
SOON_S = 1.0
"""Seconds after which to ask again where the store could not say."""
_TRIES = 16

Controls = MutableMapping[str, Control]
"""The controls as this process last saw them; what the breakers write or read anew is put there too."""
Report = Callable[[str, Mapping[str, Any]], None]
"""Is told of what went wrong: a code, and facts as plain data."""


class Breakers:
    """Asks before a call and takes down its reply, by compare-and-set, so that workers agree.

    A breaker only ever advises: where the store cannot do its work, a call that would be a probe is blocked for
    `SOON_S`, a reply is not counted, and `report` is told (`breaker_store`). It is also told of a stored value that
    is no state of a breaker (`breaker_malformed`).
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        breaker: Breaker | None = None,
        *,
        per_tool: Mapping[str, Breaker] | None = None,
        report: Report | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._breaker = breaker or Breaker()
        self._per_tool = dict(per_tool or {})
        self._report = report or _unheard
        self._reported: set[tuple[str, int]] = set()

    async def allow(self, controls: Controls, tool: str, owner: str) -> Allowed | Blocked:
        """Say whether the call `owner` of `tool` may be made now; a probe is claimed before this returns."""
        key = PREFIX + tool
        if key not in controls:
            return ALLOWED
        for _ in range(_TRIES):
            now, value = self._clock.time(), self._read(controls, key)
            said = self._rules(tool).allow(value, now, owner)
            if isinstance(said, Blocked) or said.claims is None:
                return said
            try:
                if await self._stored(controls, key, said.claims, now):
                    return ALLOWED
            except StoreError as error:
                self._report("breaker_store", {"tool": tool, "error": error.code})
                break
        return Blocked(self._clock.time() + SOON_S)

    async def record(self, controls: Controls, tool: str, owner: str, ok: bool | None) -> tuple[str, ...]:
        """Take down a reply (see `breaker.healthy`); return the states that the breaker went through for it.

        `open` or `closed` where it has just become so, after `half_open` where the call was its probe; else nothing.
        """
        key = PREFIX + tool
        if ok is not False and key not in controls:
            return ()
        for _ in range(_TRIES):
            now, value = self._clock.time(), self._read(controls, key)
            new = self._rules(tool).after(value, ok, now, owner)
            if new is None:
                return ()
            try:
                if await self._stored(controls, key, new, now):
                    before = state_of(value, now)
                    if new["state"] == before:
                        return ()
                    return (before, new["state"]) if before == HALF_OPEN else (new["state"],)
            except StoreError as error:
                self._report("breaker_store", {"tool": tool, "error": error.code})
                return ()
        self._report("breaker_store", {"tool": tool, "error": Conflict.default_code})
        return ()

    def _rules(self, tool: str) -> Breaker:
        return self._per_tool.get(tool, self._breaker)

    def _read(self, controls: Controls, key: str) -> Any:
        held = controls.get(key)
        if held is None:
            return None
        fault = malformed(held.value, self._clock.time())
        if fault is not None and (key, held.version) not in self._reported:
            self._reported.add((key, held.version))
            self._report("breaker_malformed", {"tool": key.removeprefix(PREFIX), "fault": fault})
        return held.value

    async def _stored(self, controls: Controls, key: str, value: dict[str, Any], now: float) -> bool:
        """Write the value in place of the one that was read; where another worker was faster, read its own."""
        held = controls.get(key)
        try:
            version = await self._store.set_control(key, value, now, expected=held.version if held else 0)
        except Conflict:
            _number, fresh = await self._store.controls()
            if key in fresh:
                _keep(controls, fresh[key])
            else:
                controls.pop(key, None)
            return False
        _keep(controls, Control(key, value, version))
        return True


def _keep(controls: Controls, control: Control) -> None:
    """Put a control into the cache, unless something newer got there meanwhile."""
    held = controls.get(control.key)
    if held is None or held.version <= control.version:
        controls[control.key] = control


def _unheard(_code: str, _facts: Mapping[str, Any]) -> None:
    """Nobody asked to be told."""
