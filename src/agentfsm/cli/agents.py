"""Finding an agent and its tools by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from agentfsm.cli.context import BadUse
from agentfsm.errors import did_you_mean

Build = Callable[..., Any]
Tools = Mapping[str, Callable[..., Any]]


def find_agent(name: str) -> tuple[ModuleType, Build]:
    """Return the module and the function that `module` or `module:function` (default `build`) names."""
    module_name, _, function = name.partition(":")
    module = _import(module_name, "the agent", "agentfsm.agents.support_refund")
    build = _attribute(module, function or "build", "the agent")
    if not callable(build):
        said = f"{name!r} is a {type(build).__name__}, expected a function build(store=, model=, tools=, **settings)"
        raise BadUse(f"the agent {said}")
    return module, build


def find_tools(name: str | None, agent: ModuleType) -> Tools:
    """Return the mapping that `module:name` names, else `tools` of the agent's module."""
    if name is None:
        found = getattr(agent, "tools", None)
        if found is None or isinstance(found, ModuleType):
            raise BadUse(
                f"the agent {agent.__name__} comes without tools: give --tools MODULE:NAME, a mapping of tool names to "
                f"functions, or define `tools` in {agent.__name__}"
            )
        said = f"`tools` of {agent.__name__}"
    else:
        module_name, _, attribute = name.partition(":")
        found = _attribute(_import(module_name, "--tools", "shop.tools:tools"), attribute or "tools", "--tools")
        said = f"--tools {name}"
    if not isinstance(found, Mapping) or not all(isinstance(key, str) and callable(found[key]) for key in found):
        raise BadUse(f"{said} is no mapping of tool names to functions, such as {{'orders.lookup': look_up}}")
    return found


def _import(name: str, what: str, example: str) -> ModuleType:
    here = os.getcwd()  # noqa: PTH109 - as text, which is what the path of imports holds
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
        problem = f"{type(error).__name__}: {error}"
        edit = f"name a module as in an import statement, such as {example}"
        raise BadUse(f"{what} {name!r} cannot be imported ({problem}); {edit}") from None


def _attribute(module: ModuleType, name: str, what: str) -> Any:
    if not hasattr(module, name):
        known = [known for known in vars(module) if not known.startswith("_")]
        raise BadUse(f"{what} {module.__name__} has no {name!r}.{did_you_mean(name, known)}")
    return getattr(module, name)
