"""`agentfsm migrate`: bring a store to the schema of this version."""

from __future__ import annotations

from dataclasses import asdict

from agentfsm.cli.context import Commands, Context, command, store_options
from agentfsm.cli.opening import store_url
from agentfsm.store import SchemaState, migrate, schema_state


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "migrate", act, "bring a store to the schema of this version; the one before can go on")
    store_options(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="change nothing; exit code 1 where there is something to do")
    how.add_argument(
        "--contract", action="store_true", help="also remove what the version before needs, once none of it is left"
    )


async def act(context: Context) -> int:
    """Migrate it, or look."""
    url = store_url(context)
    before = await schema_state(url)
    after = before if context.args.check else await migrate(url, contract=context.args.contract)
    document = {"before": asdict(before), "after": asdict(after), "behind": after.behind, "expanded": after.expanded}
    changed = [] if before == after else [f"it was: {_state(before)}"]
    context.out.say(document, [_state(after), *changed, *_advice(after)])
    return int(context.args.check and after.behind)


def _state(state: SchemaState) -> str:
    if state.layout is None:
        return f"no tables; this program makes those of version {state.known}"
    who = f"workers of version {state.readable_by} and later can use it"
    return f"tables of version {state.layout}, this program knows {state.known}; {who}"


def _advice(state: SchemaState) -> list[str]:
    if state.behind:
        return ["next: agentfsm migrate"]
    return ["next: agentfsm migrate --contract, once no older worker is left"] if state.expanded else []
