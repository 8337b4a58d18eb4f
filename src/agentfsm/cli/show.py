"""`agentfsm show`: one task with its steps, waits and audit; or the last tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agentfsm.asking import ASKS
from agentfsm.cli import results
from agentfsm.cli.context import BadUse, Commands, Context, command, store_options
from agentfsm.cli.opening import opened_store
from agentfsm.cli.output import inline, table, when
from agentfsm.errors import UnknownTask
from agentfsm.masking import Masker
from agentfsm.ports import Store
from agentfsm.records import Inbound, Step, Task, TaskResult
from agentfsm.reporting import for_operator, for_user
from agentfsm.results import claim
from agentfsm.states import TERMINAL, State


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "show", act, "print a task: outcome, steps, what it waits for, audit; or the last tasks")
    store_options(parser)
    parser.add_argument("id", nargs="?", help="the task's id; without it the last tasks are listed")
    parser.add_argument("--state", choices=[state.value for state in State], help="list tasks in this state only")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="list at most N tasks (50)")


async def act(context: Context) -> int:
    """Print it."""
    if context.args.limit < 1:
        raise BadUse(f"--limit {context.args.limit} shows nothing; give at least 1")
    async with opened_store(context, new=False) as store:
        if context.args.id is None:
            return await _list(context, store)
        name = context.args.id
        task = await store.load(name)
        if task is None:
            said = f"there is no task {name!r} in this store; `agentfsm show` lists the last ones"
            raise UnknownTask(said, request_id=name)
        steps, audit, held = await store.steps(name), await store.audit(name), await store.inbox(name)
    result = claim(None, task, steps)
    document = {
        "task": {**asdict(task), "fsm_state": task.fsm_state.value},
        "result": results.document(result),
        "for_user": for_user(result, steps),
        "for_operator": for_operator(result, task, steps, Masker.of_environment()),
        "steps": [asdict(step) for step in steps],
        "held": [asdict(event) for event in held],
        "audit": audit,
    }
    context.out.say(document, _lines(task, result, steps, held, audit))
    return 0


async def _list(context: Context, store: Store) -> int:
    found = await store.tasks(state=context.args.state, limit=context.args.limit)
    rows = [
        (task.request_id, task.workflow, task.fsm_state.value, task.outcome, task.cause, when(task.created_at))
        for task in found
    ]
    tasks = [{**asdict(task), "fsm_state": task.fsm_state.value} for task in found]
    context.out.say({"tasks": tasks}, table(rows) or ["no tasks"])
    return 0


def _lines(
    task: Task,
    result: TaskResult,
    steps: Sequence[Step],
    held: Sequence[Inbound],
    audit: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    yield from results.lines(result)
    yield f"  asked: {task.text}"
    yield f"  workflow {task.workflow}, stage {task.current_step}, mode {task.mode}, version {task.version}"
    yield f"  begun {when(task.created_at)} UTC, used {inline(dict(task.budget_used))}"
    if task.last_error:
        yield f"  last error: {task.last_error}"
    yield from _waits(task, held)
    yield "steps"
    yield from table([_row(step) for step in steps], "  ") or ["  none"]
    yield "audit"
    for row in audit:
        facts = {key: value for key, value in row.items() if key not in {"at", "version", "kind"} and value is not None}
        said = " ".join(f"{key}={inline(value)}" for key, value in facts.items())
        yield f"  {when(row.get('at'))}  {row.get('version')}  {row.get('kind')}  {said}"


def _waits(task: Task, held: Sequence[Inbound]) -> Iterator[str]:
    if task.fsm_state is State.WAITING_EXTERNAL:
        until = f" until {when(task.wait_until)} UTC" if task.wait_until else ""
        yield f"  waits for {task.cause or task.last_error or 'an answer'}{until}"
        yield from _asks(task)
    elif task.next_run_at is not None and task.fsm_state not in TERMINAL:
        yield f"  goes on at {when(task.next_run_at)} UTC"
    if task.owner and task.fsm_state not in TERMINAL:
        yield f"  is with {task.owner} until {when(task.lease_until)} UTC"
    if task.cancel_requested and task.fsm_state not in TERMINAL:
        yield "  is to be cancelled"
    for event in held:
        yield f"  holds {event.kind} of {event.source} [{event.event_id}] for a wait to come"


def _asks(task: Task) -> Iterator[str]:
    """Say what a person is asked for, and the command that answers."""
    if not task.asked:
        return
    yield f"  asks a person: {inline(dict(task.asked))}"
    ask = ASKS.get(task.asked.get("kind", ""))
    for kind in sorted(ask.kinds) if ask else ():
        payload = json.dumps({"id": task.asked.get("id"), "by": "YOU"})
        how = f"--source {ask.source} --event-id NEW" if ask else ""
        yield f"  answer: agentfsm event AGENT {task.request_id} {kind} {how} --payload '{payload}'"


def _row(step: Step) -> tuple[object, ...]:
    number = f"{step.step_id}/{step.attempt}" if step.attempt > 1 else str(step.step_id)
    took = "" if step.finished_at is None else f"{step.finished_at - step.created_at:.3f} s"
    return number, step.kind, step.tool or step.model, step.status, step.error_code, took
