"""Stopping: a task ends because the user cancels it or an operator stops it; what is open is closed honestly."""

from __future__ import annotations

from collections.abc import Mapping

from agentfsm.attempts import Reply
from agentfsm.draft import Draft
from agentfsm.ending import compensated, conclude
from agentfsm.holding import Holding
from agentfsm.parts import Parts
from agentfsm.reading import snapshot
from agentfsm.standing_in import mapped, root_of
from agentfsm.states import TERMINAL, Event

Attempt = tuple[int, int]
"""Number of the step, and of the attempt."""
UnderWay = Mapping[Attempt, Reply | None]
"""The attempts that were sent: with the reply where it is here and not yet durable, else None."""


async def cancel(parts: Parts, held: Holding, under_way: UnderWay) -> bool:
    """End as cancelled, from what is durable: the commit that was interrupted may have happened."""
    held.cancel_asked = False
    if held.task.version == 0:
        return False
    task, steps = await snapshot(parts.store, held.task.request_id)
    await parts.telling.catch_up(parts.store, task)  # the commit that was interrupted was not told
    fence = held.task.fence + (not held.claimed)
    if task.fsm_state in TERMINAL or task.ending is not None:
        return False  # a decided end stays; its compensation goes on where it was
    if task.fence not in {fence, held.task.fence} or task.owner not in {None, held.owner}:
        return False
    held.claimed = task.owner == held.owner
    held.task, held.steps = task, steps
    draft = held.draft()
    _close_open(parts, draft, "cancelled", under_way)
    conclude(parts, draft, Event.CANCEL, "cancelled", "cancelled")
    await held.commit(draft)
    return True


def stop_by_switch(parts: Parts, draft: Draft) -> None:
    """End as cancelled by the kill switch, while nothing is under way."""
    _close_open(parts, draft, "kill_switch", {})
    conclude(parts, draft, Event.CANCEL, "cancelled", "kill_switch")


def _close_open(parts: Parts, draft: Draft, code: str, under_way: UnderWay) -> None:
    for step in draft.pending:
        place = step.step_id, step.attempt
        reply = under_way.get(place)
        if reply is not None and reply.output is not None:
            draft.finish(step, "finish", status="success", output_data=dict(reply.output))
            if step.kind == "undo":
                compensated(draft, step)
            else:
                given = mapped(parts.workflow, draft.steps, step, reply.output)
                draft.take(parts.workflow, root_of(draft.steps, step), given)
            continue
        sent = place in under_way
        doubt = sent and (reply is None or reply.doubt)
        why = "it was under way when the task was cancelled" if sent else "it was not begun"
        status = "in_doubt" if doubt else "failed"
        draft.finish(step, "cancel", status=status, error_code=code, output_data={"error": code, "reason": why})
