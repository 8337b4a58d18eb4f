"""Read a body once that comes many times, and write a turn once that is said many times: for load.

What is remembered is exact: the whole body decides, and only the number in the ids of a reply is put in anew. It is for
scripts that are data; a function of a test may do as it likes with the request that it is given.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Codec, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Turn

MOST_BODIES = 512
MOST_BYTES = 16 * 1024 * 1024
MOST_TURNS = 16
"""Of one body."""

_ONE, _OTHER = 9_100_000_017, 8_200_000_026
"""Numbers of replies that no other reply has."""

_Key = tuple[str, str, bytes, str | None, str | None]


class Remembering:
    """A codec that knows the bodies it has read."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._known: OrderedDict[_Key, ModelRequest] = OrderedDict()
        self._bytes = 0

    @property
    def name(self) -> str:
        """That of the codec."""
        return self._codec.name

    def matches(self, method: str, path: str) -> bool:
        """As the codec."""
        return self._codec.matches(method, path)

    def decode(self, wire: WireRequest) -> ModelRequest:
        """As the codec."""
        headers = wire.headers
        if "idempotency-key" in headers:
            return self._codec.decode(wire)
        retried, version = headers.get("x-stainless-retry-count"), headers.get("anthropic-version")
        key = (wire.path, wire.query, wire.body, retried, version)
        found = self._known.get(key)
        if found is not None:
            return found
        request = self._codec.decode(wire)
        made = dataclasses.replace(request, codec=_Known(request.codec))
        self._known[key] = made
        self._bytes += len(wire.body)
        while len(self._known) > MOST_BODIES or self._bytes > MOST_BYTES:
            oldest, _ = self._known.popitem(last=False)
            self._bytes -= len(oldest[2])
        return made

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """As the codec."""
        return self._codec.history(data)

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """As the codec."""
        return self._codec.encode(turn, request, n)

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """As the codec."""
        return self._codec.error(kind, request, retry_after=retry_after)

    def refuse(self, error: BadRequest) -> Reply:
        """As the codec."""
        return self._codec.refuse(error)


class _Known(Remembering):
    """The codec of one body, which remembers what was said to it."""

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self._templates: dict[int, tuple[Turn, _Template | None]] = {}  # by identity of the turn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """As the codec, with what is the same each time kept."""
        known = self._templates.get(id(turn))
        if known is None or known[0] is not turn:
            if len(self._templates) >= MOST_TURNS:
                self._templates.clear()
            known = self._templates[id(turn)] = turn, self._template(turn, request)
        template = known[1]
        return self._codec.encode(turn, request, n) if template is None else template.numbered(n)

    def _template(self, turn: Turn, request: ModelRequest) -> _Template | None:
        """None where the number of a reply does more than stand in its ids."""
        template = _Template(self._codec.encode(turn, request, _ONE))
        # What a provider can say besides is an object of its own in each reply.
        other = dataclasses.replace(self._codec.encode(turn, request, _OTHER), words=None)
        return template if dataclasses.replace(template.numbered(_OTHER), words=None) == other else None


class _Template:
    """A reply, cut where its number stands."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._headers = list(reply.headers)
        self._with_number = [index for index, (_, value) in enumerate(reply.headers) if str(_ONE) in value]
        self._chunks = [(chunk, chunk.data.split(str(_ONE).encode())) for chunk in reply.chunks]

    def numbered(self, n: int) -> Reply:
        """The reply with this number."""
        text, raw, reply = str(n), str(n).encode(), self._reply
        chunks = tuple(
            [
                chunk
                if len(parts) == 1
                else Chunk(raw.join(parts), chunk.delay_s, chunk.terminal, _numbered(chunk.deltas, text))
                for chunk, parts in self._chunks
            ]
        )
        headers = self._headers.copy()
        for index in self._with_number:
            name, value = headers[index]
            headers[index] = name, value.replace(str(_ONE), text)
        return Reply(
            reply.status,
            tuple(headers),
            chunks,
            reply.streamed,
            reply.end,
            reply.head_s,
            reply.words,
            reply.error_code,
            reply.meant,
            reply.whole,
        )


def _numbered(deltas: tuple[Delta, ...], text: str) -> tuple[Delta, ...]:
    if not any([delta.id for delta in deltas]):  # noqa: C419 - a list is what is quick here
        return deltas
    return tuple(dataclasses.replace(delta, id=delta.id.replace(str(_ONE), text)) for delta in deltas)
