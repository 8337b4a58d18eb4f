"""Whose call is this: the run that a connection or a request belongs to, where several are on in one process.

The rule, in this order:

1. The run that was put in place in the calling context: `contextvars` carries it into tasks and `asyncio.to_thread`.
2. Else the one that is on, where exactly one is. So the threads that an agent starts reach the model of their test.
3. Else nobody knows: several runs are on, and a thread without a context of its own asks. That is refused, and it is
   on the record of each of them. `contextvars.copy_context().run` takes the context along into such a thread.

A run that is put in place inside another one, in the same context, stands in its way until it is taken away.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")
_CLIENTS = frozenset({"http.client", "urllib.request", "xmlrpc.client", "ftplib", "smtplib", "imaplib"})
_OVER_HTTP_CLIENT = frozenset({"urllib3", "requests"})


class Ambiguous(LookupError):
    """Several are on and the context says nothing. `candidates` are all of them."""

    def __init__(self, candidates: tuple[object, ...]) -> None:
        super().__init__(
            f"{len(candidates)} tests are running in this process and this thread does not say to which it belongs; "
            "start it with threading.Thread(target=contextvars.copy_context().run, args=(work,)) or asyncio.to_thread"
        )
        self.candidates = candidates


class Whose(Generic[T]):
    """Those that are on, one kind of them; `enter` and `leave` are a pair."""

    def __init__(self, name: str) -> None:
        self._mine: ContextVar[tuple[T, ...]] = ContextVar(name, default=())
        self._on: tuple[T, ...] = ()

    def enter(self, one: T) -> None:
        """From now on calls out of this context are its own."""
        outer = self._mine.get()
        self._on = (*(other for other in self._on if not outer or other is not outer[-1]), one)
        self._mine.set((*outer, one))

    def leave(self, one: T) -> bool:
        """Undo `enter`, in the same context. Returns whether none is on any more."""
        outer = tuple(other for other in self._mine.get() if other is not one)
        was_on = any(other is one for other in self._on)
        self._mine.set(outer)
        back = outer[-1:] if was_on else ()
        self._on = (*(other for other in self._on if other is not one), *back)
        return not self._on

    def current(self) -> T | None:
        """Whose a call is that is made here and now; None where none is on. Raises Ambiguous."""
        mine, on = self._mine.get(), self._on
        if mine and mine[-1] in on:
            return mine[-1]
        if len(on) > 1:
            raise Ambiguous(on)
        return on[0] if on else None


def calling_library() -> str:
    """The library that asked: the nearest frame outside the standard library and this package.

    Where the standard library has a client of its own in between, such as `urllib.request`, that is named too.
    """
    frame: FrameType | None = sys._getframe(1)
    client = ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "pytest_agent":
            return f"{top} through {client}" if client and top not in _OVER_HTTP_CLIENT else top
        if name in _CLIENTS:
            client = name
        frame = frame.f_back
    return f"the test through {client}" if client else "the test"
