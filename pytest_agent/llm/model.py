"""The scripted model: requests in, replies out, and the record of both."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from typing import Any

from pytest_agent.errors import LeftoverTurns, RunAbort
from pytest_agent.faults.effect import LlmEffect
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.guard import unanswered
from pytest_agent.llm.calls import LogicalCall
from pytest_agent.llm.refused import refused
from pytest_agent.llm.reply import Chunk, Delta, Reply
from pytest_agent.llm.request import BadRequest, Codec, ModelRequest, WireRequest
from pytest_agent.llm.script import Script
from pytest_agent.llm.turn import Said, Turn
from pytest_agent.trace import ModelReplied, ModelRequested, ToolReplied

MOST_CHARACTERS = 800_000
"""Of the text in a request, with which it is too long for any context: 200,000 tokens of four characters."""

MOST_REFUSED = 200
"""Requests that the provider would refuse, after which a run is ended."""


@dataclasses.dataclass(slots=True, eq=False)
class Delivery:
    """A reply on its way: what was read of it, and how it ended. `done` writes the record once."""

    model: ScriptedModel
    site: Site
    call: LogicalCall
    reply: Reply
    delivered: int = 0
    ended: bool = False

    def hand_over(self, chunk: Chunk) -> None:
        """The client gets this chunk now. With the terminal one the turn is complete, before anyone can act on it."""
        if self.delivered < len(self.reply.chunks):  # what comes after is a keep-alive, no piece of the reply
            self.delivered += 1
        if chunk.terminal:
            self.done("complete")

    def done(self, end: str) -> None:
        """The client has all it will get: `complete`, `cut`, `timeout`, `closed` or `hung`."""
        if not self.ended:
            self.ended = True
            self.model.record_delivery(self, end)


class ScriptedModel:
    """The `llm` fixture: say what the model says, then let any SDK ask."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._script = Script()
        self._open: list[Delivery] = []
        self._refused = 0
        self._lock = threading.RLock()  # agents ask from several threads at once

    def says(self, *turns: Said) -> None:
        """The next turns, in order: text, `call(...)`, a list of calls made in parallel, or a `Turn`.

        Every turn must be asked for and nothing more, or the test fails. Raises TypeError for anything else.
        """
        self._script.says(*turns)

    @property
    def has_script(self) -> bool:
        """Whether the model has been told to say anything."""
        return bool(self._script.turns)

    @property
    def calls(self) -> int:
        """Logical model calls so far; retries of one call count once."""
        return len(self._script.book.calls)

    @property
    def requests(self) -> list[ModelRequested]:
        """Every wire request so far, retries included."""
        return list(self._seams.trace.of(ModelRequested))

    def answer(self, codec: Codec, wire: WireRequest) -> Delivery | Reply | None:
        """The reply to one wire request; None where the script has nothing to say, and that is on record."""
        self._seams.check_alive()
        try:
            request = codec.decode(wire)
        except BadRequest as error:
            return self._refuse(codec, wire, error, codec.refuse(error))
        if len(wire.body) > MOST_CHARACTERS and _characters(request) >= MOST_CHARACTERS:
            too_long = BadRequest("it is too long for the context")
            return self._refuse(codec, wire, too_long, codec.error("context_length_exceeded", request))
        with self._lock:
            return self._deliver(request)

    def _refuse(self, codec: Codec, wire: WireRequest, error: BadRequest, reply: Reply) -> Reply:
        self._seams.trace.append(refused(codec, error, reply, wire))
        self._refused += 1
        if self._refused > MOST_REFUSED:
            raise RunAbort("runaway", f"the agent sent {MOST_REFUSED} requests that are refused, and goes on: {error}")
        return reply

    def _deliver(self, request: ModelRequest) -> Delivery | None:
        line = self._script.next_line(request, faulted=self._seams.faulted)
        site = Site("llm", n=line.call.n, attempt=line.call.attempts)
        self._seams.trace.append(
            ModelRequested(
                site=str(site),
                call=site.n,
                attempt=site.attempt,
                model=request.model,
                stream=request.stream,
                messages=request.messages,
                body_sha256=request.body_sha256,
                key=request.idempotency_key,
            )
        )
        self._seams.at_boundary(f"{site} asked")
        if line.turn is None:
            unanswered(self._seams.trace, self._extra_call(line.call, request))
            return None
        reply, harmed = self._reply(line.turn, request, site)
        line.call.flowing = not harmed
        delivery = Delivery(self, site, line.call, reply)
        self._open.append(delivery)
        return delivery

    def record_delivery(self, delivery: Delivery, end: str) -> None:
        """Write what arrived of a reply. A call counts as answered when its terminal marker did."""
        with self._lock:
            self._record(delivery, end)

    def _record(self, delivery: Delivery, end: str) -> None:
        self._open.remove(delivery)
        reply, call = delivery.reply, delivery.call
        call.flowing = False
        heard = reply.chunks[: delivery.delivered]
        deltas = [delta for chunk in heard for delta in chunk.deltas]
        ok = any(chunk.terminal for chunk in heard)
        if ok:
            call.answered, call.heard = True, reply.meant
        self._seams.trace.append(
            ModelReplied(
                site=str(delivery.site),
                call=delivery.site.n,
                attempt=delivery.site.attempt,
                status=reply.status,
                end="complete" if ok or reply.status >= 400 else end,
                streamed=reply.streamed,
                events=reply.events,
                delivered=delivery.delivered,
                terminal_at=reply.terminal_at,
                text="".join(delta.text for delta in deltas),
                calls=_assembled(deltas),
                error_code=reply.error_code,
                heard=ok and reply.meant,
            )
        )
        self._seams.at_boundary(f"{delivery.site} answered")

    def snapshot(self) -> dict[str, Any]:
        """What the model remembers of the conversation, as JSON data: the provider outlives the agent's process."""
        return self._script.snapshot()

    def restore(self, data: dict[str, Any]) -> None:
        """Remember what `snapshot` gave."""
        self._script.restore(data)

    def tool_ended(self, reply: ToolReplied) -> None:
        """A tool call that the last turn asked for has ended; one that a fault made fail makes the model ask again."""
        if self._script.book.calls:
            failed = self._script.book.calls[-1].tools_failed
            logical_call = reply.site.partition("/")[0]
            if reply.status in ("lost", "refused"):
                failed.add(logical_call)
            else:
                failed.discard(logical_call)

    def finish(self) -> None:
        """Close the record of replies nobody read to the end."""
        for delivery in list(self._open):
            delivery.done("closed")

    def check_leftover(self) -> None:
        """Raise LeftoverTurns if the script was not used up."""
        left = self._script.leftover
        if left:
            total, asked = len(self._script.turns), len(self._script.turns) - len(left)
            raise LeftoverTurns(
                f"the script has {total} turn(s) and the agent asked for {asked}; never asked for: "
                f"{_describe(left)}. Remove what the agent no longer asks for from llm.says(...), "
                "or find out why it stopped early"
            )

    def _reply(self, turn: Turn, request: ModelRequest, site: Site) -> tuple[Reply, bool]:
        """What reaches the client, and whether a fault has touched it."""
        effects = self._seams.at(site, LlmEffect)
        for fault, effect in effects:
            answer = effect.answer(request)
            if answer is not None:
                self._seams.struck(fault, site, _describe_answer(answer))
                return answer, True
        said, harmed = turn, False
        for fault, effect in effects:
            changed = effect.change_turn(said)
            if changed is not said:
                said, harmed = changed, True
                self._seams.struck(fault, site, f"the model said {_describe([said])}")
        reply = request.codec.encode(said, request, site.n)
        for fault, effect in effects:
            changed_reply = effect.change_reply(reply)
            if changed_reply is not reply:
                reply, harmed = changed_reply, True
                self._seams.struck(fault, site, _describe_reply(reply))
        meant = _same_meaning(turn, said)
        return (reply if reply.meant is meant else dataclasses.replace(reply, meant=meant)), harmed

    def _extra_call(self, call: LogicalCall, request: ModelRequest) -> str:
        turns = self._script.turns
        last = f"; its last turn was {_describe(turns[-1:])}" if turns else ""
        return (
            f"model call {call.n} has no turn in the script, which has {len(turns)}{last}. "
            f"The agent asked {request.codec.name} after {request.last_message!r}. "
            "Add what the model says then to llm.says(...)"
        )


def _characters(request: ModelRequest) -> int:
    """How much text the history has. Images and files are counted by no provider by their bytes."""
    return sum(len(said.text) + sum(len(call.arguments) for call in said.calls) for said in request.history)


def _same_meaning(meant: Turn, said: Turn) -> bool:
    if meant is said:
        return True
    return meant.text == said.text and [(c.name, _value(c.arguments)) for c in meant.calls] == [
        (c.name, _value(c.arguments)) for c in said.calls
    ]


def _value(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _assembled(deltas: Sequence[Delta]) -> list[dict[str, str]]:
    calls: dict[int, dict[str, str]] = {}
    for delta in deltas:
        if delta.index is not None:
            made = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
            made["id"] += delta.id
            made["name"] += delta.name
            made["arguments"] += delta.arguments
    return [calls[index] for index in sorted(calls)]


def _describe(turns: Sequence[Turn]) -> str:
    said: list[str] = []
    for turn in turns:
        said.extend(f"{call.name}({call.arguments})" for call in turn.calls)
        if turn.text:
            said.append(repr(turn.text))
    return ", ".join(said) or "nothing"


def _describe_answer(reply: Reply) -> str:
    if reply.error_code is not None:
        return f"answered {reply.status} {reply.error_code}"
    said = _assembled([delta for chunk in reply.chunks for delta in chunk.deltas])
    return "the model said " + (", ".join(f"{call['name']}({call['arguments']})" for call in said) or "something else")


_ENDS = {
    "silence": "silence",
    "keep-alive": "nothing but keep-alives",
    "reset": "the connection was reset",
    "incomplete": "the connection was closed",
}


def _describe_reply(reply: Reply) -> str:
    if reply.end in _ENDS:
        return f"{_ENDS[reply.end]} after event {len(reply.chunks)}"
    if reply.head_s:
        return "no status and no headers, ever" if reply.head_s == float("inf") else f"headers {reply.head_s:g} s late"
    if reply.error_code is not None:
        return f"{reply.error_code} with status {reply.status}"
    if reply.streamed and reply.terminal_at is None:
        return f"the stream ended after event {len(reply.chunks)} without a terminal event"
    late = [f"event {index + 1} {chunk.delay_s:g} s late" for index, chunk in enumerate(reply.chunks) if chunk.delay_s]
    return ", ".join(late) or f"{len(reply.chunks)} event(s)"
