"""Which clock is installed. One per process: the functions of `time` that it stands in for are global too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_agent.clock._clock import Clock

_installed: Clock | None = None


def active() -> Clock | None:
    """The clock that is installed now, or None."""
    return _installed


def set_active(clock: Clock | None) -> None:
    """Make `clock` the one that the replaced functions ask; None gives them back to the real world."""
    global _installed
    _installed = clock
