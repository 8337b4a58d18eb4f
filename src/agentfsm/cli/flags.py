"""`agentfsm flags list|set|unset|kill`: what all workers follow within one step."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from agentfsm.cli.context import Commands, Context, command, store_options
from agentfsm.cli.opening import opened_store
from agentfsm.cli.output import inline, table
from agentfsm.errors import did_you_mean
from agentfsm.policy import STRENGTHS, Switches, check_control
from agentfsm.ports import Store

_OF_LATE = 1000


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("flags", help="flags, kill switches and rollouts", description="What workers follow.")
    inner = parser.add_subparsers(required=True, metavar="list|set|unset|kill")
    store_options(command(inner, "list", show, "list everything that is set"))
    setting = command(inner, "set", put, "set a flag (true, false), or a rollout (rollout:NAME and JSON)")
    setting.add_argument("name", help="flag, or rollout:WORKFLOW")
    setting.add_argument("value", help='true, false, or JSON such as {"stable": 1, "canary": 2, "percent": 5}')
    setting.add_argument("--until", metavar="DAY", help="a flag goes off after this day (2026-12-31) or at this time")
    store_options(setting)
    unsetting = command(inner, "unset", unset, "take a flag or a rollout away again")
    unsetting.add_argument("name", help="flag, or rollout:WORKFLOW")
    store_options(unsetting)
    killing = command(inner, "kill", kill, "pause or stop tasks, or take a tool away; `off` lets them go on")
    killing.add_argument("scope", help="all, workflow:NAME, workflow:NAME@VERSION or tool:NAME")
    killing.add_argument("strength", help=", ".join(STRENGTHS))
    killing.add_argument("--why", help="the reason, for whoever looks next")
    store_options(killing)


async def show(context: Context) -> int:
    """List them."""
    async with opened_store(context, new=False) as store:
        change, controls = await store.controls()
    faults = Switches.of(controls).faults
    kept = [controls[key] for key in sorted(controls) if controls[key].value is not None]
    rows = [(control.key, inline(control.value), f"version {control.version}") for control in kept]
    context.out.say(
        {
            "change": change,
            "controls": {c.key: {"value": c.value, "version": c.version} for c in kept},
            "faults": list(faults),
        },
        [*(table(rows) or ["nothing is set"]), *(f"cannot be read: {fault}" for fault in faults)],
    )
    return 0


async def put(context: Context) -> int:
    """Set one."""
    args = context.args
    value = _value(args.value)
    return await _store(context, _key(args.name), value if args.until is None else {"on": value, "until": args.until})


async def unset(context: Context) -> int:
    """Take one away."""
    return await _store(context, _key(context.args.name), None)


async def kill(context: Context) -> int:
    """Switch."""
    args = context.args
    scope, _, target = args.scope.partition(":")
    why: Mapping[str, Any] | None = None if args.why is None else {"strength": args.strength, "why": args.why}
    return await _store(context, f"kill:{args.scope}", why or args.strength, target if scope == "workflow" else None)


async def _store(context: Context, key: str, value: object, workflow: str | None = None) -> int:
    check_control(key, value)
    async with opened_store(context, new=True) as store:
        version = await store.set_control(key, value, time.time())
        notes = [] if workflow is None else await _unseen(store, workflow)
    said = "is not set any more" if value is None else f"is {inline(value)}"
    context.out.say({"key": key, "value": value, "version": version, "notes": notes}, [f"{key} {said}", *notes])
    return 0


async def _unseen(store: Store, workflow: str) -> list[str]:
    """Return a note where no task of late is of this workflow: a switch with a slip in its name stops nothing."""
    labels = {task.workflow for task in await store.tasks(limit=_OF_LATE)}
    seen = labels | {label.rpartition("@")[0] for label in labels}
    if not seen or workflow in seen:
        return []
    return [f"note: none of the last {_OF_LATE} tasks is of workflow {workflow!r}.{did_you_mean(workflow, seen)}"]


def _key(name: str) -> str:
    return name if ":" in name else f"flag:{name}"


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # refused by the check, with what is expected
