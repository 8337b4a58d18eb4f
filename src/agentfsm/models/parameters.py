"""Parameters that not every model takes: what is known beforehand, and what a refusal teaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# OpenAI's reasoning models accept only the default temperature, and Anthropic has taken it out of its API
# (the parameter is in neither SDK's types for them any more).
_NO_TEMPERATURE = re.compile(r"^(o\d|gpt-[5-9]|claude)")
_REFUSED = re.compile(r"unsupported|not supported|does not support|deprecated|not permitted|unrecognized|unknown", re.I)
_NAMES = ("temperature", "max_tokens", "max_completion_tokens")


class Parameters:
    """The settings of one model, without those that it refuses."""

    def __init__(self, model: str, *, temperature: float | None, max_tokens: int | None) -> None:
        self._values: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._refused: set[str] = {"temperature"} if _NO_TEMPERATURE.match(model.rpartition("/")[2]) else set()

    def get(self, name: str) -> Any:
        """Return a parameter that is set and taken, or None."""
        return None if name in self._refused else self._values.get(name)

    def given(self, name: str) -> Any:
        """Return a parameter as it was set, also where the model refuses its usual name."""
        return self._values.get(name)

    def refused(self, name: str) -> bool:
        """Whether the model has refused it, under this wire name."""
        return name in self._refused

    def learn(self, status: int, body: Any) -> bool:
        """Take down a parameter that a 400 names as refused; return whether that was news."""
        error = body.get("error") if status == 400 and isinstance(body, Mapping) else None
        if not isinstance(error, Mapping):
            return False
        named, message = error.get("param"), str(error.get("message", ""))
        refuses = error.get("code") in {"unsupported_parameter", "unsupported_value"} or _REFUSED.search(message)
        for name in _NAMES:
            if refuses and name not in self._refused and (named == name or f"`{name}`" in message or name in message):
                self._refused.add(name)
                return True
        return False
