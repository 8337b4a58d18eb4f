"""`agentfsm config show|check|list`: what an environment says, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentfsm.cli.context import Commands, Context, command, environment_options, folder_of
from agentfsm.cli.opening import environment_of
from agentfsm.cli.output import inline, table
from agentfsm.config import Environment, names
from agentfsm.prices import cost_usd
from agentfsm.turns import Usage


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
    context.out.say(found.describe(), _lines(found), masked=True)
    return 0


async def check(context: Context) -> int:
    """Load it as a service would at its start."""
    found = environment_of(context, "store", "models")
    notes = list(_unpriced(found)) if found.limits.cost_usd is not None else []
    document = {"environment": found.name, "faults": [], "notes": notes}
    context.out.say(document, [f"environment {found.name}: nothing is wrong", *notes])
    return 0


async def show_names(context: Context) -> int:
    """List them."""
    found = names(folder_of(context))
    context.out.say({"environments": found}, found)
    return 0


def _unpriced(found: Environment) -> Iterator[str]:
    for model in (f"{model.provider}/{model.model}" for model in found.models):
        if cost_usd(model, Usage(input_tokens=1, output_tokens=1)) is None:
            yield f"note: the price of {model} is not known, so limits.cost_usd cannot bound it; give Runtime a `price`"


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
