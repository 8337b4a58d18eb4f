"""From the turn that the model means to the reply that reaches the client: faults, usage, pace."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from pytest_agent.faults.effect import LlmEffect
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.llm.describing import assembled, describe, describe_answer, describe_reply, same_meaning
from pytest_agent.llm.pace import Pace
from pytest_agent.llm.pacing import paced
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import ToolCall, Turn, Usage
from pytest_agent.llm.wire import counted, usage_of


class Spoken(NamedTuple):
    """What reaches the client, whether a fault has touched it, and the tokens it cost; None where nothing was said."""

    reply: Reply
    harmed: bool
    usage: Usage | None


def speak(
    turn: Turn, request: ModelRequest, site: Site, seams: Seams, *, number: int, pace: Pace | None, seed: int
) -> Spoken:
    """The turn as it is delivered at this site. `number` makes the ids in it; `pace` holds where the turn has none."""
    effects = seams.at(site, LlmEffect)
    for fault, effect in effects:
        answer = effect.answer(request)
        if answer is not None:
            seams.struck(fault, site, describe_answer(answer))
            return Spoken(answer, True, _usage_of_answer(answer, request))
    said, harmed = turn, False
    for fault, effect in effects:
        changed = effect.change_turn(said)
        if changed is not said:
            said, harmed = changed, True
            seams.struck(fault, site, f"the model said {describe([said])}")
    # The codec need not count again, and says what is counted here.
    told = counted(said, request)
    reply = request.codec.encode(told, request, number)
    for fault, effect in effects:
        changed_reply = effect.change_reply(reply)
        if changed_reply is not reply:
            reply, harmed = changed_reply, True
            seams.struck(fault, site, describe_reply(reply))
    pace = turn.pace or pace
    if pace is not None:
        reply = paced(reply, pace, f"{seed}:{site}")
    meant = same_meaning(turn, said)
    return Spoken(reply if reply.meant is meant else dataclasses.replace(reply, meant=meant), harmed, told.usage)


def _usage_of_answer(reply: Reply, request: ModelRequest) -> Usage | None:
    """The tokens of a turn that a fault has put in place of the model's own; None for an error."""
    deltas = [delta for chunk in reply.chunks for delta in chunk.deltas]
    if reply.error_code is not None or not deltas:
        return None
    calls = tuple(ToolCall(made["name"], made["arguments"]) for made in assembled(deltas))
    return usage_of(Turn(text="".join(delta.text for delta in deltas), calls=calls), request)
