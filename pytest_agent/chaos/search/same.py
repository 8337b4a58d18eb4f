"""Whether two runs without faults were the same, and where they part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from pytest_agent.trace import AgentLeft, Event

_ASIDE = {"seq", "t_s", "body_sha256"}
"""The body of a request may name a temporary folder; what it says is compared where it is shown, as the messages."""


def first_difference(one: Iterable[Event], other: Iterable[Event], plain: Callable[[Any], Any]) -> str | None:
    """Where the second run differs from the first, in words; None where it does not.

    `plain` takes out what is of one machine and process only. Times are not compared, nor what was still there when the
    agent had ended: how long a thread takes to go is a matter of real time.
    """
    for place, (before, after) in enumerate(zip_longest(_told(one), _told(other)), start=1):
        if before is None or after is None:
            longer, event = ("second", after) if before is None else ("first", before)
            return f"event {place} is in the {longer} run alone: {_what(event)}"
        was, is_ = _data(before, plain), _data(after, plain)
        if was["kind"] != is_["kind"]:
            return f"event {place} is {_what(before)} in the first run and {_what(after)} in the second"
        for key in was:
            if was[key] != is_.get(key):
                return f"event {place}, {_what(before)}: {key} is {_cut(was[key])} and then {_cut(is_.get(key))}"
    return None


def _told(events: Iterable[Event]) -> Iterable[Event]:
    return (event for event in events if not isinstance(event, AgentLeft))


def _data(event: Event, plain: Callable[[Any], Any]) -> dict[str, Any]:
    data: dict[str, Any] = plain({key: value for key, value in event.to_dict().items() if key not in _ASIDE})
    return data


def _what(event: Event | None) -> str:
    site = getattr(event, "site", "")
    kind = event.kind if event is not None else "nothing"
    return f"{kind} at {site}" if site else kind


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
