"""The real SDKs over the socket, in this process and in another."""

import asyncio
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import aiohttp
import anthropic
import httpx2
import openai
import pytest
import requests

from pytest_agent import Turn, UnansweredCall, call
from pytest_agent.clock import _real
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.llm.pace import Pace
from pytest_agent.trace import ModelReplied

USER = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "orders_lookup", "parameters": {"type": "object"}}}]

AGENT = textwrap.dedent(
    """
    import openai
    client = openai.OpenAI(max_retries=0)
    reply = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hello"}])
    print(reply.choices[0].message.content)
    """
)


def openai_client(server, **options):
    return openai.OpenAI(base_url=server.openai_url, api_key="test", max_retries=0, **options)


def test_openai_hears_the_script_over_the_socket(llm, llm_server):
    llm.says("Hello.", call("orders.lookup", id=7))
    with openai_client(llm_server) as client:
        assert client.chat.completions.create(model="gpt-5", messages=USER).choices[0].message.content == "Hello."
        reply = client.chat.completions.create(model="gpt-5", messages=[*USER, *USER], tools=TOOLS)
    made = reply.choices[0].message.tool_calls[0].function
    assert (made.name, json.loads(made.arguments)) == ("orders_lookup", {"id": 7})
    assert [entry.n for entry in llm_server.requests] == [1, 2]


def test_openai_streams_over_the_socket(llm_server):
    llm_server.says("one two three")
    with openai_client(llm_server) as client:
        chunks = list(client.chat.completions.create(model="gpt-5", messages=USER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"


def test_anthropic_over_the_socket(llm_server):
    llm_server.says("Hello.", Turn(text="Streamed.", calls=(call("orders.lookup", id=7),)))
    with anthropic.Anthropic(base_url=llm_server.anthropic_url, api_key="test", max_retries=0) as client:
        ask = {"model": "claude-sonnet-5", "max_tokens": 100}
        assert client.messages.create(messages=USER, **ask).content[0].text == "Hello."
        with client.messages.stream(messages=[{"role": "user", "content": "again"}], **ask) as stream:
            message = stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "tool_use"]


async def test_async_clients_over_the_socket(llm_server):
    llm_server.says("Hello.", "Streamed words.")
    async with openai.AsyncOpenAI(base_url=llm_server.openai_url, api_key="test", max_retries=0) as client:
        reply = await client.chat.completions.create(model="gpt-5", messages=USER)
        stream = await client.chat.completions.create(model="gpt-5", messages=[*USER, *USER], stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert reply.choices[0].message.content == "Hello."
    assert "".join(said) == "Streamed words."


async def test_the_pause_before_a_retry_is_virtual(llm, llm_server, run, clock):
    """Between two requests nothing is under way, however many connections are kept open."""
    llm_server.says("Hello.")
    run.seams.armed = load_catalogue().arm(Schedule.parse("rate-limit@llm#1"))
    began, really = clock.elapsed_s, _real.monotonic()
    async with openai.AsyncOpenAI(base_url=llm_server.openai_url, api_key="test", max_retries=2) as client:
        reply = await client.chat.completions.create(model="gpt-5", messages=USER)
    assert reply.choices[0].message.content == "Hello."
    assert clock.elapsed_s - began > 0.9
    assert _real.monotonic() - really < 0.9
    assert clock.waits == []


async def test_a_client_does_not_time_out_early_while_the_server_works(llm_server, clock):
    """Its limit is virtual, and the answer comes in real time."""
    llm_server.says(*(Turn(text=f"{n}", pace=Pace(first_s=0.02)) for n in range(10)))
    async with openai.AsyncOpenAI(base_url=llm_server.openai_url, api_key="test", timeout=5, max_retries=0) as client:
        for n in range(10):
            asked = [{"role": "user", "content": str(n)}]
            reply = await client.chat.completions.create(model="gpt-5", messages=asked)
            assert reply.choices[0].message.content == str(n)
    assert clock.elapsed_s < 5


def test_a_bare_http_client_over_the_socket(llm_server):
    llm_server.says("Hello.")
    with httpx2.Client() as client:
        reply = client.post(f"{llm_server.openai_url}/chat/completions", json={"model": "gpt-5", "messages": USER})
    assert reply.json()["choices"][0]["message"]["content"] == "Hello."


def by_requests(url):
    return requests.post(url, json={"model": "gpt-5", "messages": USER}, timeout=60).json()


def by_aiohttp(url):
    async def ask():
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"model": "gpt-5", "messages": USER}) as reply,
        ):
            return await reply.json()

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [by_requests, by_aiohttp])
def test_other_libraries_go_to_the_socket_too(llm, llm_server, ask):
    llm.says("Hello.")
    assert ask(f"{llm_server.openai_url}/chat/completions")["choices"][0]["message"]["content"] == "Hello."
    assert len(llm_server.requests) == len(llm.requests) == 1


def run_agent(server, code=AGENT, **environment):
    environment = {"PATH": "", **server.environment(), **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip(), done.stderr


def test_an_agent_in_another_process_hears_the_script(llm, llm_server):
    llm.says("Hello from afar.")
    assert run_agent(llm_server)[0] == "Hello from afar."
    assert llm.calls == 1


async def test_an_agent_in_another_process_under_the_loop(llm, llm_server):
    llm.says("Hello from afar.")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, env={"PATH": "", **llm_server.environment()}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "Hello from afar."


def test_what_the_script_lacks_fails_the_test_of_an_agent_elsewhere(run, llm, llm_server):
    llm.says("Only this.")
    assert run_agent(llm_server)[0] == "Only this."
    out, err = run_agent(llm_server, AGENT.replace("hello", "and then?"))
    assert out == ""
    assert "openai.BadRequestError" in err
    assert "model call 2 has no turn in the script" in err
    with pytest.raises(UnansweredCall, match="and then"):
        run.check(None)
    run.trace.events[:] = [event for event in run.trace.events if event.kind != "unanswered"]


def test_turns_that_nobody_asked_for_fail_the_test(project):
    (project.path / "test_it.py").write_text("def test_it(llm_server):\n    llm_server.says('Hello.')\n")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 turn(s) and the agent asked for 0; never asked for: 'Hello.'*"])


def test_a_real_client_waits_for_real_time(llm_server, run):
    llm_server.says(Turn(text="one two", pace=Pace(first_s=0.02, gap_s=0.02)))
    with openai_client(llm_server) as client:
        chunks = list(client.chat.completions.create(model="gpt-5", messages=USER, stream=True))
    assert len(chunks) == 4
    assert [reply.end for reply in run.trace.of(ModelReplied)] == ["complete"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_sessions_with_workers_share_nothing(project, workers):
    (project.path / "test_it.py").write_text(Path(__file__).with_name("inner_suite.txt").read_text())
    result = project.runpytest_subprocess("-n", workers, "-p", "xdist")
    result.assert_outcomes(passed=6)
