"""What a contract has to satisfy: each by itself when it is made, and all of an agent together by `lint`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from agentfsm.errors import ContractViolation, did_you_mean
from agentfsm.schemas import unitless

if TYPE_CHECKING:
    from agentfsm.contracts import ToolContract

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_STATUSES = frozenset({"success", "temporary_error", "permanent_error", "invalid_input"})


def faults_of(contract: ToolContract) -> list[str]:
    """Return everything that is wrong with one contract, each with the edit to make."""
    return [*_identity(contract), *_effects(contract), *_example(contract), *_numbers(contract)]


def lint(contracts: Iterable[ToolContract]) -> list[str]:
    """Return what else is wrong with the contracts of an agent: `orders.lookup@1 input order: ...`, all at once.

    Every number says its unit, and each name and version is there once.
    """
    found, seen = [], set()
    for contract in contracts:
        if contract.label in seen:
            found.append(f"{contract.label}: is there twice; give the changed one another version")
        seen.add(contract.label)
        for side, model in (("input", contract.input), ("output", contract.output)):
            found += [
                f"{contract.label} {side} {path}: is a number without a unit; write Annotated[..., unit('EUR cents')], "
                "or unit('id') where it only names"
                for path in unitless(model)
            ]
    return found


def told(contract: ToolContract) -> str:
    """Return what a language model is told of the tool as a whole."""
    notes = [contract.description]
    if contract.needs_approval:
        kind = "It destroys: it" if contract.destructive else "It"
        notes.append(f"{kind} runs only after a person has approved the very call.")
    if contract.deprecated:
        notes.append(f"Deprecated, use instead: {contract.deprecated}.")
    return " ".join(filter(None, notes))


def alarm(contract: ToolContract, step_id: int) -> dict[str, Any] | None:
    """Return the audit row that belongs to the intent of a call of a deprecated tool, else None."""
    if contract.deprecated is None:
        return None
    facts = {"tool": contract.name, "tool_version": contract.version, "use": contract.deprecated}
    return {"kind": "deprecated", "step": step_id, **facts}


def _identity(contract: ToolContract) -> Iterator[str]:
    if not isinstance(contract.name, str) or not _NAME.fullmatch(contract.name):
        yield f"name={contract.name!r} must be letters, digits, '.', '_' or '-', and begin with a letter"
    if type(contract.version) is not int or contract.version < 1:
        yield f"version={contract.version!r} must be a whole number from 1 on"
    if contract.deprecated is not None and not _said(contract.deprecated):
        yield f"deprecated={contract.deprecated!r} must say what to use instead, such as 'orders.lookup@2'"
    if contract.flag is not None and not _said(contract.flag):
        yield f"flag={contract.flag!r} must be the name of a flag, or left out"
    codes = contract.error_codes
    if not isinstance(codes, frozenset):
        yield f"error_codes={codes!r} must be a frozenset of strings: frozenset({{'not_found'}})"
        return
    for code in sorted(map(str, codes)):
        if not _CODE.fullmatch(code):
            yield f"error_codes: {code!r} must be lower case, digits and '_', such as 'not_found'"
        elif code in _STATUSES:
            yield f"error_codes: {code!r} is a status, no code; name what went wrong"


def _effects(contract: ToolContract) -> Iterator[str]:
    pure = contract.effect == "pure"
    if pure == bool(contract.effects):
        said = "a pure tool has none" if contract.effects else f"an {contract.effect.value} tool names at least one"
        yield f"effects={contract.effects!r}, but {said}"
    if contract.destructive and pure:
        yield "destructive=True, but a pure tool destroys nothing; give its effect class and its effects"
    if contract.compensates == contract.name:
        yield f"compensates={contract.compensates!r} is the tool itself; name the tool whose effect it undoes"


def _example(contract: ToolContract) -> Iterator[str]:
    example = contract.example
    if example is None:
        return
    try:
        contract.check(dict(example))
    except (ContractViolation, TypeError, ValueError) as error:
        fields = {name: field.alias or name for name, field in contract.output.model_fields.items()}
        odd = [str(name) for name in example if name not in fields.values()] if hasattr(example, "keys") else []
        hints = [f" There is no field {name!r}.{did_you_mean(name, fields.values())}" for name in odd]
        yield f"example does not satisfy {contract.output.__name__}: {error}.{''.join(hints)}"


def _numbers(contract: ToolContract) -> Iterator[str]:
    if not _positive(contract.timeout_s):
        yield f"timeout_s must be above 0, not {contract.timeout_s!r}"
    many = contract.concurrency
    if many is not None and (type(many) is not int or many < 1):
        yield f"concurrency={many!r} must be a whole number from 1 on, or None: as many as come"
    if contract.per_minute is not None and not _positive(contract.per_minute):
        yield f"per_minute={contract.per_minute!r} must be above 0, or None: as many as come"


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _said(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
