"""Puts the stand-ins wherever a module holds an original, and puts the originals back.

Libraries write `from time import monotonic`, so replacing the attribute of `time` is not enough: every loaded
module is looked through once, and only the new ones after that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_agent.clock._callers import keeps_originals

_Function = Callable[..., Any]
_Place = tuple[dict[str, Any], str, _Function, _Function]


class Replacements:
    """Originals and their stand-ins, and the module attributes that hold either. One per process."""

    def __init__(self) -> None:
        self._stand_in: dict[int, tuple[_Function, _Function]] = {}
        self._original: dict[int, tuple[_Function, _Function]] = {}
        self._places: list[_Place] = []
        self._seen: list[Any] = []
        self._seen_ids: set[int] = set()

    def add(self, original: _Function, stand_in: _Function) -> None:
        """Replace `original` by `stand_in` from the next `put_in` on, in every module."""
        pair = (original, stand_in)
        self._stand_in[id(original)] = self._original[id(stand_in)] = pair
        self._seen, self._seen_ids = [], set()
        self._places.clear()

    def put_in(self, *, again: bool = False) -> None:
        """Replace the originals in every module. `again`: the stand-ins have been left in since the last time."""
        # Where they were, a module that took the place of another has found them there.
        if not again or len(sys.modules) != len(self._seen):
            self._look_through_new_modules()
        for namespace, name, original, stand_in in self._places:
            # Only where the original still stands: an author's own monkeypatch is left alone.
            if namespace.get(name) is original:
                namespace[name] = stand_in

    def take_out(self) -> None:
        """Put the originals back, also into modules that were imported meanwhile."""
        if len(sys.modules) != len(self._seen):
            # One that took the place of another is found at the next `put_in`: its stand-ins give real time until then.
            self._look_through_new_modules()
        for namespace, name, original, stand_in in self._places:
            if namespace.get(name) is stand_in:
                namespace[name] = original

    def _look_through_new_modules(self) -> None:
        modules = list(sys.modules.values())
        if modules == self._seen:  # compares by identity first: 10 µs for a thousand modules
            return
        new = [module for module in modules if id(module) not in self._seen_ids]
        self._seen, self._seen_ids = modules, {id(module) for module in modules}
        for module in new:
            # Not `isinstance`: what cffi leaves among the modules only says that it is one, and has no `__dict__`.
            if issubclass(type(module), ModuleType):
                self._look_through(module)

    def _look_through(self, module: ModuleType) -> None:
        # A lazy module loads itself at the first ordinary attribute access: go round it.
        namespace: dict[str, Any] = object.__getattribute__(module, "__dict__")
        if keeps_originals(str(namespace.get("__name__", ""))) and not _is_asyncio_door(namespace):
            return
        for name, value in list(namespace.items()):
            pair = self._stand_in.get(id(value)) or self._original.get(id(value))
            if pair is not None:
                self._places.append((namespace, name, *pair))


def _is_asyncio_door(namespace: dict[str, Any]) -> bool:
    # asyncio keeps real time, but `asyncio.run` and `Runner` must find our loop.
    return namespace.get("__name__") in {"asyncio", "asyncio.events"}
