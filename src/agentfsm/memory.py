"""The last good answers of tools, for the fallback `Cached`. Kept in this process, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = 1_000


class Memory:
    """Answers by tool and input hash."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}

    def keep(self, tool: str, input_hash: str, at: float, output: Mapping[str, Any]) -> None:
        """Remember an answer; the oldest ones are forgotten."""
        self._answers.pop((tool, input_hash), None)
        self._answers[tool, input_hash] = (at, output)
        if len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]

    def get(self, tool: str, input_hash: str, since: float) -> Mapping[str, Any] | None:
        """Return the answer to this input, if it was given at or after `since`."""
        at, output = self._answers.get((tool, input_hash), (0.0, None))
        return output if output is not None and at >= since else None
