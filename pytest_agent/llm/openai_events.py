"""The events in which OpenAI Responses says a turn. Each has its type twice, and its number in the stream."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_agent.llm.openai_wire import error_body
from pytest_agent.llm.reply import Chunk, Delta, ErrorKind
from pytest_agent.llm.wire import ARGUMENT_PIECE, WORDS, dump

_CODES = frozenset({"server_error", "rate_limit_exceeded", "context_length_exceeded", "insufficient_quota"})
_NUMBER = re.compile(rb'("type":"[a-z_.]+","sequence_number":)\d+')
_EMPTY: dict[str, dict[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
}
_Event = tuple[str, bytes, Delta | None]


class Events:
    """One stream, and what can be said in it besides its turn. `frame` is the response before anything is said."""

    keep_alive = b": keep-alive\n\n"

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self._frame = frame

    def stream(self, whole: Mapping[str, Any]) -> Iterator[Chunk]:
        """The events of a response that ends as `whole`; the last alone is terminal."""
        last = f"response.{whole['status']}"
        for number, (kind, body, seen) in enumerate(self._events(whole)):
            yield Chunk(_sse(kind, number, body), terminal=kind == last, deltas=() if seen is None else (seen,))

    def error_event(self, kind: ErrorKind) -> Chunk:
        """An `error`, and the response that failed of it: two events in one piece, for nothing comes between them."""
        said = error_body(kind, self._frame["model"], "input")
        code = said["code"] if said["code"] in _CODES else "server_error"
        flat = {"code": said["code"] or said["type"], "message": said["message"], "param": said["param"]}
        failed = {**self._frame, "status": "failed", "error": {"code": code, "message": said["message"]}}
        return Chunk(_sse("error", 0, _body(**flat)) + _sse("response.failed", 1, _body(response=failed)))

    def _events(self, whole: Mapping[str, Any]) -> Iterator[_Event]:
        begun = _body(response=self._frame)
        yield "response.created", begun, None
        yield "response.in_progress", begun, None
        calls = itertools.count()
        for index, item in enumerate(whole["output"]):
            place = next(calls) if item["type"] == "function_call" else None
            opened = None if place is None else Delta(index=place, name=item["name"], id=item["call_id"])
            opening = item | _EMPTY[item["type"]]
            yield "response.output_item.added", _body(output_index=index, item=opening), opened
            where = {"item_id": item["id"], "output_index": index}
            if place is not None:
                yield from _arguments(where, item["arguments"], place)
            yield from _thoughts(where, item.get("summary") or ())
            yield from _content(where, item.get("content") or ())
            yield "response.output_item.done", _body(output_index=index, item=item), None
        yield f"response.{whole['status']}", _body(response=whole), None


def renumbered(chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The same chunks, their events numbered from 0 in this order; those of a wire without numbers as they are."""
    count = itertools.count()
    made = []
    for chunk in chunks:
        data = _NUMBER.sub(lambda found: found[1] + str(next(count)).encode(), chunk.data)
        made.append(chunk if data == chunk.data else dataclasses.replace(chunk, data=data))
    return tuple(made)


def _thoughts(where: dict[str, Any], summary: Iterable[dict[str, Any]]) -> Iterator[_Event]:
    for index, part in enumerate(summary):
        here = {**where, "summary_index": index}
        yield "response.reasoning_summary_part.added", _body(**here, part={**part, "text": ""}), None
        for _, body in _deltas(here, WORDS.findall(part["text"])):
            yield "response.reasoning_summary_text.delta", body, None
        yield "response.reasoning_summary_text.done", _body(**here, text=part["text"]), None
        yield "response.reasoning_summary_part.done", _body(**here, part=part), None


def _content(where: dict[str, Any], content: Iterable[dict[str, Any]]) -> Iterator[_Event]:
    for index, part in enumerate(content):
        here: dict[str, Any] = {**where, "content_index": index}
        refuses = part["type"] == "refusal"
        kind, word = ("response.refusal", "refusal") if refuses else ("response.output_text", "text")
        with_odds = here if refuses else {**here, "logprobs": []}
        yield "response.content_part.added", _body(**here, part={**part, word: ""}), None
        for piece, body in _deltas(with_odds, WORDS.findall(part[word])):
            yield f"{kind}.delta", body, Delta(text=piece)
        yield f"{kind}.done", _body(**with_odds, **{word: part[word]}), None
        yield "response.content_part.done", _body(**here, part=part), None


def _arguments(where: dict[str, Any], text: str, place: int) -> Iterator[_Event]:
    kind = "response.function_call_arguments"
    pieces = [text[start : start + ARGUMENT_PIECE] for start in range(0, len(text), ARGUMENT_PIECE)]
    for piece, body in _deltas(where, pieces):
        yield f"{kind}.delta", body, Delta(index=place, arguments=piece)
    yield f"{kind}.done", _body(**where, arguments=text), None


def _deltas(where: dict[str, Any], pieces: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    # These are most of a stream: what they have in common is written once.
    begin = _body(**where)[:-1] + b',"delta":'
    for piece in pieces:
        yield piece, begin + dump(piece) + b"}"


def _body(**data: Any) -> bytes:
    """The fields of an event after its number, as text."""
    return b"," + dump(data)[1:]


def _sse(kind: str, number: int, body: bytes) -> bytes:
    name = kind.encode()
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d%b\n\n' % (name, name, number, body)
