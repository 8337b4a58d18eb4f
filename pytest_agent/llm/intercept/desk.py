"""Where a request is decided on, whatever library sends it: the script, a route without one, through, or nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pytest_agent.errors import UnansweredCall
from pytest_agent.guard import is_loopback, unanswered
from pytest_agent.llm.memo import Remembering
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.protocols import CODECS, codec_for, service_for
from pytest_agent.llm.record import Delivery
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import Codec, Service, WireRequest
from pytest_agent.trace import Trace, Unanswered
from pytest_agent.whose import Ambiguous, Whose

Sleep = Callable[[float], None]


@dataclass(slots=True, eq=False)
class Unrecorded:
    """A reply that is no turn of the model, such as a refusal: sent like a delivery, with no record kept."""

    reply: Reply
    delivered: int = 0
    site: str = "a request that is refused"

    def hand_over(self, chunk: Chunk) -> None:
        """The client gets this chunk now."""

    def done(self, end: str) -> None:
        """The client has all it will get."""


Sending = Delivery | Unrecorded
Route = Callable[[WireRequest], Sending]
"""Gives what is sent for a request. Raises UnansweredCall where the script has nothing to say."""


class Desk:
    """One model and the record of its run. `slots` are the connections its clients have open, by transport."""

    def __init__(self, model: ScriptedModel, trace: Trace, sleep: Sleep) -> None:
        self.sleep = sleep
        self.slots: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._model = model
        self._trace = trace
        self._ports: set[int] = set()

    def let_through(self, port: int) -> None:
        """Requests to this port of the machine go to the network: the script answers them there."""
        self._ports.add(port)

    def goes_through(self, host: str | None, port: int | None) -> bool:
        """Whether a request to there was let through."""
        return port in self._ports and is_loopback(host)

    def route(self, method: str, path: str, *, local: bool) -> Route | None:
        """What answers there. None where nothing does: then `local` goes through, all else is refused.

        `local` says that the request would stay on this machine: there a script has to be given first.
        """
        if local and not self._model.has_script:
            return None
        codec = codec_for(method, path)
        if codec is not None:
            return functools.partial(self._ask, codec if self._model.shows_requests else _REMEMBERING[codec.name])
        service = service_for(method, path)
        return None if service is None else functools.partial(self._serve, service)

    def nothing_answers(self, library: str, method: str, url: str, routes: Sequence[str] = ()) -> str:
        """Record that nothing does, and say so. `url` has no query and no user: some providers take their key there."""
        respx = library.startswith("httpx")
        near = f" The respx routes are: {'; '.join(routes)}." if routes else ""
        detail = (
            f"{method} {url} ({library}): no {'respx route, ' if respx else ''}script or loopback server answers it."
            f"{near} {'Add a respx route for it; ' if respx else ''}"
            "llm.says(...) answers POST .../chat/completions, .../responses, .../v1/messages and ...:generateContent"
        )
        self.tell(detail)
        return detail

    def tell(self, detail: str) -> None:
        """Record what nothing answers."""
        unanswered(self._trace, detail)

    def _ask(self, codec: Codec, wire: WireRequest) -> Sending:
        answer = self._model.answer(codec, wire)
        if answer is None:
            raise UnansweredCall([event.detail for event in self._trace.of(Unanswered)][-1])
        return Unrecorded(answer) if isinstance(answer, Reply) else answer

    def _serve(self, service: Service, wire: WireRequest) -> Sending:
        return Unrecorded(self._model.serve(service, wire))


_REMEMBERING: dict[str, Codec] = {codec.name: Remembering(codec) for codec in CODECS}
"""For all runs of this process: under every schedule an agent begins with the same requests."""


DESKS: Whose[Desk] = Whose("pytest_agent_desk")


def desk_here() -> Desk | None:
    """The desk for a request that is made here and now, None where none is open.

    Raises UnansweredCall where it cannot be told; all that are open have it on record.
    """
    try:
        return DESKS.current()
    except Ambiguous as error:
        for desk in error.candidates:
            if isinstance(desk, Desk):
                desk.tell(str(error))
        raise UnansweredCall(str(error)) from None
