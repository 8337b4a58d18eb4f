"""Token counts of providers: what is missing, or cannot be, is not taken for zero."""

from __future__ import annotations

from typing import Any

from agentfsm.turns import Usage


def usage_of(given: Any, got: Any, cached: Any) -> Usage | None:
    """Return the usage, or None where a count is missing; no call is free, so a zero is a missing count."""
    if not (_counted(given) and _counted(got)):
        return None
    known = cached if _counted(cached) and cached <= given else None
    return Usage(input_tokens=given, output_tokens=got, cached_tokens=known)


def _counted(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**53
