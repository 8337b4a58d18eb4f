"""A selector that lets other threads see whether its loop waits."""

from __future__ import annotations

import selectors
from typing import Any


class SeenSelector(selectors.DefaultSelector):
    """The system's own. Who finds the same `waits_since` before and after a look has seen a loop that did nothing.

    Any thread may look.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0
        self.waits_since: int | None = None
        """Which of the loop's waits this is; None while it runs, or only looks in passing."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        """As the system's own."""
        if timeout is not None and timeout <= 0:  # the loop has more to do
            return super().select(timeout)
        self._turns += 1
        self.waits_since = self._turns
        try:
            return super().select(timeout)
        finally:
            self.waits_since = None
