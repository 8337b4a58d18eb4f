"""Small agents, broken in one way and sound in the other, in real runs under a fault."""

import contextlib
import json

import httpx
import pytest

from pytest_agent import call
from pytest_agent.invariants import Evidence, check_all

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client(timeout=10)


class Reply:
    """One streamed reply as an agent puts it together."""

    def __init__(self, history, *, on_call=None):
        self.text, self.calls, self.finish = "", {}, None
        body = {"model": "m", "messages": history, "stream": True}
        with HTTP.stream("POST", URL, json=body) as reply:
            reply.raise_for_status() if reply.status_code == 200 else reply.read() and reply.raise_for_status()
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    self._take(json.loads(line[6:])["choices"][0], on_call)

    @property
    def message(self):
        """What the model said, as it goes into the history."""
        made = [
            {
                "id": asked["id"],
                "type": "function",
                "function": {"name": asked["name"], "arguments": asked["arguments"]},
            }
            for asked in self.calls.values()
        ]
        return {"role": "assistant", "content": self.text or None, "tool_calls": made}

    def _take(self, choice, on_call):
        self.text += choice["delta"].get("content") or ""
        for piece in choice["delta"].get("tool_calls") or []:
            known = self.calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
            known["id"] += piece.get("id", "")
            known["name"] += piece["function"].get("name", "")
            known["arguments"] += piece["function"]["arguments"]
            with contextlib.suppress(ValueError):
                known["data"] = json.loads(known["arguments"])
                if on_call:
                    on_call(known)
        self.finish = choice["finish_reason"] or self.finish


def run_agent(run, agent):
    """The run to its end, and what the checks find in it."""
    sandbox = run.sandbox

    @sandbox.tool("refund", effect=True)
    def refund(order: int):
        return "done"

    run.llm.says(call("refund", order=7), "Order 7 is refunded.")
    error = None
    with run.inside():
        try:
            agent(sandbox.tools)
        except Exception as caught:  # noqa: BLE001 - judged below
            error = caught
        run.body_ended(error)
    return tuple(run.trace.events)


def judged(run_under, agent, schedule):
    clean = run_agent(run_under(), agent)
    run = run_under(schedule)
    events = run_agent(run, agent)
    assert any(event.kind == "fault_applied" for event in events)
    from pytest_agent.faults.catalogue import load_catalogue

    named = tuple(load_catalogue()[fault.id] for fault in run.schedule.faults)
    assert check_all(Evidence(clean, clean, ()))[0] == []
    violations, _ = check_all(Evidence(events, clean, named))
    return {violation.id for violation in violations}


USER = {"role": "user", "content": "refund order 7"}


def trusting(tools):
    """Takes whatever came for the whole turn, and ignores every error of a tool."""
    history = [USER]
    for _ in range(9):
        reply = Reply(history)
        if not reply.calls:
            return reply.text
        history.append(reply.message)
        for asked in reply.calls.values():
            result = "error"
            with contextlib.suppress(Exception):
                result = tools[asked["name"]](**asked.get("data", {}))
            history.append({"role": "tool", "tool_call_id": asked["id"], "content": str(result)})
    return None


def sound(tools):
    """Asks again for a turn that has no end, checks arguments, and stops where an effect is in doubt."""
    history = [USER]
    for _ in range(9):
        reply = Reply(history)
        if reply.finish is None:
            continue
        if not reply.calls:
            return reply.text
        history.append(reply.message)
        for asked in reply.calls.values():
            data = asked.get("data")
            result = tools[asked["name"]](**data) if isinstance(data, dict) and "order" in data else "not valid: order"
            history.append({"role": "tool", "tool_call_id": asked["id"], "content": str(result)})
    return None


def eager(tools):
    """Runs a tool as soon as its arguments are a whole object, with the turn still on its way."""
    history, done = [USER], []
    for _ in range(9):
        reply = Reply(history, on_call=lambda asked: done.append(tools[asked["name"]](**asked["data"])))
        if reply.finish == "stop":
            return reply.text
        history.append({"role": "user", "content": str(done)})
    return None


FIRST_TURN = [0, 1, 2, 3]


@pytest.mark.parametrize("after", FIRST_TURN)
def test_a_sound_agent_survives_a_cut_anywhere(run_under, after):
    assert judged(run_under, sound, f"stream-clean-eof(after={after})@llm#1") == set()
    assert judged(run_under, sound, f"stream-clean-eof(after={after})@llm#2") == set()


@pytest.mark.parametrize(
    "control",
    [
        "stream-without-done@llm#1",
        "stream-pause@llm#2",
        "arguments-unusual@llm#1",
        "reply-slow@tool:refund",
        "limit-just-used-up@llm#1",
    ],
)
@pytest.mark.parametrize("agent", [trusting, sound, eager])
def test_a_control_hurts_nobody(run_under, control, agent):
    assert judged(run_under, agent, control) == set()


def test_the_trusting_agent_breaks(run_under):
    assert judged(run_under, trusting, "stream-clean-eof(after=3)@llm#1") >= {"I8", "I9"}
    assert judged(run_under, trusting, "stream-clean-eof(after=2)@llm#2") == {"I3", "I8"}
    assert judged(run_under, trusting, "reply-lost@tool:refund") >= {"I1"}
    assert judged(run_under, trusting, "arguments-malformed(how=empty)@llm#1") == {"I9"}


def test_the_last_boundary_breaks_it_too(run_under):
    """Every word has arrived, and nothing says that it is all."""
    assert judged(run_under, trusting, "stream-clean-eof(after=5)@llm#2") == {"I3", "I8"}
    assert judged(run_under, sound, "stream-clean-eof(after=5)@llm#2") == set()


def test_the_eager_agent_acts_on_a_turn_that_never_ends(run_under):
    assert judged(run_under, eager, "stream-clean-eof(after=3)@llm#1") >= {"I8", "I9"}


def test_the_sound_agent_elsewhere(run_under):
    assert judged(run_under, sound, "reply-lost@tool:refund") == set()
    assert judged(run_under, sound, "insufficient-quota@llm#1") == set()
    assert judged(run_under, sound, "stream-stall(after=2)@llm#1") == set()
    for how in ("unescaped", "unclosed", "list", "empty"):
        assert judged(run_under, sound, f"arguments-malformed(how={how})@llm#1") == set()
