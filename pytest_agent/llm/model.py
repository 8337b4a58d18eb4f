"""The scripted model: requests in, replies out, and the record of both."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import AbstractContextManager
from typing import Any

from pytest_agent.errors import LeftoverTurns, RunAbort
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.guard import unanswered
from pytest_agent.llm import closest
from pytest_agent.llm.conversations import speaking_as
from pytest_agent.llm.pace import Pace
from pytest_agent.llm.prices import Prices, shipped
from pytest_agent.llm.record import Delivery, requested
from pytest_agent.llm.refused import refused
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import BadRequest, Codec, ModelRequest, Service, WireRequest
from pytest_agent.llm.rules import Rule
from pytest_agent.llm.script import Script
from pytest_agent.llm.scripts import Scripts
from pytest_agent.llm.spoken import speak
from pytest_agent.llm.told import Told
from pytest_agent.llm.turn import Said
from pytest_agent.llm.usage import Spent, total
from pytest_agent.trace import ModelRequested, ServiceAnswered, ToolReplied, Unanswered

MOST_CHARACTERS = 800_000
"""Of the text in a request, with which it is too long for any context: 200,000 tokens of four characters."""

_NOTICED_S = 0.001
MOST_REFUSED = 200
"""Requests that the provider would refuse, after which a run is ended."""

MOST_CALLS = 10_000
"""Logical calls of one conversation after which a run is ended."""

MOST_SERVED = 20_000
"""Requests that need no script, after which a run is ended."""


class ScriptedModel(Told):
    """The `llm` fixture: say what the model says, then let any SDK ask.

    Rules (`when`) and a function (`answers_with`) that are given here hold in every conversation, after its own; the
    script (`says`) is that of the requests which belong to no conversation by name. `most_calls` are the logical calls
    of one conversation after which a run is ended, None for no limit; `seed` decides what a pace draws. `judged` False
    is for a server that belongs to no run and has a journal: what is asked is neither in the trace nor in `usage`, and
    nothing is too much.
    """

    def __init__(
        self, seams: Seams, *, seed: int = 0, most_calls: int | None = MOST_CALLS, judged: bool = True
    ) -> None:
        rules: list[Rule] = []
        super().__init__(rules, "llm")
        self._seams = seams
        self._seed = seed
        self._judged = judged
        self._scripts = Scripts(self, rules, most_calls if judged else None)
        self._pace: Pace | None = None
        self._open: dict[Delivery, None] = {}  # in order; thousands at once, under load
        self._refused = 0
        self._served = 0
        self._lock = threading.RLock()  # agents ask from several threads at once
        self.prices: Prices = shipped()
        """What tokens cost from now on: `llm.prices = llm.prices.with_overrides({"my-model": {...}})`."""

    def says(self, *turns: Said) -> None:
        """The next turns, in order: text, `call(...)`, a list of calls made in parallel, a mapping, or a `Turn`.

        A mapping is a structured output. Every turn must be asked for and nothing more, or the test fails. Raises
        TypeError for anything else.
        """
        self._scripts.default.says(*turns)

    def conversation(self, name: str) -> Script:
        """The script of one of several agents that ask at the same time: `llm.conversation("a").says("Hello.")`.

        The first use declares the name. A request belongs to it by its header `x-conversation-id`, else by the trace
        id of its `traceparent`, else by its API key; in process `as_conversation` says so for a context.
        Raises ValueError for an empty name.
        """
        if not name:
            raise ValueError("a conversation needs a name; the script without one is llm.says(...)")
        with self._lock:
            return self._scripts.declare(name)

    def as_conversation(self, name: str) -> AbstractContextManager[None]:
        """`with llm.as_conversation("a"):` what is asked inside belongs to it, whatever its headers say.

        It holds for the tasks that are started inside, and for threads that get a copy of the context, as those of
        `asyncio.to_thread` do. Raises UsageError for a name that is not declared.
        """
        self._scripts.check_declared(name)
        return speaking_as(name)

    def pace(self, pace: Pace | None) -> None:
        """How fast turns arrive that have no pace of their own; None is at once."""
        self._pace = pace

    def new_conversation(self) -> None:
        """Begin anew, for the next task of an agent: turns that the last one should have asked for are not said in it.

        Raises LeftoverTurns where such are left and no fault has struck.
        """
        if not self._seams.faulted:
            self.check_leftover()
        for script in self._scripts:
            script.begin()

    @property
    def has_script(self) -> bool:
        """Whether the model has been told to say anything."""
        return any(script.speaks for script in self._scripts)

    @property
    def calls(self) -> int:
        """Logical model calls so far; retries of one call count once."""
        return sum(script.book.count for script in self._scripts)

    @property
    def requests(self) -> list[ModelRequested]:
        """Every wire request so far, retries included."""
        return list(self._seams.trace.of(ModelRequested))

    @property
    def usage(self) -> Spent:
        """Calls, requests and tokens so far, of all conversations, counted where they arrive."""
        return total(script.usage for script in self._scripts)

    @property
    def usage_by_model(self) -> dict[str, Spent]:
        """The same for each model, under the name that requests gave it."""
        meters = [script.meter.by_model for script in self._scripts]
        names = sorted({name for meter in meters for name in meter})
        return {name: total(meter[name] for meter in meters if name in meter) for name in names}

    @property
    def cost_usd(self) -> float | None:
        """USD so far, by the `prices` of the time; None where a model that has spoken has no known price."""
        return self.usage.cost_usd

    @property
    def shows_requests(self) -> bool:
        """Whether anything of the test's own is given the requests, and may do with them as it likes."""
        return bool(self._all_rules) or any(told.function is not None for told in (self, *self._scripts))

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
            name = self._scripts.of(wire)
            return self._deliver(dataclasses.replace(request, conversation=name) if name else request, wire)

    def serve(self, service: Service, wire: WireRequest) -> Reply:
        """The reply of a route that needs no script. It is on record, and no model call."""
        self._seams.check_alive()
        reply = service.answer(wire)
        with self._lock:
            self._served += 1
            if self._judged and self._served > MOST_SERVED:
                raise RunAbort("runaway", f"the agent has asked for {service.name} and the like {MOST_SERVED} times")
            self._seams.trace.append(ServiceAnswered(service=service.name, path=wire.path, status=reply.status))
        return reply

    def record_delivery(self, delivery: Delivery, end: str) -> None:
        """Write what arrived of a reply."""
        with self._lock:
            if delivery not in self._open:  # another thread has just written it
                return
            del self._open[delivery]
            delivery.close()
            if self._judged:
                self._seams.trace.append(delivery.arrived(end))
            if delivery.is_complete:
                self._seams.reach(delivery.site, "answered")
            else:
                self._seams.at_boundary(f"{delivery.where} answered")
                self._seams.touch(delivery.site, "answered")

    def snapshot(self) -> dict[str, Any]:
        """What the model remembers of its conversations, as JSON data: the provider outlives the agent's process."""
        return {script.name: script.snapshot() for script in self._scripts}

    def restore(self, data: dict[str, Any]) -> None:
        """Remember what `snapshot` gave, with the same conversations, rules and functions."""
        for name, kept in data.items():
            self._scripts.declare(name).restore(kept)

    def tool_ended(self, reply: ToolReplied) -> None:
        """A tool call that a last turn asked for has ended; one that a fault made fail makes the model ask again."""
        with self._lock:
            call = self._scripts.caller(reply, self._seams.trace)
            if call is not None:
                failed = call.tools_failed
                change = failed.add if reply.status in ("lost", "refused") else failed.discard
                change(reply.site.partition("/")[0])

    def finish(self) -> None:
        """Close the record of replies nobody read to the end."""
        for delivery in list(self._open):
            delivery.done("closed")

    def check_leftover(self) -> None:
        """Raise LeftoverTurns if a script or a rule was not used up, with a line for each."""
        lines = [line for script in self._scripts for line in closest.leftover(script)]
        lines += closest.unused_rules(self._all_rules, list(self._scripts))
        if lines:
            raise LeftoverTurns("\n".join(lines))

    def _refuse(self, codec: Codec, wire: WireRequest, error: BadRequest, reply: Reply) -> Reply:
        self._seams.trace.append(refused(codec, error, reply, wire))
        self._refused += 1
        if self._judged and self._refused > MOST_REFUSED:
            raise RunAbort("runaway", f"the agent sent {MOST_REFUSED} requests that are refused, and goes on: {error}")
        return reply

    def _deliver(self, request: ModelRequest, wire: WireRequest) -> Delivery | None:
        script = self._scripts[request.conversation]
        line = script.next_line(request, faulted=self._seams.faulted, restarts=self._seams.restarts)
        site = Site("llm", script.name, n=line.call.n, attempt=line.call.attempts)
        where = str(site)
        if self._judged:
            script.meter.requested(request.model, attempt=site.attempt)
            self._seams.trace.append(requested(site, where, request))
        touched = self._seams.touch(site, "asked")
        still_s = self._seams.reach(site, "asked")
        if touched:
            still_s += _NOTICED_S  # while it waits for the answer the agent notices what was done to it meanwhile
        if line.turn is None:
            detail = closest.nothing_said(script, line, request, wire, self._scripts.names)
            if self._judged:
                unanswered(self._seams.trace, detail)
            else:
                self._seams.trace.append(Unanswered(detail=detail))
            return None
        number = script.reply_number(line.call)
        spoken = speak(line.turn, request, site, self._seams, number=number, pace=self._pace, seed=self._seed)
        reply = spoken.reply
        if still_s:
            reply = dataclasses.replace(reply, head_s=reply.head_s + still_s)
        cost_usd = None
        if spoken.usage is not None:
            cost_usd = self.prices.cost_usd(request.model, spoken.usage)
            if self._judged:
                script.meter.spoke(request.model, spoken.usage, cost_usd)
        line.call.flowing = not spoken.harmed
        delivery = Delivery(self, site, where, line.call, reply, request.model, spoken.usage, cost_usd)
        self._open[delivery] = None
        return delivery


def _characters(request: ModelRequest) -> int:
    """How much text the history has. Images and files are counted by no provider by their bytes."""
    return sum(len(said.text) + sum(len(call.arguments) for call in said.calls) for said in request.history)
