"""Everything that a clock replaces in the process, put in and taken out together."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from pytest_agent.clock._active import active
from pytest_agent.clock._loop import new_event_loop
from pytest_agent.clock._modules import Replacements
from pytest_agent.clock._pools import anyio_stand_in, real_submit, submit
from pytest_agent.clock._stand_ins import STAND_INS
from pytest_agent.clock._time_outs import METHODS


class _Process:
    """The one process. Made at the first install, so that importing the package looks through no module."""

    def __init__(self) -> None:
        self._modules = Replacements()
        for original, stand_in in STAND_INS.items():
            self._modules.add(original, stand_in)
        self._modules.add(_real_new_event_loop, _new_event_loop)
        self._anyio: ModuleType | None = None
        self._policies: list[Any] = []
        self._are_in = False
        self.keepers = 0

    def put_in(self) -> None:
        self.catch_up(put_in=False)
        self._modules.put_in(again=self._are_in)
        self._are_in = True
        for owner, name, original, stand_in in METHODS:
            # As in modules: an author's own monkeypatch is left alone.
            if getattr(owner, name) is original:
                setattr(owner, name, stand_in)
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign,assignment]
        if sys.version_info < (3, 14):
            # `asyncio.get_event_loop()` makes a loop by itself in the main thread, through the policy.
            policy = asyncio.get_event_loop_policy()
            if vars(policy).get("new_event_loop") is not _new_event_loop:
                vars(policy)["new_event_loop"] = _new_event_loop
                self._policies.append(policy)

    def take_out(self) -> None:
        if self.keepers or not self._are_in:
            return
        self._are_in = False
        self._modules.take_out()
        for owner, name, original, stand_in in METHODS:
            if getattr(owner, name) is stand_in:
                setattr(owner, name, original)
        ThreadPoolExecutor.submit = real_submit  # type: ignore[method-assign]
        while self._policies:
            vars(self._policies.pop()).pop("new_event_loop", None)

    def catch_up(self, *, put_in: bool) -> None:
        """Count anyio's worker threads from the moment somebody has imported anyio."""
        to_thread = sys.modules.get("anyio.to_thread")
        if to_thread is not self._anyio:
            self._anyio = to_thread
            if to_thread is not None:
                self._modules.add(*anyio_stand_in(to_thread))
                if put_in:
                    self._modules.put_in()


_real_new_event_loop = asyncio.new_event_loop
_process: _Process | None = None


def _the_process() -> _Process:
    global _process
    _process = _process or _Process()
    return _process


def put_in() -> None:
    """Replace the functions of the process by those that ask the active clock."""
    _the_process().put_in()


def take_out() -> None:
    """Put everything back as it was, unless somebody keeps it."""
    if _process is not None:
        _process.take_out()


def keep() -> None:
    """Leave in what the first clock puts in, until `let_go`: without a clock it does what the real thing does.

    Putting it in looks through every module of the process.
    """
    _the_process().keepers += 1


def let_go() -> None:
    """Put everything back as it was, unless a clock is installed or there was another `keep`."""
    process = _the_process()
    process.keepers -= 1
    if active() is None:
        process.take_out()


def catch_up() -> None:
    """Replace what was imported since `put_in`. Costs a dictionary look-up when there is nothing to do."""
    if _process is not None:
        _process.catch_up(put_in=True)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """What `asyncio.new_event_loop` becomes: a loop that follows the installed clock; as ever where there is none."""
    if active() is not None:
        return new_event_loop()
    if sys.version_info >= (3, 14):
        return _real_new_event_loop()
    policy = asyncio.get_event_loop_policy()
    return type(policy).new_event_loop(policy)
