"""Parameters that not every model takes: what is known beforehand, and what a refusal teaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# As of 2026-11-24. OpenAI: reasoning models take the default temperature only (400 `unsupported_value`), the chat
# variants take any; all of these families take `max_completion_tokens` in place of `max_tokens` (400
# `unsupported_parameter`). Anthropic: since Opus 4.7, Sonnet 5 and Haiku 5.5 a temperature is refused (400
# "`temperature` is deprecated for this model"), platform.claude.com, migration guides; up to 4.6 it is taken.
_REASONING = r"(?:^|[/.])(?:o\d|gpt-(?:[5-9]|\d\d))"
_NO_TEMPERATURE = re.compile(
    rf"{_REASONING}(?!.*-chat)|claude-(?:fable|mythos|(?:opus|sonnet|haiku)-(?:[5-9]|\d\d|4-(?:[7-9]|\d\d(?!\d))))"
)
_NO_MAX_TOKENS = re.compile(_REASONING)
_REFUSED = re.compile(r"unsupported|not support|n't support|deprecated|not permitted|unrecognized|unknown", re.I)
_CODES = frozenset({"unsupported_parameter", "unsupported_value"})


class Parameters:
    """The wire names of parameters that one model refuses."""

    def __init__(self, model: str) -> None:
        known = {"temperature": _NO_TEMPERATURE, "max_tokens": _NO_MAX_TOKENS}
        self._refused = {name for name, models in known.items() if models.search(model)}

    @property
    def refused(self) -> frozenset[str]:
        """The names known or learned so far."""
        return frozenset(self._refused)

    def taken(self, name: str) -> bool:
        """Whether nothing is known against sending it."""
        return name not in self._refused

    def learn(self, body: Any, sent: Mapping[str, Any], optional: frozenset[str]) -> str | None:
        """Return the `optional` parameter among those `sent` that the body of a 400 refuses, and take it down."""
        error = body.get("error") if isinstance(body, Mapping) else None
        if not isinstance(error, Mapping):
            return None
        code, message, named = error.get("code"), str(error.get("message", ""))[:2_000], error.get("param")
        if not ((isinstance(code, str) and code in _CODES) or _REFUSED.search(message)):
            return None
        said = named if isinstance(named, str) and named else message
        for name in sorted(optional & sent.keys()):
            if re.search(rf"(?<!\w){name}(?!\w)", said):
                self._refused.add(name)
                return name
        return None
