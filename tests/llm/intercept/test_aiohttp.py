"""aiohttp, and the `openai` SDK over it: its own client, its own exceptions, virtual time."""

import asyncio

import aiohttp
import openai
import pytest

from pytest_agent.trace import ModelReplied, ModelRequested, Unanswered

URL = "https://llm.example/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
STREAM = {**BODY, "stream": True}
LIMITS = aiohttp.ClientTimeout(total=None, sock_read=30)


def asked(run, work, **session):
    """Run `work(session)` in the world of a run, under a client of its own."""

    async def main():
        async with aiohttp.ClientSession(**{"timeout": LIMITS, **session}) as http:
            return await work(http)

    with run.inside():
        run.llm.says("one two three four", "five")
        return asyncio.run(main())


async def read(http):
    async with http.post(URL, json=STREAM) as reply:
        return (await reply.read()).decode()


async def test_a_plain_reply_is_a_response_of_the_library(llm):
    llm.says("Hi.")
    async with aiohttp.ClientSession() as http, http.post(URL, json=BODY) as reply:
        assert type(reply) is aiohttp.ClientResponse
        assert (await reply.json())["choices"][0]["message"]["content"] == "Hi."
        assert (reply.status, reply.reason, reply.version) == (200, "OK", aiohttp.HttpVersion11)
        assert reply.headers["content-type"] == "application/json"
        assert str(reply.url) == URL


async def test_pieces_arrive_one_by_one(llm):
    llm.says("Hi.")
    async with aiohttp.ClientSession() as http, http.post(URL, json=STREAM) as reply:
        pieces = [piece async for piece in reply.content.iter_any()]
    assert len(pieces) > 2
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    assert pieces[-1] == b"data: [DONE]\n\n"


def test_a_delay_passes_on_the_virtual_clock(run_under):
    run = run_under("stream-pause(after=2,for_s=20)@llm")
    assert "[DONE]" in asked(run, read)
    assert run.clock.elapsed_s == pytest.approx(20)


async def test_raise_for_status_and_a_body_in_pieces(llm):
    llm.says("Hi.")

    async def body():
        yield b'{"model": "m", "messages": ['
        yield b'{"role": "user", "content": "x"}]}'

    async with aiohttp.ClientSession(raise_for_status=True) as http:
        with pytest.raises(aiohttp.ClientResponseError) as refused:
            await http.post(URL, json={"model": "m", "messages": []})
        async with http.post(URL, data=body()) as reply:
            assert (await reply.json())["choices"][0]["message"]["content"] == "Hi."
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("stream-reset(after=2,how=reset)@llm", aiohttp.ClientPayloadError, "reset by peer"),
        ("stream-reset(after=0,how=reset)@llm", aiohttp.ClientPayloadError, "reset by peer"),
        ("stream-reset(after=2)@llm", aiohttp.ClientPayloadError, "not completed"),
        ("stream-stall(after=2)@llm", aiohttp.SocketTimeoutError, "reading data from socket"),
        ("no-first-byte@llm", aiohttp.ServerTimeoutError, "reading data from socket"),
    ],
)
def test_every_end_is_the_librarys_own_error(run_under, fault, error, words):
    run = run_under(fault)
    with pytest.raises(error, match=words):
        asked(run, read)
    (told,) = run.trace.of(ModelReplied)
    timed_out = issubclass(error, TimeoutError)
    assert told.end == ("timeout" if timed_out else "cut")
    assert run.clock.elapsed_s == pytest.approx(30 if timed_out else 0)


@pytest.mark.parametrize("harmless", ["", "stream-bytewise@llm", "first-byte-late@llm"])
def test_the_harmless_twins_are_read_to_the_end(run_under, harmless):
    run = run_under(harmless)
    text = asked(run, read)
    assert "four" in text
    assert text.endswith("data: [DONE]\n\n")
    assert [told.end for told in run.trace.of(ModelReplied)] == ["complete"]


@pytest.mark.parametrize("fault", ["stream-stall(after=2)@llm", "no-first-byte@llm"])
def test_the_total_time_is_the_sessions_own(run_under, fault):
    run = run_under(fault)
    with pytest.raises(asyncio.TimeoutError):
        asked(run, read, timeout=aiohttp.ClientTimeout(total=50))
    assert run.clock.elapsed_s == pytest.approx(50)


def test_a_reader_that_leaves_early_is_on_record(run_under):
    async def first_line(http):
        async with http.post(URL, json=STREAM) as reply:
            return await reply.content.readline()

    run = run_under()
    assert asked(run, first_line).startswith(b"data: ")
    (told,) = run.trace.of(ModelReplied)
    assert told.end == "closed"
    assert told.delivered <= 2


def test_a_connector_with_one_connection_takes_one_call_after_the_other(run_under):
    """Each takes three seconds until its first byte; the limit of the connector puts them in line."""

    async def main():
        connector = aiohttp.TCPConnector(limit=1)
        ends = []
        async with aiohttp.ClientSession(connector=connector) as http:

            async def one(n):
                async with http.post(URL, json={**STREAM, "seed": n}) as reply:
                    await reply.read()
                ends.append(round(run.clock.elapsed_s, 3))

            await asyncio.gather(*map(one, range(5)))
        return ends

    run = run_under("; ".join(f"first-byte-late@llm#{n}" for n in range(1, 6)))
    with run.inside():
        run.llm.says(*"abcde")
        assert asyncio.run(main()) == [3, 6, 9, 12, 15]


async def test_no_proxy_is_contacted(llm, run):
    llm.says("Hi.")
    async with (
        aiohttp.ClientSession() as http,
        http.post(URL, json=BODY, proxy="http://proxy.example:3128", ssl=False) as reply,
    ):
        assert reply.status == 200
    assert not list(run.trace.of(Unanswered))


async def test_loopback_goes_through_and_its_connection_is_not_used_for_the_model(llm, server):
    async with aiohttp.ClientSession() as http:
        async with http.get(server) as reply:
            assert await reply.read() == b"real"
        async with http.post(f"{server}/v1/chat/completions", json=BODY) as reply:
            assert await reply.read() == b"real"
        llm.says("scripted")
        async with http.post(f"{server}/v1/chat/completions", json=BODY) as reply:
            assert (await reply.json())["choices"][0]["message"]["content"] == "scripted"
        async with http.get(server) as reply:
            assert await reply.read() == b"real"


def test_what_nothing_answers_is_refused_and_recorded_without_its_key(run_under):
    async def get(http):
        await http.get("https://user:pw@api.example/x?key=canary")

    run = run_under()
    with pytest.raises(aiohttp.ClientConnectorError, match="no script or loopback server") as refused:
        asked(run, get)
    assert isinstance(refused.value, OSError)
    (told,) = run.trace.of(Unanswered)
    assert "GET https://api.example/x (aiohttp)" in told.detail
    assert "canary" not in told.detail
    assert "pw" not in told.detail


def test_a_call_too_many_is_the_tests_failure(run_under):
    async def thrice(http):
        for n in range(3):
            async with http.post(URL, json={**BODY, "seed": n}):
                pass

    run = run_under()
    with pytest.raises(AssertionError, match="model call 3 has no turn in the script"):
        asked(run, thrice)


async def test_the_openai_sdk_over_aiohttp(llm, run):
    llm.says("one two", "three")
    async with openai.AsyncOpenAI(api_key="test", http_client=openai.DefaultAioHttpClient()) as client:
        stream = await client.chat.completions.create(**STREAM)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two"
        reply = await client.chat.completions.create(**BODY)
        assert reply.choices[0].message.content == "three"
    assert [request.stream for request in run.trace.of(ModelRequested)] == [True, False]


def test_the_openai_sdk_over_aiohttp_tries_again_when_told_to(run_under):
    async def main():
        async with openai.AsyncOpenAI(api_key="test", http_client=openai.DefaultAioHttpClient()) as client:
            return (await client.chat.completions.create(**BODY)).choices[0].message.content

    run = run_under("rate-limit@llm")
    with run.inside():
        run.llm.says("after a pause")
        assert asyncio.run(main()) == "after a pause"
    assert [told.status for told in run.trace.of(ModelReplied)] == [429, 200]
