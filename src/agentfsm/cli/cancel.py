"""`agentfsm cancel`: ask that a task be cancelled, whoever is at it."""

from __future__ import annotations

from agentfsm.cli.context import Commands, Context, command, store_options
from agentfsm.cli.opening import opened_store
from agentfsm.errors import UnknownTask


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "cancel", act, "ask that a task be cancelled; whoever has it does so within one step")
    store_options(parser)
    parser.add_argument("id", help="the task's id")


async def act(context: Context) -> int:
    """Ask for it."""
    name = context.args.id
    async with opened_store(context, new=False) as store:
        task = await store.load(name)
        if task is None:
            raise UnknownTask(
                f"there is no task {name!r} in this store; `agentfsm show` lists the last ones", request_id=name
            )
        asked = await store.request_cancel(name)
    said = "is to be cancelled, by whoever has it or the next worker" if asked else "has ended already"
    context.out.say({"request_id": name, "asked": asked}, [f"task {name} {said}"])
    return 0
