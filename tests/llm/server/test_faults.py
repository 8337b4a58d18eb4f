"""Faults of the schedule on the socket, in real time."""

import json
import time

import openai
import pytest

from pytest_agent.llm.server.limits import Limits
from pytest_agent.llm.server.server import LlmServer
from pytest_agent.trace import FaultApplied, ModelReplied

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**ASK, "stream": True}


@pytest.fixture
def under(run_under, connect):
    """`under("stall-stream@llm#1")`: a run under these faults, its server, and a connection to it."""
    servers = []

    def make(schedule, **limits):
        run = run_under(schedule)
        run.llm.says("one two three four five")
        servers.append(LlmServer(run.llm, run.trace, limits=Limits(**limits)).start())
        return run, servers[-1], connect(servers[-1])

    yield make
    for server in servers:
        server.stop()
        server.check()


def ended(run):
    return [(reply.end, reply.delivered) for reply in run.trace.of(ModelReplied)]


def test_a_provider_error_with_its_header(under):
    run, _, client = under("rate-limit@llm#1")
    status, headers = client.ask().head()
    assert status == 429
    assert headers["retry-after"]
    assert json.loads(client.file.read(int(headers["content-length"])))["error"]["code"] == "rate_limit_exceeded"
    assert [fault.fault for fault in run.trace.of(FaultApplied)] == ["rate-limit"]


def test_a_reset_is_a_reset(under, eventually):
    run, _, client = under("stream-reset(after=2, how=reset)@llm#1")
    found, end = client.ask(STREAM).rest()
    assert end == "reset"
    assert found.count(b"data: ") <= 2
    assert eventually(lambda: ended(run)) == [("cut", 2)]


def test_an_incomplete_body_is_closed_without_its_end(under):
    run, _, client = under("stream-reset(after=2)@llm#1")
    found, end = client.ask(STREAM).rest()
    assert (found.count(b"data: "), found.endswith(b"0\r\n\r\n"), end) == (2, False, "closed")
    assert ended(run) == [("cut", 2)]


def test_a_clean_early_end(under):
    run, _, client = under("stream-clean-eof(after=3)@llm#1")
    status, body = client.ask(STREAM).reply()
    assert (status, body.count(b"data: "), b"[DONE]" in body) == (200, 3, False)
    assert ended(run) == [("cut", 3)]


@pytest.mark.parametrize("schedule", ["stream-stall(after=2)@llm#1", "no-first-byte@llm#1"])
def test_silence_lasts_until_the_client_goes(under, eventually, schedule):
    run, server, client = under(schedule)
    client.ask(STREAM)
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.rest()
    assert ended(run) == []
    client.close()
    assert eventually(lambda: ended(run))[0][0] == "closed"
    assert server.requests[0].end == "closed"


def test_keep_alives_and_nothing_else(under, eventually):
    run, _, client = under("stream-keepalive-stall(after=2)@llm#1", keep_alive_s=0.01)
    client.ask(STREAM).head()
    pieces = client.pieces()
    said = [next(pieces) for _ in range(6)]
    assert said[2:] == [b": keep-alive\n\n"] * 4
    client.close()
    assert eventually(lambda: ended(run)) == [("closed", 2)]


def test_a_late_event_is_late(under):
    _, _, client = under("stream-pause(after=2, for_s=0.04)@llm#1")
    began = time.perf_counter()
    _, body = client.ask(STREAM).reply()
    assert time.perf_counter() - began >= 0.04
    assert body.count(b"data: ") == 8


def test_an_sdk_sees_its_own_class(under):
    _, server, _ = under("stream-reset(after=2)@llm#1")
    with (
        openai.OpenAI(base_url=server.openai_url, api_key="test", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        list(client.chat.completions.create(stream=True, **ASK))


def test_a_retry_is_another_attempt_of_the_same_call(under):
    run, server, client = under("rate-limit@llm#1")
    client.ask().reply()
    assert client.ask(x_stainless_retry_count="1").text() == "one two three four five"
    assert run.llm.calls == 1
    usage = server.journal.usage()["total"]
    assert (usage["calls"], usage["requests"]) == (1, 2)


def test_a_stopped_server_closes_what_is_silent(under):
    run, server, client = under("no-first-byte@llm#1")
    client.ask()
    while not server.requests:
        pass
    server.stop()
    assert client.rest() == (b"", "closed") or client.rest()[1] == "reset"
    assert ended(run) == [("closed", 0)]
