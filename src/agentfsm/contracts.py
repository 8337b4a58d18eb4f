"""Tool contracts: what a tool accepts and answers, checked before and after every call."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from agentfsm.contract_rules import faults_of, told
from agentfsm.errors import ContractViolation, DefinitionError, InvalidArguments, did_you_mean
from agentfsm.schemas import always_json, own_schema, spoken

MAX_CODE, MAX_REASON = 100, 2000
"""Characters of a tool's own error code and reason that are kept."""
UNDECLARED = "undeclared_error_code"
"""The code of an error whose own code the contract does not declare."""


class Status(StrEnum):
    """What a tool says of its call, as `status` of its answer; without one it is a success."""

    SUCCESS = "success"
    TEMPORARY_ERROR = "temporary_error"  # nothing was done; the same call may succeed later
    PERMANENT_ERROR = "permanent_error"  # nothing was done, and nothing will be
    INVALID_INPUT = "invalid_input"  # nothing was done; other arguments may succeed


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
        if not isinstance(self.effect, Effect):
            hint = did_you_mean(str(self.effect), [effect.value for effect in Effect])
            raise DefinitionError(f"{self.name}: effect={self.effect!r} is no Effect.{hint}")
        if faults := faults_of(self):
            raise DefinitionError(f"{self.name}: {'; '.join(faults)}")

    @property
    def label(self) -> str:
        """Name and version: `orders.lookup@1`."""
        return f"{self.name}@{self.version}"

    @property
    def needs_approval(self) -> bool:
        """Whether a person has to approve each call."""
        return self.destructive or self.approval

    def parse(self, raw: str) -> dict[str, Any]:
        """Turn the model's raw text into checked arguments; raise InvalidArguments with the reason."""
        text = raw.strip() or "{}"
        try:
            return _as_json(self.input, self.input.model_validate_json(text, strict=True))
        except ValidationError as error:
            raise InvalidArguments(explain(error), tool=self.name) from None
        except (ValueError, RecursionError) as error:  # NaN and infinity are no JSON, though they can be written
            raise InvalidArguments(f"arguments: {error}", tool=self.name) from None

    def check(self, reply: object, status: object = Status.SUCCESS) -> dict[str, Any]:
        """Return the reply as plain JSON; raise ContractViolation where it is no fitting success."""
        if status != Status.SUCCESS:
            raise ContractViolation(
                f"answered {str(status)[:40]!r}, which is no status a tool may give", tool=self.name
            )
        try:
            return _as_json(self.output, self.output.model_validate(reply, strict=True))
        except ValidationError as error:
            raise ContractViolation(explain(error), tool=self.name) from None
        except (ValueError, RecursionError) as error:  # NaN and infinity are no JSON, nor is what has no end
            raise ContractViolation(str(error), tool=self.name) from None

    def failure(self, status: str, error_code: object, reason: object) -> tuple[str, str]:
        """Return the code and the reason of an answer that is no success, fit to be stored.

        The status stands, for it says whether anything was done and may be tried again. A code that the contract
        does not declare is the tool's fault: it is recorded as `undeclared_error_code`, and the reason names it.
        """
        code = plain_text(str(error_code or status)[:MAX_CODE])
        why = plain_text(str(reason or code)[:MAX_REASON])
        if self.error_codes and code not in self.error_codes:
            return UNDECLARED, f"the contract declares no error_code {code!r}: {why}"
        return code, why

    def describe(self) -> dict[str, Any]:
        """Return the contract as plain data, the caller's own."""
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "effect_class": self.effect.value,
            "timeout_s": self.timeout_s,
            "effects": list(self.effects),
            "compensates": self.compensates,
            "destructive": self.destructive,
            "approval": self.needs_approval,
            "error_codes": sorted(self.error_codes),
            "deprecated": self.deprecated,
            "flag": self.flag,
            "concurrency": self.concurrency,
            "per_minute": self.per_minute,
            "input": own_schema(self.input),
            "output": own_schema(self.output),
        }

    def offer(self) -> dict[str, Any]:
        """Return what the model is told. It is the same object for all requests: do not change it."""
        return self._offer

    @functools.cached_property
    def _offer(self) -> dict[str, Any]:
        return {"name": self.name, "description": told(self), "parameters": spoken(self.input)}


def _as_json(model: type[BaseModel], value: BaseModel) -> dict[str, Any]:
    dumped = value.model_dump(mode="json")
    if not always_json(model):
        canonical(dumped)  # raises ValueError
    return dumped


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> str:
    """Return the one JSON text of a plain value; raise ValueError for what JSON cannot hold."""
    return _encode(value)


def compact(value: Any) -> str:
    """Return a JSON text of a plain value, ten times as fast as `canonical`, its keys in the order they have.

    Raises ValueError for what JSON cannot hold.
    """
    text = to_json(value).decode()
    if "NaN" in text or "Infinity" in text:
        canonical(value)  # raises where it is a number and no word
    return text


def plain_text(text: str) -> str:
    """Return text that every store can hold: split surrogate pairs joined, lone surrogates and NUL replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def digest(value: Any) -> str:
    """Return the input hash of a plain value: 128 bits of it, as hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def explain(error: ValidationError) -> str:
    """Say what is wrong without echoing the value, which may be secret or hostile."""
    parts = (
        f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}"
        for e in error.errors(include_input=False, include_url=False)
    )
    return "; ".join(parts)
