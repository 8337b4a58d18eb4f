"""The event loop of virtual time: asyncio's own, with another clock and a selector that jumps."""

from __future__ import annotations

import asyncio
import itertools
import math
import selectors
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from pytest_agent.clock import _real
from pytest_agent.clock._active import active
from pytest_agent.clock._descriptors import Descriptor, HasFileno, describe
from pytest_agent.clock._hang import nothing_to_wait_for
from pytest_agent.clock._ready import ReadyHandles
from pytest_agent.clock._waiters import IdleLoop

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Events = list[tuple[selectors.SelectorKey, int]]


class VirtualSelector(selectors.BaseSelector):
    """A real selector that asks the clock before it waits."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self._loop: VirtualEventLoop | None = None
        self._foreign: dict[int, Descriptor | None] = {}  # named when first asked for

    def belongs_to(self, loop: VirtualEventLoop) -> None:
        """What is registered until now is the loop's own self-pipe; the rest comes from the program."""
        self._loop = loop
        self._foreign.clear()

    def register(self, fileobj: int | HasFileno, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._real.register(fileobj, events, data)
        self._foreign[key.fd] = None
        return key

    def unregister(self, fileobj: int | HasFileno) -> selectors.SelectorKey:
        key = self._real.unregister(fileobj)
        self._foreign.pop(key.fd, None)
        return key

    def modify(self, fileobj: int | HasFileno, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[int | HasFileno, selectors.SelectorKey]:
        return self._real.get_map()

    def get_key(self, fileobj: int | HasFileno) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> _Events:
        clock = active()
        if clock is None or self._loop is None:
            return self._real.select(timeout)
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        clock.inside.catch_up()
        waiter = IdleLoop(
            math.inf if timeout is None else clock.monotonic() + timeout, self._loop.wake, self._descriptors
        )
        self._loop.waiter = waiter
        try:
            with clock.inside.waiting(waiter):
                # Only now, when whoever wakes the loop also tells the clock, can an empty answer be trusted.
                events = self._real.select(0)
                while not events:
                    pause = clock.inside.decide(waiter)
                    if waiter.woken:
                        return self._real.select(0)
                    if pause == math.inf:
                        raise nothing_to_wait_for(self._loop)
                    events = self._real.select(pause)
                return events
        finally:
            self._loop.waiter = None

    def _descriptors(self) -> list[Descriptor]:
        for fd, known in self._foreign.items():
            if known is None:
                self._foreign[fd] = describe(fd)
        return [descriptor for descriptor in self._foreign.values() if descriptor is not None]


class _Moment(float):
    """A timer's time that comes after the same time of an earlier timer.

    In real time no two calls of `call_later(1, …)` are due at once, and they fire in the order of the calls. In
    virtual time they tie, and asyncio's heap would fire them in any order.
    """

    order: int

    def __lt__(self, other: float) -> bool:
        if float.__eq__(self, other) and isinstance(other, _Moment):
            return self.order < other.order
        return float.__lt__(self, other)


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose `time()` is the installed clock's, and real when none is installed."""

    def __init__(self) -> None:
        selector = VirtualSelector()
        self.waiter: IdleLoop | None = None
        self._timers = itertools.count()
        super().__init__(selector)
        selector.belongs_to(self)
        self._ready = ReadyHandles()
        # Virtual time is exact on every platform; a coarse resolution would fire timers early.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual monotonic seconds while a clock is installed."""
        clock = active()
        return _real.monotonic() if clock is None else clock.monotonic()

    def wake(self) -> None:
        """Interrupt the selector; any thread may call it."""
        self._write_to_self()  # type: ignore[attr-defined]

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """As asyncio's. How the tasks end that were left when a loop is closed is no order that could be chosen."""
        left = getattr(future, "_children", ())
        self._ready.closing = bool(left) and all(isinstance(task, asyncio.Task) and task.cancelling() for task in left)
        return super().run_until_complete(future)

    def run_forever(self) -> None:
        """Run until stopped; the clock knows meanwhile that this thread runs a loop."""
        ident = self._ready.owner = threading.get_ident()
        clock = active()
        if clock is not None:
            clock.inside.loop_runs(ident)
        try:
            super().run_forever()
        finally:
            self._ready.owner = 0
            clock = active()
            if clock is not None:
                clock.inside.loop_ended(ident)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's; timers of the same time fire in the order in which they were set."""
        moment = _Moment(when)
        moment.order = next(self._timers)
        return super().call_at(moment, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's. The loop counts as at work from here on, not only when its thread wakes up."""
        waiter, clock = self.waiter, active()
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        if waiter is not None and clock is not None:
            clock.inside.leave(waiter)
        return handle

    def _add_callback(self, handle: asyncio.Handle) -> None:
        """What a descriptor has to say comes in no order of ours."""
        self._ready.from_outside(handle)
        super()._add_callback(handle)  # type: ignore[misc]

    def _counted(self, what: str) -> AbstractContextManager[None]:
        clock = active()
        return nullcontext() if clock is None else clock.busy(f"loop.{what}")

    async def sock_recv(self, *args: Any) -> bytes:
        """As asyncio's; counted as work in flight, like the other socket operations."""
        with self._counted("sock_recv"):
            return await super().sock_recv(*args)

    async def sock_recv_into(self, *args: Any) -> int:
        """As asyncio's."""
        with self._counted("sock_recv_into"):
            return await super().sock_recv_into(*args)

    async def sock_recvfrom(self, *args: Any) -> Any:
        """As asyncio's."""
        with self._counted("sock_recvfrom"):
            return await super().sock_recvfrom(*args)

    async def sock_recvfrom_into(self, *args: Any) -> Any:
        """As asyncio's."""
        with self._counted("sock_recvfrom_into"):
            return await super().sock_recvfrom_into(*args)

    async def sock_sendall(self, *args: Any) -> None:
        """As asyncio's."""
        with self._counted("sock_sendall"):
            return await super().sock_sendall(*args)

    async def sock_sendto(self, *args: Any) -> int:
        """As asyncio's."""
        with self._counted("sock_sendto"):
            return await super().sock_sendto(*args)

    async def sock_connect(self, *args: Any) -> None:
        """As asyncio's."""
        with self._counted("sock_connect"):
            return await super().sock_connect(*args)

    async def sock_accept(self, *args: Any) -> Any:
        """As asyncio's."""
        with self._counted("sock_accept"):
            return await super().sock_accept(*args)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop that follows the installed clock, if there is one."""
    return VirtualEventLoop()
