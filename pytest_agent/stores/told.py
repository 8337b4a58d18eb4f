"""In the process of a command: every commit below its folder is told to the test before it is made, and after it.

Where it is to die it is killed while it waits for the answer.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_agent.faults.seams import Seams
from pytest_agent.stores.disk import Disk
from pytest_agent.stores.faults import Failure
from pytest_agent.stores.process import Home, Process
from pytest_agent.stores.standing import observed
from pytest_agent.trace import Trace

_LIMIT_S = 60.0
_FOR_EVER = ExitStack()


class _Clock:
    elapsed_s = 0.0


class _TellingDisk(Disk):
    """Files that are looked after elsewhere: what is flushed is told there."""

    tell: Callable[[dict[str, Any]], Any]

    def flushed(self, name: str | None = None) -> None:
        """Tell it."""
        self.tell({"phase": "flushed", "name": name})

    def renamed(self, old: str | None, new: str | None) -> None:
        """Tell it."""
        self.tell({"phase": "renamed", "name": old, "new": new})

    def removed(self, name: str) -> None:
        """Tell it."""
        self.tell({"phase": "removed", "name": name})


class _Telling(Process):
    """A process whose faults are elsewhere."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(Home(Seams(Trace(_Clock())), folder), 1)
        self._place = urlsplit(url)
        self.disk = _TellingDisk(folder)
        self.disk.tell = self._ask

    @contextmanager
    def committing(
        self, file: str, label: str, error: Callable[[Failure], BaseException], flushes: Callable[[], bool]
    ) -> Iterator[None]:
        """As of a process here, the two halves of it over the socket."""
        n = self._tell({"phase": "before"}, error)
        yield
        self._tell({"phase": "after", "n": n, "file": file, "label": label, "flushes": flushes()}, error)

    def _tell(self, said: dict[str, Any], error: Callable[[Failure], BaseException]) -> int:
        answer = self._ask(said)
        if answer["fails"] is not None:
            raise error(Failure(**answer["fails"]))
        return int(answer["n"])

    def _ask(self, said: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=_LIMIT_S)
        try:
            connection.request("POST", "/__/commits", json.dumps(said), {"content-type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer


def tell_commits(url: str, folder: str) -> None:
    """Stand between this process and its files, until it ends."""
    _FOR_EVER.enter_context(observed(_Telling(url, Path(folder))))
