"""I8: complete or error."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from pytest_agent.invariants.evidence import Evidence, Violation, asked_by, was_cut
from pytest_agent.trace import ModelReplied, ModelRequested, ToolCalled

ID, NAME = "I8", "complete or error"


def complete_or_error(evidence: Evidence) -> list[Violation] | None:
    """I8. A turn counts only after its terminal marker, and equals the deltas of exactly one attempt.

    A cut turn counts when a tool runs on it, when its text or calls are in the history of a later request, or when
    the run ends in success on it. What a complete turn says too is no sign of the cut one. Needs a reply of a model;
    otherwise not judged.
    """
    replies = list(evidence.of(ModelReplied))
    if not replies:
        return None
    whole = [reply for reply in replies if reply.end == "complete"]
    texts = {reply.text.strip() for reply in whole}
    ids = {call["id"] for reply in whole for call in reply.calls}
    found: list[Violation] = []
    for reply in replies:
        if was_cut(reply, evidence.events):
            how = _run_on(reply, evidence) or _in_history(reply, evidence, texts, ids) or _ended_on(reply, evidence)
            if how is not None:
                found.append(Violation(ID, NAME, how, (_cut_line(reply),)))
    return found + list(_glued(replies, evidence, texts))


def _run_on(reply: ModelReplied, evidence: Evidence) -> str | None:
    for event in evidence.of(ToolCalled):
        if asked_by(event, evidence.events) is reply:
            return f"{event.tool} was run on the cut turn of {reply.site}"
    return None


def _in_history(reply: ModelReplied, evidence: Evidence, texts: set[str], ids: set[str]) -> str | None:
    own_ids = {call["id"] for call in reply.calls if call["id"]} - ids
    text = reply.text.strip()
    for request in evidence.of(ModelRequested):
        if request.seq < reply.seq:
            continue
        for said, called in _assistant(request):
            if own_ids & called:
                return f"a call of the cut turn of {reply.site} is in the history of {request.site}"
            if text and said.strip() == text and text not in texts:
                return f"the cut text of {reply.site} is in the history of {request.site}"
    return None


def _ended_on(reply: ModelReplied, evidence: Evidence) -> str | None:
    last = not any(other.seq > reply.seq for other in evidence.of(ModelReplied))
    return f"the cut turn of {reply.site} was taken for the whole answer" if last and evidence.claims_success else None


def _glued(replies: list[ModelReplied], evidence: Evidence, texts: set[str]) -> Iterator[Violation]:
    """Text of two attempts joined into one turn, or into the answer."""
    attempts: dict[str, list[ModelReplied]] = defaultdict(list)
    for reply in replies:
        attempts[reply.site.partition("/")[0]].append(reply)
    for call, tries in attempts.items():
        said = [reply.text for reply in tries if reply.text]
        joined = [first + second for first, second in itertools.pairwise(said)]
        where = next((where for where, text in _kept(evidence, texts) if any(part in text for part in joined)), None)
        if where is not None:
            headline = f"{where} joins several attempts of {call} into one turn"
            yield Violation(ID, NAME, headline, tuple(_cut_line(reply) for reply in tries))


def _kept(evidence: Evidence, texts: set[str]) -> Iterator[tuple[str, str]]:
    """What the agent took for turns of the model and is none, and where it says so."""
    for request in evidence.of(ModelRequested):
        for said, _ in _assistant(request):
            if said.strip() not in texts:
                yield f"the history of {request.site}", said
    claim = evidence.claim
    if claim is not None and not any(repr(text) in claim.detail for text in texts if text):
        yield "the answer", claim.detail


def _assistant(request: ModelRequested) -> Iterator[tuple[str, set[str]]]:
    """The text and the ids of the calls of each message of the model in a history."""
    for message in request.messages:
        if message.get("type") == "function_call":
            yield "", {str(message.get("call_id"))}
        if message.get("role") not in ("assistant", "model"):
            continue
        content = message.get("content", message.get("parts"))
        parts = content if isinstance(content, list) else [content]
        text = "".join(_text(part) for part in parts)
        blocks = [*(message.get("tool_calls") or ()), *parts, *map(_function_call, parts)]
        yield text, {str(block["id"]) for block in blocks if isinstance(block, dict) and block.get("id")}


def _function_call(part: object) -> object:
    """The call in a part of Gemini's, which stands one level deeper than that of the others."""
    return part.get("functionCall", part.get("function_call")) if isinstance(part, dict) else None


def _text(part: object) -> str:
    if isinstance(part, dict):
        part = None if part.get("thought") is True else part.get("text")
    return part if isinstance(part, str) else ""


def _cut_line(reply: ModelReplied) -> str:
    said = reply.text or ", ".join(f"{call['name']}({call['arguments']}" for call in reply.calls) or "nothing"
    return f"{reply.site}: {reply.delivered} of {reply.events} events, then {reply.end}; said so far: {said!r}"
