"""A store on a server, under a virtual clock."""

from __future__ import annotations

import functools
import inspect
from typing import Any
from urllib.parse import urlsplit

from pytest_agent.clock import active

_POSTGRES = 5432


class FarStore:
    """Whatever the store is asked counts as work until its answer is there; between two questions time may jump.

    `url` is where its server is; the connections kept open to it are nothing that an agent waits for.
    """

    def __init__(self, store: Any, url: str) -> None:
        self._store = store
        clock = active()
        if clock is not None:
            clock.ignore_socket(f":{urlsplit(url).port or _POSTGRES} ")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        async def counted(*arguments: Any, **named: Any) -> Any:
            clock = active()
            if clock is None:
                return await found(*arguments, **named)
            with clock.busy(f"store.{name}"):
                return await found(*arguments, **named)

        return counted
