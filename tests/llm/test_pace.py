"""How fast turns arrive, in seconds of the virtual clock."""

import asyncio
import itertools
import statistics
import time

import anthropic
import httpx
import openai
import pytest

from pytest_agent import Pace, Turn
from pytest_agent.llm.pacing import paced
from pytest_agent.llm.reply import Chunk, Delta, Reply

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}


def first(pace, count, seed="s"):
    return list(itertools.islice(pace.delays_s(seed), count))


def test_a_fixed_pace_is_the_same_every_time():
    assert first(Pace(0.5, 0.1), 4) == [0.5, 0.1, 0.1, 0.1]
    assert first(Pace(), 2) == [0, 0]


def test_a_normal_pace_depends_on_the_seed_and_is_never_negative():
    pace = Pace(0.4, 0.02, first_deviation_s=0.1, gap_deviation_s=0.02)
    gaps = first(pace, 5001)[1:]
    assert first(pace, 50) == first(pace, 50)
    assert first(pace, 50) != first(pace, 50, "another")
    assert min(gaps) == 0
    assert statistics.mean(gaps) == pytest.approx(0.0217, rel=0.1)


def test_a_recorded_pace_begins_again_where_the_turn_is_longer():
    assert first(Pace.recorded([0.5, 0.1, 0.2]), 6) == [0.5, 0.1, 0.2, 0.1, 0.2, 0.1]
    assert first(Pace.recorded([0.5]), 3) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="no delays"):
        Pace.recorded([])


@pytest.mark.parametrize("wrong", [{"first_s": -1}, {"gap_s": float("nan")}, {"delays": (0.1, float("inf"))}])
def test_what_is_no_time_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; a pace is made of seconds, 0 or more"):
        Pace(**wrong)


def test_the_stream_of_openai_arrives_token_by_token(run_under):
    run = run_under()
    run.llm.says(Turn("one two three", pace=Pace(0.5, 0.1)))
    seen = []
    with run.inside():
        began = time.monotonic()
        with openai.OpenAI(api_key="k").chat.completions.create(stream=True, **ASK) as stream:
            seen.append(("head", time.monotonic() - began))
            pieces = (chunk.choices[0].delta.content for chunk in stream)
            seen += [(piece, time.monotonic() - began) for piece in pieces if piece]
        seen.append(("end", time.monotonic() - began))
    assert seen == [
        ("head", pytest.approx(0, abs=0.01)),
        ("one ", pytest.approx(0.5, abs=0.01)),
        ("two ", pytest.approx(0.6, abs=0.01)),
        ("three", pytest.approx(0.7, abs=0.01)),
        ("end", pytest.approx(0.7, abs=0.01)),
    ]


def test_the_stream_of_anthropic_arrives_token_by_token(run_under):
    run = run_under()
    run.llm.pace(Pace(0.5, 0.1))
    run.llm.says("one two three")

    async def agent():
        client = anthropic.AsyncAnthropic(api_key="k")
        began = time.monotonic()
        async with client.messages.stream(model="m", max_tokens=9, messages=ASK["messages"]) as stream:
            return [(text, time.monotonic() - began) async for text in stream.text_stream]

    with run.inside():
        seen = asyncio.run(agent())
    assert seen == [
        ("one ", pytest.approx(0.5, abs=0.01)),
        ("two ", pytest.approx(0.6, abs=0.01)),
        ("three", pytest.approx(0.7, abs=0.01)),
    ]


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_plain_reply_comes_whole_when_a_stream_would_have_ended(run_under, client):
    run = run_under()
    run.llm.pace(Pace(9.0))
    run.llm.says(Turn("one two three", pace=Pace(0.5, 0.1)), "at the default pace")
    with run.inside():
        for _ in range(2):
            if client == "openai":
                openai.OpenAI(api_key="k").chat.completions.create(**ASK)
            else:
                anthropic.Anthropic(api_key="k").messages.create(model="m", max_tokens=9, messages=ASK["messages"])
    assert run.clock.elapsed_s == pytest.approx(0.7 + 9.0, abs=0.05)


def test_a_client_that_will_not_wait_so_long_times_out(run_under):
    run = run_under()
    run.llm.says(Turn("slow", pace=Pace(30.0)))
    with run.inside(), pytest.raises(httpx.ReadTimeout):
        HTTP.post(URL, json=ASK, timeout=5)


def test_without_a_pace_no_time_passes(run_under):
    run = run_under()
    run.llm.says("one two three")
    with run.inside():
        HTTP.post(URL, json={**ASK, "stream": True})
    assert run.clock.elapsed_s == pytest.approx(0, abs=0.05)


def test_a_fault_that_delays_comes_on_top(run_under):
    run = run_under("first-byte-late(for_s=3)@llm")
    run.llm.says(Turn("one two", pace=Pace(0.5, 0.1)))
    with run.inside():
        HTTP.post(URL, json={**ASK, "stream": True})
    assert run.clock.elapsed_s == pytest.approx(3.6, abs=0.05)


def test_events_without_tokens_come_with_the_one_before_them():
    chunks = (
        Chunk(b"start"),
        Chunk(b"a", deltas=(Delta(text="a"),)),
        Chunk(b"", deltas=(Delta(index=0, name="look"),)),
        Chunk(b"b", delay_s=1.0, deltas=(Delta(index=0, arguments="{}"),)),
        Chunk(b"end", terminal=True),
    )
    reply = paced(Reply(200, (), chunks, streamed=True), Pace(0.5, 0.1), "s")
    assert [chunk.delay_s for chunk in reply.chunks] == [0.5, 0.0, 0.0, 1.1, 0.0]
    assert reply.head_s == 0
    whole = Reply(200, (), (Chunk(b"{}", terminal=True, deltas=(Delta(index=0, arguments="x" * 25),)),))
    assert paced(whole, Pace(0.5, 0.1), "s").head_s == pytest.approx(0.7)
    assert paced(Reply(200, (), (Chunk(b"{}"),)), Pace(0.5, 0.1), "s").head_s == 0.5
