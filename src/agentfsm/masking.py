"""Masking: secrets are taken out of plain data, and its size is bounded, before it is written anywhere."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentfsm.contracts import plain_text
from agentfsm.secrets_in_text import MASK, is_card, known, mask_text, secret_name, secrets_of

MORE = "…"
"""Stands for what was left out because the data were too long, too deep or too many."""
_ROUNDS = 6
_SCANNED = 200_000


@dataclass(frozen=True)
class Bounds:
    """How much is kept: characters of one text, entries of one object or list, levels, characters in all."""

    text: int = 2_000
    items: int = 100
    depth: int = 12
    total: int = 32_000


class Masker:
    """Returns a masked copy of any data, as plain JSON. Never raises, and masking twice is masking once.

    Masked are values under a name that says so, texts of a form that only secrets have, and `secrets`: values that
    are known. With `emails`, addresses too. What is no plain data is named by its type and never asked for a text.
    """

    def __init__(self, secrets: Iterable[str] = (), *, emails: bool = False, bounds: Bounds | None = None) -> None:
        self._known = known(secrets)
        self._emails = emails
        self._bounds = bounds or Bounds()

    @classmethod
    def of_environment(cls, **options: Any) -> Masker:
        """Return one that knows the secrets of this process: the variables whose names say so."""
        return cls(secrets_of(os.environ), **options)

    def __call__(self, value: Any, bounds: Bounds | None = None) -> Any:
        """Return the masked copy, within other bounds where they are given."""
        return _Copy(self, bounds or self._bounds).of(value, 0)

    def text(self, text: str, most: int | None = None) -> str:
        """Return a text without secrets, at most `most` characters long, or as `bounds.text` says."""
        most = self._bounds.text if most is None else most
        cut = len(text) > _SCANNED
        text = plain_text(text[:_SCANNED])
        for _ in range(_ROUNDS):
            masked = mask_text(text, self._known, emails=self._emails)
            if cut:  # a secret may have been cut in two, and its first half looks like nothing
                masked, cut = masked[: max(0, len(masked) - 1_000)] + MORE, False
            if len(masked) > most:
                masked = masked[: most - len(MORE)] + MORE
            if masked == text:
                return text
            text = masked
        return MASK  # it would not come to rest: whatever it is, it is not fit to be shown


mask = Masker()
"""The masker that knows no values: names and forms only."""


class _Copy:
    """One copy under way: how much of it may still be kept."""

    def __init__(self, masker: Masker, bounds: Bounds) -> None:
        self._text = partial(masker.text, most=bounds.text)
        self._bounds = bounds
        self._left = bounds.total
        self._full = False

    def of(self, value: Any, depth: int) -> Any:
        try:
            if isinstance(value, Mapping):
                return self._mapping(value, depth)
            if isinstance(value, (list, tuple, Set)):
                return self._list(value, depth)
            return self._kept(self._leaf(value))
        except Exception:  # noqa: BLE001 - data may be objects of anybody, whose every method may raise
            return self._kept(self._text("<unreadable>"))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if depth >= self._bounds.depth:
            return MORE
        made: dict[str, Any] = {}
        named = next((n for key in ("name", "key", "header") if isinstance(n := value.get(key), str)), "")
        for key, inner in value.items():
            name = self._leaf(key)
            name = name if isinstance(name, str) else str(name)
            if len(value) > self._bounds.items and len(made) >= self._bounds.items - 1:
                made[MORE] = MORE
                break
            name = MORE if self._full else self._kept(name)
            if self._full:
                made[MORE] = MORE
                break
            hidden = (isinstance(key, str) and secret_name(key)) or secret_name(name)
            hidden = hidden or (name == "value" and (secret_name(named) or secret_name(self._text(named))))
            made[name] = self._hidden(inner) if hidden else self.of(inner, depth + 1)
        return made

    def _list(self, value: Any, depth: int) -> Any:
        if depth >= self._bounds.depth:
            return MORE
        made: list[Any] = []
        self._kept("[]")
        pair = len(value) == 2 and isinstance(value, (list, tuple)) and isinstance(value[0], str)
        hidden = pair and (secret_name(value[0]) or secret_name(self._text(value[0])))
        for inner in value:
            if self._full or (len(value) > self._bounds.items and len(made) >= self._bounds.items - 1):
                made.append(MORE)
                break
            made.append(self._hidden(inner) if hidden and made else self.of(inner, depth + 1))
        return made

    def _hidden(self, value: Any) -> Any:
        told = value is None or value is True or value is False or (isinstance(value, str) and value in ("", MORE))
        return self._kept(value if told else MASK)

    def _kept(self, leaf: Any) -> Any:
        """Return a leaf if there is room for it."""
        cost = 0 if leaf == MORE else len(leaf) if isinstance(leaf, str) else 4
        if cost > self._left:
            self._full = True
            return MORE
        self._left -= cost
        return leaf

    def _leaf(self, value: Any) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, (bytes, bytearray)):
            return self._text(bytes(value[:_SCANNED]).decode("utf-8", "replace"))
        if isinstance(value, int):
            return MORE if value.bit_length() > 256 else MASK if is_card(str(value)) else int.__add__(value, 0)
        if isinstance(value, float):
            return float.__add__(value, 0.0) if math.isfinite(value) else self._text(float.__repr__(value))
        return self._text(f"<{type(value).__name__[:100]}>")
