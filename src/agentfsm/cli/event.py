"""`agentfsm event`: deliver something that arrived from outside, and go on with its task."""

from __future__ import annotations

import json

from agentfsm.cli import results
from agentfsm.cli.context import BadUse, Commands, Context, agent_options, command
from agentfsm.cli.opening import opened_runtime


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "event", act, "deliver an event to a task, once per source and event id")
    agent_options(parser)
    parser.add_argument("id", help="the task's id")
    parser.add_argument("kind", help="what happened, such as user.message")
    parser.add_argument("--source", required=True, help="who says so, such as user")
    parser.add_argument(
        "--event-id", required=True, help="the id the source gave it: the same one again is the same event"
    )
    parser.add_argument("--payload", default="null", metavar="JSON", help='its data, such as {"text": "yes"}')


async def act(context: Context) -> int:
    """Deliver it."""
    args = context.args
    try:
        payload = json.loads(args.payload)
    except (ValueError, RecursionError) as error:
        raise BadUse(f"--payload is not JSON: {error}; put names and text in double quotes") from None
    async with opened_runtime(context) as runtime:
        result = await runtime.deliver(
            request_id=args.id, source=args.source, event_id=args.event_id, kind=args.kind, payload=payload
        )
        return results.say(context.out, result)
