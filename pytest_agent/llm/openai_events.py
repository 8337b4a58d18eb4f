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
_Event = tuple[str, dict[str, Any], Delta | None]


class Events:
    """One stream, and what can be said in it besides its turn. `frame` is the response before anything is said."""

    keep_alive = b": keep-alive\n\n"

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self._frame = frame

    def stream(self, whole: Mapping[str, Any]) -> Iterator[Chunk]:
        """The events of a response that ends as `whole`; the last alone is terminal."""
        last = f"response.{whole['status']}"
        for number, (kind, data, seen) in enumerate(self._events(whole)):
            yield Chunk(_sse(kind, number, data), terminal=kind == last, deltas=() if seen is None else (seen,))

    def error_event(self, kind: ErrorKind) -> Chunk:
        """An `error`, and the response that failed of it: two events in one piece, for nothing comes between them."""
        said = error_body(kind, self._frame["model"])
        code = said["code"] if said["code"] in _CODES else "server_error"
        flat = {"code": said["code"] or said["type"], "message": said["message"], "param": said["param"]}
        failed = {**self._frame, "status": "failed", "error": {"code": code, "message": said["message"]}}
        return Chunk(_sse("error", 0, flat) + _sse("response.failed", 1, {"response": failed}))

    def _events(self, whole: Mapping[str, Any]) -> Iterator[_Event]:
        yield "response.created", {"response": self._frame}, None
        yield "response.in_progress", {"response": self._frame}, None
        calls = itertools.count()
        for index, item in enumerate(whole["output"]):
            place = next(calls) if item["type"] == "function_call" else None
            opened = None if place is None else Delta(index=place, name=item["name"], id=item["call_id"])
            yield "response.output_item.added", {"output_index": index, "item": item | _EMPTY[item["type"]]}, opened
            where = {"item_id": item["id"], "output_index": index}
            if place is not None:
                yield from _arguments(where, item["arguments"], place)
            yield from _thoughts(where, item.get("summary") or ())
            yield from _content(where, item.get("content") or ())
            yield "response.output_item.done", {"output_index": index, "item": item}, None
        yield f"response.{whole['status']}", {"response": whole}, None


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
        yield "response.reasoning_summary_part.added", {**here, "part": {**part, "text": ""}}, None
        for piece in WORDS.findall(part["text"]):
            yield "response.reasoning_summary_text.delta", {**here, "delta": piece}, None
        yield "response.reasoning_summary_text.done", {**here, "text": part["text"]}, None
        yield "response.reasoning_summary_part.done", {**here, "part": part}, None


def _content(where: dict[str, Any], content: Iterable[dict[str, Any]]) -> Iterator[_Event]:
    for index, part in enumerate(content):
        here = {**where, "content_index": index}
        refuses = part["type"] == "refusal"
        kind, word = ("response.refusal", "refusal") if refuses else ("response.output_text", "text")
        more: dict[str, Any] = {} if refuses else {"logprobs": []}
        yield "response.content_part.added", {**here, "part": {**part, word: ""}}, None
        for piece in WORDS.findall(part[word]):
            yield f"{kind}.delta", {**here, **more, "delta": piece}, Delta(text=piece)
        yield f"{kind}.done", {**here, **more, word: part[word]}, None
        yield "response.content_part.done", {**here, "part": part}, None


def _arguments(where: dict[str, Any], text: str, place: int) -> Iterator[_Event]:
    kind = "response.function_call_arguments"
    for start in range(0, len(text), ARGUMENT_PIECE):
        piece = text[start : start + ARGUMENT_PIECE]
        yield f"{kind}.delta", {**where, "delta": piece}, Delta(index=place, arguments=piece)
    yield f"{kind}.done", {**where, "arguments": text}, None


def _sse(kind: str, number: int, data: Mapping[str, Any]) -> bytes:
    whole = {"type": kind, "sequence_number": number, **data}
    return b"event: " + kind.encode() + b"\ndata: " + dump(whole) + b"\n\n"
