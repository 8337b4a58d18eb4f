"""`agentfsm config show|check|list`: what an environment says, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentfsm.cli.context import Commands, Context, command, environment_options, folder_of
from agentfsm.cli.opening import environment_of
from agentfsm.cli.output import inline, table
from agentfsm.config import Environment, names


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("config", help="look at environments", description="Look at environments.")
    inner = parser.add_subparsers(required=True, metavar="show|check|list")
    environment_options(command(inner, "show", show, "print every setting, secrets masked, and where each one stands"))
    environment_options(
        command(inner, "check", check, "say everything that is wrong, variables that are unset as well")
    )
    environment_options(command(inner, "list", show_names, "list the environments there are"))


async def show(context: Context) -> int:
    """Print it."""
    found = environment_of(context)
    context.out.say(found.describe(), _lines(found))
    return 0


async def check(context: Context) -> int:
    """Load it as a service would at its start."""
    found = environment_of(context, "store", "models")
    context.out.say({"environment": found.name, "faults": []}, [f"environment {found.name}: nothing is wrong"])
    return 0


async def show_names(context: Context) -> int:
    """List them."""
    found = names(folder_of(context))
    context.out.say({"environments": found}, found)
    return 0


def _lines(found: Environment) -> Iterator[str]:
    yield f"environment {found.name}, from {' over '.join(found.files)}"
    data = {name: value for name, value in found.describe().items() if name not in {"environment", "files"}}
    rows = [(name, value, found.sources.get(name, "")) for name, value in _flat(data, "")]
    yield from table([(name, value, f"# {where}" if where else "") for name, value, where in rows])


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and "env" in value:
        state = value.get("value", "(set)") if value["set"] else "(not set)"
        yield name, f"${value['env']} {state}"
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{index}]")
    else:
        yield name, inline(value)
