"""Tool contracts: what a tool accepts and answers, checked before and after every call."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError

from agentfsm.errors import ContractViolation, DefinitionError, InvalidArguments


class Effect(StrEnum):
    """What running a tool twice would do, and so what may be done when its reply is lost."""

    PURE = "pure"  # changes nothing: run it again
    IDEMPOTENT = "idempotent"  # dedupes by key: run it again with the same key
    QUERYABLE = "queryable"  # can say what became of a key: ask first
    UNSAFE = "unsafe"  # neither: a person has to look


@dataclass(frozen=True)
class ToolContract:
    """One version of one tool.

    `timeout_s` bounds one call. `effects` names what it changes in the world. `compensates` names the tool
    whose effect this one undoes. A `destructive` tool runs only after a person has approved the very call, and so
    does one with `approval=True`. `example` is a reply that a dry run and a shadow take for the tool's own.
    `error_codes` are all the `error_code`s it may give (empty: any). `deprecated` says what to use instead.
    `flag` names the flag without which it is not to be had. `concurrency` is how many calls run at once in one
    process, `per_minute` how many begin within 60 s; None: as many as come.
    """

    name: str
    version: int
    input: type[BaseModel]
    output: type[BaseModel]
    effect: Effect
    timeout_s: float = 10.0
    description: str = ""
    effects: tuple[str, ...] = ()
    compensates: str | None = None
    destructive: bool = False
    approval: bool = False
    example: Mapping[str, Any] | None = None
    error_codes: frozenset[str] = frozenset()
    deprecated: str | None = None
    flag: str | None = None
    concurrency: int | None = None
    per_minute: float | None = None

    def __post_init__(self) -> None:
        if self.timeout_s <= 0:
            raise DefinitionError(f"{self.name}: timeout_s must be above 0, not {self.timeout_s!r}")
        if (self.effect is Effect.PURE) == bool(self.effects):
            said = "a pure tool has none" if self.effects else f"an {self.effect.value} tool names at least one"
            raise DefinitionError(f"{self.name}: effects={self.effects!r}, but {said}")

    @property
    def needs_approval(self) -> bool:
        """Whether a person has to approve each call."""
        return self.destructive or self.approval

    def parse(self, raw: str) -> dict[str, Any]:
        """Turn the model's raw text into checked arguments; raise InvalidArguments with the reason."""
        text = raw.strip() or "{}"
        try:
            return self.input.model_validate_json(text, strict=True).model_dump(mode="json")
        except ValidationError as error:
            raise InvalidArguments(_why(error), tool=self.name) from None

    def check(self, reply: object, status: object = "success") -> dict[str, Any]:
        """Return the reply as plain JSON; raise ContractViolation where it is no fitting success."""
        if status != "success":
            raise ContractViolation(
                f"answered {str(status)[:40]!r}, which is no status a tool may give", tool=self.name
            )
        try:
            checked = self.output.model_validate(reply, strict=True).model_dump(mode="json")
            canonical(checked)
        except ValidationError as error:
            raise ContractViolation(_why(error), tool=self.name) from None
        except ValueError as error:  # NaN and infinity are no JSON
            raise ContractViolation(str(error), tool=self.name) from None
        return checked

    def describe(self) -> dict[str, Any]:
        """Return the contract as plain data."""
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "effect_class": self.effect.value,
            "timeout_s": self.timeout_s,
            "effects": list(self.effects),
            "compensates": self.compensates,
            "input": _schema(self.input),
            "output": _schema(self.output),
        }

    def offer(self) -> dict[str, Any]:
        """Return what the model is told."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": _schema(self.input),
        }


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    # Made once: pydantic takes longer for it than a whole step does. A copy, for it is the caller's to change.
    return copy.deepcopy(_made_schema(model))


@functools.cache
def _made_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    return _made_schema(model)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> str:
    """Return the one JSON text of a plain value; raise ValueError for what JSON cannot hold."""
    return _encode(value)


def plain_text(text: str) -> str:
    """Return text that UTF-8 can hold: split surrogate pairs joined, lone surrogates replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def digest(value: Any) -> str:
    """Return the input hash of a plain value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _why(error: ValidationError) -> str:
    """Say what is wrong without echoing the value, which may be secret or hostile."""
    parts = (
        f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}"
        for e in error.errors(include_input=False, include_url=False)
    )
    return "; ".join(parts)
