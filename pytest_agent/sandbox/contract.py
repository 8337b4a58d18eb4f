"""What a tool accepts, read from the signature of its function."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Optional, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

_Parameter = tuple[str, Any, bool]  # its name, its hint, whether it must be given

KEY = "idempotency_key"
"""The name under which a tool gets its idempotency key. It is no argument of the operation."""


class ArgumentContract:
    """The parameters of a function as a schema. Extra, missing and wrongly typed arguments are problems."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._names: list[str] = []
        self.wants_key = False
        fields: list[_Parameter] = []
        extra = False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                extra = True
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise TypeError(
                    f"tool {name!r}: parameter {parameter.name!r} cannot be given by name, and a model gives all of "
                    "them by name; remove the '*' or '/'"
                )
            elif parameter.name == KEY:
                self.wants_key = True
            else:
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    self._names.append(parameter.name)
                fields.append(_parameter(function, parameter))
        try:
            self._model = _known_model(tuple(fields), extra=extra)
        except TypeError:  # a hint that is no key, such as one with a list in it
            self._model = _model(tuple(fields), extra=extra)

    def by_name(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
        """All arguments by name, as the function would take them, and why that cannot be, or None."""
        given = dict(zip(self._names, args, strict=False))
        both = sorted(given.keys() & named.keys())
        merged = {**given, **named}
        if both:
            return merged, f"{both[0]}: given twice, by position and by name"
        if len(args) > len(self._names):
            return merged, f"takes {len(self._names)} argument(s) by position, {len(args)} were given"
        return merged, None

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """Why these arguments are not valid, in one line, or None. Valid as Python values, or as JSON is read."""
        try:
            self._model.model_validate(dict(arguments))
        except ValidationError as error:
            if self._valid_as_json(arguments):
                return None
            return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return None

    def _valid_as_json(self, arguments: Mapping[str, Any]) -> bool:
        # JSON has no dates, enums or tuples: a model can only write them as text and lists.
        try:
            self._model.model_validate_json(json.dumps(dict(arguments)))
        except (ValidationError, TypeError, ValueError, RecursionError):
            return False
        return True


def _model(fields: tuple[_Parameter, ...], *, extra: bool) -> type[BaseModel]:
    config = ConfigDict(strict=True, extra="allow" if extra else "forbid", arbitrary_types_allowed=True)
    # An alias: a tool may well have a parameter called `json` or `_id`, which no model may have as a field.
    named: dict[str, Any] = {
        f"p{n}": (hint, Field(alias=name) if required else Field(default=None, alias=name))
        for n, (name, hint, required) in enumerate(fields)
    }
    return create_model("Arguments", __config__=config, **named)


# Every run of a search makes the tools of its test anew, with the same signatures.
_known_model = functools.lru_cache(maxsize=256)(_model)


def _parameter(function: Callable[..., Any], parameter: inspect.Parameter) -> _Parameter:
    hint = _hint(function, parameter)
    if parameter.default is parameter.empty:
        return parameter.name, hint, True
    if parameter.default is None:
        hint = Optional[hint]  # noqa: UP045 - a hint known only now
    return parameter.name, hint, False


def _hint(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if parameter.annotation is parameter.empty:
        return Any
    inner = inspect.unwrap(function)
    inner = getattr(inner, "func", inner)
    scope = getattr(inner, "__globals__", None) or getattr(type(inner).__call__, "__globals__", {})
    stub: Any = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(stub, globalns=scope, include_extras=True)[parameter.name]
    except NameError:
        # A type that is local to the author's test cannot be found by its name; the others are still checked.
        return Any
