"""Prompts as versioned texts: which one was used is known of every record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Prompt:
    """One version of one prompt."""

    name: str
    version: int
    text: str

    @cached_property
    def label(self) -> str:
        """Name, version and the first 12 hex digits of the SHA-256 of the text: `refund@2:9f86d081884c`."""
        return f"{self.name}@{self.version}:{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"
