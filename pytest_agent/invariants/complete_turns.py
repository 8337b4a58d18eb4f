"""I8: complete or error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.trace import Event, ModelReplied, ModelRequested, ToolCalled

ID, NAME = "I8", "complete or error"


def complete_or_error(evidence: Evidence) -> list[Violation] | None:
    """I8. A turn counts only after its terminal marker, and equals the deltas of exactly one attempt.

    A cut turn counts when a tool runs on it, when its text or calls are in the history of a later request, or when
    the run ends in success on it. Needs a reply of a model; otherwise not judged.
    """
    replies = list(evidence.of(ModelReplied))
    if not replies:
        return None
    found: list[Violation] = []
    for reply in replies:
        if reply.end != "complete":
            later = [event for event in evidence.events if event.seq > reply.seq]
            how = _counted(reply, later, success=evidence.claims_success)
            if how is not None:
                found.append(Violation(ID, NAME, how, (_cut_line(reply),)))
    return found + list(_glued(replies, evidence))


def _counted(reply: ModelReplied, later: list[Event], *, success: bool) -> str | None:
    """How a cut turn was taken for a whole one, or None."""
    for event in later:
        if isinstance(event, ToolCalled):
            return f"{event.tool} was run on the cut turn of {reply.site}"
        if isinstance(event, ModelReplied) and event.end == "complete":
            return None
        if isinstance(event, ModelRequested) and event.call != reply.call:
            return _in_history(reply, event)
    if success and not any(isinstance(event, ModelReplied) for event in later):
        return f"the cut turn of {reply.site} was taken for the whole answer"
    return None


def _in_history(reply: ModelReplied, request: ModelRequested) -> str | None:
    for message in request.messages:
        if message.get("role") != "assistant":
            continue
        ids = {call.get("id") for call in message.get("tool_calls") or () if isinstance(call, dict)}
        if ids & {call["id"] for call in reply.calls if call["id"]}:
            return f"a call of the cut turn of {reply.site} is in the history of {request.site}"
        if reply.text and message.get("content") == reply.text:
            return f"the cut text of {reply.site} is in the history of {request.site}"
    return None


def _glued(replies: list[ModelReplied], evidence: Evidence) -> Iterator[Violation]:
    """Text of two attempts joined into one turn."""
    attempts: dict[int, list[ModelReplied]] = defaultdict(list)
    for reply in replies:
        attempts[reply.call].append(reply)
    for call, tries in attempts.items():
        texts = [reply.text for reply in tries if reply.text]
        joined = "".join(texts)
        if len(texts) < 2:
            continue
        for request in evidence.of(ModelRequested):
            contents = [message.get("content") for message in request.messages if message.get("role") == "assistant"]
            if joined in contents:
                headline = f"the history of {request.site} joins {len(texts)} attempts of llm#{call} into one turn"
                yield Violation(ID, NAME, headline, tuple(_cut_line(reply) for reply in tries))
                break


def _cut_line(reply: ModelReplied) -> str:
    said = reply.text or ", ".join(f"{call['name']}({call['arguments']}" for call in reply.calls) or "nothing"
    return f"{reply.site}: {reply.delivered} of {reply.events} events, then {reply.end}; said so far: {said!r}"
