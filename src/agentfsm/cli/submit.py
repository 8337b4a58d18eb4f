"""`agentfsm submit`: store a task for a worker to take up."""

from __future__ import annotations

import secrets

from agentfsm.cli import results
from agentfsm.cli.context import Commands, Context, command, task_options
from agentfsm.cli.opening import opened_runtime


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "submit", act, "store a task, which a worker then runs")
    task_options(parser)


async def act(context: Context) -> int:
    """Store it."""
    args = context.args
    async with opened_runtime(context) as runtime:
        request_id = args.id or secrets.token_hex(6)
        result = await runtime.submit(request_id=request_id, text=args.text, dry_run=args.dry_run)
        return results.say(context.out, result)
