"""What a tool accepts, read from the signature of its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model


class ArgumentContract:
    """The parameters of a function as a schema. Extra, missing and wrongly typed arguments are problems."""

    def __init__(self, function: Callable[..., Any]) -> None:
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        extra = False
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                extra = True
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise TypeError(
                    f"{function.__qualname__}: parameter {name!r} cannot be given by name; "
                    "tools are called with keyword arguments, remove the '*' or '/'"
                )
            else:
                default = ... if parameter.default is parameter.empty else parameter.default
                fields[name] = (hints.get(name, Any), default)
        config = ConfigDict(strict=True, extra="allow" if extra else "forbid", arbitrary_types_allowed=True)
        self._model: type[BaseModel] = create_model(function.__name__, __config__=config, **fields)

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """Why these arguments are not valid, in one line, or None."""
        try:
            self._model.model_validate(dict(arguments))
        except ValidationError as error:
            return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return None
