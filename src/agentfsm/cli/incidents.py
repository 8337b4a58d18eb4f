"""`agentfsm incidents`: serious failures, grouped by class and by the versions they happened under."""

from __future__ import annotations

from dataclasses import asdict

from agentfsm.cli.context import BadUse, Commands, Context, command, store_options
from agentfsm.cli.opening import opened_store
from agentfsm.cli.output import table, when
from agentfsm.incidents import group


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(
        commands, "incidents", act, "serious failures, grouped by class, code, workflow and prompt version"
    )
    store_options(parser)
    parser.add_argument("--list", action="store_true", help="one by one, the last first")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="look at the last N (1000)")


async def act(context: Context) -> int:
    """Print them."""
    if context.args.limit < 1:
        raise BadUse(f"--limit {context.args.limit} shows nothing; give at least 1")
    async with opened_store(context, new=False) as store:
        found = await store.incidents(limit=context.args.limit)
    if context.args.list:
        rows = [(when(i.at), i.request_id, i.error_class, i.code, i.workflow, i.prompt) for i in found]
        context.out.say({"incidents": [asdict(incident) for incident in found]}, table(rows) or ["no incidents"])
    else:
        groups = group(found)
        head = ("count", "class", "code", "workflow", "prompt", "last", "last task")
        rows_ = [
            (g["count"], g["error_class"], g["code"], g["workflow"], g["prompt"], when(g["last"]), g["last_task"])
            for g in groups
        ]
        context.out.say({"groups": groups}, table([head, *rows_]) if rows_ else ["no incidents"])
    return 0
