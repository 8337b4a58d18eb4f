"""`agentfsm migrate`: bring a store to the schema of this version."""

from __future__ import annotations

from agentfsm.cli.context import Commands, Context, command, store_options


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(
        commands, "migrate", act, "bring a store to the schema of this version, which the last one can read"
    )
    store_options(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="say what would be done and do nothing")
    how.add_argument("--contract", action="store_true", help="also remove what only the version before needs")


async def act(context: Context) -> int:
    """Migrate it."""
    raise NotImplementedError(context)
