"""From a whole request to its answer: the routes, the scripted model behind them, and what may go wrong."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass

from pytest_agent.errors import ProcessDied, RunAbort
from pytest_agent.llm.conversations import conversation_of
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.protocols import codec_for, service_for
from pytest_agent.llm.record import Delivery
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import BadRequest, Codec, Service, WireRequest
from pytest_agent.llm.server import faces
from pytest_agent.llm.server.answer import Answer
from pytest_agent.llm.server.control import PREFIX, Control
from pytest_agent.llm.server.journal import Journal
from pytest_agent.llm.server.memo import Remembering
from pytest_agent.trace import Trace, Unanswered

TOKEN_HEADER = "x-pytest-agent-token"  # noqa: S105 - the name of a header
_ROUTES_KEPT = 1_000
_PROBLEMS_KEPT = 20
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Script:
    """A route that the script answers."""

    codec: Codec


class App:
    """Answers with `model`, which may be exchanged. `token` is what every request has to show, where one is given.

    `remembers`: bodies that come many times are read once; for scripts without functions of a test's own.
    """

    def __init__(
        self,
        model: ScriptedModel,
        trace: Trace,
        control: Control,
        journal: Journal,
        *,
        token: str = "",
        remembers: bool = False,
    ) -> None:
        self.model = model
        self.problems: list[str] = []
        """Errors of the server itself."""
        self.aborted: RunAbort | None = None
        self._trace = trace
        self._control = control
        self._journal = journal
        self._token = token.encode()
        self._remembers = remembers
        self._routes: dict[tuple[str, str], _Script | Service | None] = {}

    def answer(self, wire: WireRequest) -> Answer | None:
        """The answer; None where the process of the agent has died, and whatever still asks in its name."""
        try:
            return self._answer(wire)
        except ProcessDied:
            return None
        except Exception as error:  # noqa: BLE001 - one request must not end the server; the error fails the test
            self.failed(error)
            text = f"the model server of pytest-agent has failed: {type(error).__name__}: {error}; please report it\n"
            return Answer(Reply(500, (("content-type", "text/plain"),), (Chunk(text.encode()),), error_code="internal"))

    def too_large(self, wire: WireRequest) -> Reply:
        """The provider's own 413."""
        reply = faces.face_of(wire).error("request_too_large", None)
        self._journal.note(wire, reply, None, answered=True).done("complete")
        return reply

    def failed(self, error: BaseException) -> None:
        """Keep an error of the server itself, and log it."""
        said = f"{type(error).__name__}: {error}"
        if said not in self.problems and len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(said)
        _LOG.error("the model server has failed", exc_info=error)

    def _answer(self, wire: WireRequest) -> Answer:
        if wire.path.startswith(PREFIX):
            return Answer(self._control.answer(wire, allowed=self._is_allowed(wire)))
        if not self._is_allowed(wire):
            return self._noted(wire, faces.face_of(wire).error("authentication", None))
        route = self._route(wire)
        if route is None:
            known = codec_for("POST", wire.path) is not None
            return self._noted(wire, faces.wrong_method(wire) if known else faces.unknown_path(wire))
        if wire.method == "POST" and not faces.is_json(wire):
            return self._noted(wire, faces.wrong_content_type(wire))
        if isinstance(route, _Script):
            return self._ask(route.codec, wire)
        return self._noted(wire, self.model.serve(route, wire))

    def _ask(self, codec: Codec, wire: WireRequest) -> Answer:
        try:
            said = self.model.answer(codec, wire)
        except RunAbort as abort:
            self.aborted = self.aborted or abort
            return self._noted(wire, codec.refuse(BadRequest(str(abort))), answered=False)
        if said is None:
            return self._noted(wire, codec.refuse(BadRequest(self._last_unanswered())), answered=False)
        if isinstance(said, Delivery):
            return Answer(said.reply, said, self._journal.note(wire, said.reply, said, answered=True))
        return self._noted(wire, said)

    def _noted(self, wire: WireRequest, reply: Reply, *, answered: bool = True) -> Answer:
        return Answer(reply, None, self._journal.note(wire, reply, None, answered=answered))

    def _route(self, wire: WireRequest) -> _Script | Service | None:
        key = (wire.method, wire.path)
        if key not in self._routes:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            codec = codec_for(*key)
            if codec is None:
                self._routes[key] = service_for(*key)
            else:
                self._routes[key] = _Script(Remembering(codec) if self._remembers else codec)
        return self._routes[key]

    def _is_allowed(self, wire: WireRequest) -> bool:
        if not self._token:
            return True
        shown = [wire.headers.get(TOKEN_HEADER, ""), *conversation_of(wire.headers)]
        return any(hmac.compare_digest(text.encode(), self._token) for text in shown)

    def _last_unanswered(self) -> str:
        last = next((event for event in reversed(self._trace.events) if isinstance(event, Unanswered)), None)
        return "the script has nothing to say" if last is None else last.detail
