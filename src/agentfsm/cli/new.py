"""`agentfsm new`: write the smallest project that is fit for production."""

from __future__ import annotations

from pathlib import Path

from agentfsm.cli.context import BadUse, Commands, Context, command


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "new", act, "write a starter: one workflow, one tool, one scenario, environments, tests")
    parser.add_argument("folder", type=Path, help="where to; it must be new or empty")


async def act(context: Context) -> int:
    """Write it."""
    raise BadUse(f"{context.args.folder}")
