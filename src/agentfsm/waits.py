"""Declared waits: what a stage waits for, from whom, how long, and whether an event fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

Business = Mapping[str, Any]
Payload = Mapping[str, Any]

EARLY = "early"
"""The reason of an event that is held until its wait begins."""


def _same(business: Business, _kind: str, _payload: Payload) -> Business:
    return business


@dataclass(frozen=True)
class Wait:
    """A wait of one stage. It ends with an event of `source` that is one of `kinds`, or after `timeout_s`.

    It begins where `begins_when` holds, with `says` as the answer so far; without `begins_when` it begins with a
    plain text of the model, which is then a question. `cause` names it in results; a task whose wait has expired
    fails with `timeout_cause` and answers `timeout_says`, or goes on with the business state that `expired` gives:
    a wait of no `kinds` that goes on is a timer. `tell` puts an event into words for the model, `fold`
    into the business state; `refuse` returns None, or the code why an event does not belong to this task.
    """

    cause: str
    source: str
    kinds: frozenset[str]
    payload: type[BaseModel]
    timeout_s: float
    timeout_cause: str
    tell: Callable[[str, Payload], str]
    fold: Callable[[Business, str, Payload], Business] = _same
    refuse: Callable[[Business, Payload], str | None] = lambda _business, _payload: None
    begins_when: Callable[[Business], bool] | None = None
    expired: Callable[[Business], Business] | None = None
    says: str = ""
    timeout_says: str = ""

    def accepts(self, source: str, kind: str) -> bool:
        """Whether this wait could end with such an event."""
        return source == self.source and kind in self.kinds

    def parse(self, payload: object) -> dict[str, Any] | None:
        """Return the checked payload, or None where it does not fit."""
        try:
            return self.payload.model_validate({} if payload is None else payload, strict=True).model_dump(mode="json")
        except ValidationError:
            return None

    def describe(self, stage: str) -> dict[str, Any]:
        """Return the wait as plain data."""
        return {
            "stage": stage,
            "cause": self.cause,
            "source": self.source,
            "kinds": sorted(self.kinds),
            "payload": self.payload.model_json_schema(),
            "timeout_s": self.timeout_s,
            "timeout_cause": self.timeout_cause,
        }
