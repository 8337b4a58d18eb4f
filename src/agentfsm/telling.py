"""Telling the observer: every audit row at least once, and never before it is durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentfsm.ports import Store
from agentfsm.records import Commit, Task

Observer = Callable[[Mapping[str, object]], None]
_REMEMBERED = 10_000


class Telling:
    """Shows an observer the audit rows of each commit.

    A process may die between a commit and its telling, so the first one to go on with the task tells the rows of
    the last version again, marked `again: True`; who counts them does so by `version`.
    """

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer
        self._last: dict[str, int] = {}

    def tell(self, change: Commit, version: int) -> None:
        """Tell the rows of a commit."""
        if self._observer is None:
            return
        self._remember(change.task.request_id, version)
        for row in change.audit:
            self._observer({**row, "request_id": change.task.request_id, "version": version})

    async def catch_up(self, store: Store, task: Task) -> None:
        """Tell the rows of the task's last version, if somebody else committed them and may not have told."""
        name = task.request_id
        if self._observer is None or task.version in {0, self._last.get(name)}:
            return
        self._remember(name, task.version)
        for row in await store.audit(name):
            if row["version"] == task.version:
                facts = {key: value for key, value in row.items() if key != "at"}
                self._observer({**facts, "request_id": name, "again": True})

    def _remember(self, name: str, version: int) -> None:
        self._last.pop(name, None)
        self._last[name] = version
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
