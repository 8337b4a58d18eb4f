"""`agentfsm run`: start a task, or go on with it, to its end or to a wait."""

from __future__ import annotations

import secrets

from agentfsm.cli import results
from agentfsm.cli.context import Commands, Context, command, task_options
from agentfsm.cli.opening import opened_runtime


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "run", act, "run a task to its end, or until it waits; exit code 1 where it fails")
    task_options(parser)


async def act(context: Context) -> int:
    """Run it."""
    args = context.args
    async with opened_runtime(context) as runtime:
        request_id = args.id or secrets.token_hex(6)
        return results.say(context.out, await runtime.run(request_id=request_id, text=args.text, dry_run=args.dry_run))
