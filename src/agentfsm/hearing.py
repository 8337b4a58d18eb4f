"""Hearing: what a task at rest does with events that came for it, and with a wait whose time is over."""

from __future__ import annotations

from agentfsm import waiting
from agentfsm.ending import proceed
from agentfsm.errors import Conflict
from agentfsm.holding import Holding
from agentfsm.inbox import filed, judge
from agentfsm.parts import Parts
from agentfsm.records import Inbound
from agentfsm.settling import go_on
from agentfsm.states import TERMINAL, Event
from agentfsm.steering import again
from agentfsm.waits import EARLY


async def hear(parts: Parts, held: Holding) -> bool:
    """See to events that came early and to a wait whose time is over; say whether to go on."""
    try:
        return await _listen(parts, held)
    except Conflict:  # another worker heard it first: it goes on, here is what is known
        await held.reload()
        return False


async def receive(parts: Parts, held: Holding, event: Inbound) -> None:
    """Take an event that was judged to fit."""
    draft = held.draft()
    step = waiting.receive(parts, draft, event)
    held.wall = held.whole(draft.task)
    if step is not None and again(parts, draft, step) is None:
        draft.fire(Event.TOOL_PROPOSED)
    elif step is not None and step.kind == "undo":
        proceed(parts, draft)
    else:
        go_on(parts, draft, held.wall)
    await held.commit(draft)


async def _listen(parts: Parts, held: Holding) -> bool:
    until, now = held.task.wait_until, parts.clock.time()
    ended = held.task.fsm_state in TERMINAL
    if until is None and held.task.asked is None and not ended:
        return False
    asks = held.task.asked is not None or (ended and any(step.kind == "event" for step in held.steps))
    for event in await parts.store.inbox(held.task.request_id) if parts.workflow.waits or asks else ():
        reason = judge(parts.workflow, held.task, event, now=0.0)  # it came in time
        if reason is None:
            await receive(parts, held, event)
            return True
        if reason != EARLY:
            await held.write(filed(held.task, event, "ignored", reason, now))
    if until is None or now < until:
        return False
    draft = held.draft()
    if waiting.expire(parts, draft):
        held.wall = held.whole(draft.task)
        go_on(parts, draft, held.wall)
    await held.commit(draft)
    return True
