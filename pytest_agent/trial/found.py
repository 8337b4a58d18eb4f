"""Find the agent that a command line names, and how it is called."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_agent.errors import UsageError, did_you_mean

SHAPES = "agent(task) or agent(task, tools)"


@dataclass(frozen=True, slots=True)
class Found:
    """A callable, the name it was given by, and whether it takes the tools as well as the task."""

    name: str
    agent: Callable[..., Any]
    takes_tools: bool


def find_agent(name: str) -> Found:
    """The agent that `module:agent` names. Raises UsageError that says what is there instead."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise UsageError(f"{name!r}: expected module:agent, such as app:agent for the function `agent` of app.py")
    agent = _attribute(_module(module_name), module_name, attribute)
    if inspect.isclass(agent):
        raise UsageError(f"{name} is a class; give a function that makes one and runs it, {SHAPES}")
    if not callable(agent):
        raise UsageError(f"{name} is {type(agent).__name__}, which cannot be called; write a function for it, {SHAPES}")
    return Found(name, agent, _takes_tools(name, agent))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != name and not name.startswith(f"{missing}."):
            raise UsageError(f"{name} cannot be imported: {error}; install what it needs") from error
        here = [found.name for found in pkgutil.iter_modules([str(Path.cwd())])]
        raise UsageError(f"there is no module {name!r} here.{did_you_mean(name, here)}") from None
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        raise UsageError(f"{name} cannot be imported: {type(error).__name__}: {error} ({where})") from error


def _attribute(module: Any, module_name: str, path: str) -> Any:
    found = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = [name for name in dir(found) if not name.startswith("_") and callable(getattr(found, name, None))]
            raise UsageError(f"{module_name} has no {path!r}.{did_you_mean(part, known)}")
        found = getattr(found, part)
    return found


def _takes_tools(name: str, agent: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(agent)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: nobody can tell what it takes ({error}); write a function, {SHAPES}") from None
    parameters = list(signature.parameters.values())
    required = [each for each in parameters if each.default is each.empty and each.kind not in _COLLECTING]
    if _fits(signature, 2) and (len(required) == 2 or any(each.name == "tools" for each in parameters[1:2])):
        return True
    if _fits(signature, 1):
        return False
    wanted = ", ".join(each.name for each in required)
    raise UsageError(f"{name}({wanted}) cannot be called with a task; expected {SHAPES}: wrap it in such a function")


_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _fits(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
