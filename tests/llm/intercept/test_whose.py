"""Whose model answers: the one of the context, else the only one, else nobody may guess."""

import asyncio
import contextvars
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import httpx2
import pytest
import requests

from pytest_agent.errors import UnansweredCall
from pytest_agent.faults.seams import Seams
from pytest_agent.guard import NetworkGuard
from pytest_agent.llm.intercept import HttpIntercept
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.trace import Trace, Unanswered
from pytest_agent.whose import Ambiguous, Whose

URL = "https://llm.example/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


class Still:
    elapsed_s = 0.0


class World:
    """A model and a guard of their own, without a clock: a process has one time, and may have many of these."""

    def __init__(self, *turns):
        self.trace = Trace(Still())
        self.llm = ScriptedModel(Seams(self.trace))
        self.llm.says(*turns)
        self._parts = (HttpIntercept(self.llm, self.trace, lambda delay_s: None), NetworkGuard(self.trace))

    def __enter__(self):
        for part in self._parts:
            part.install()
        return self

    def __exit__(self, *exc):
        for part in reversed(self._parts):
            part.uninstall()

    @property
    def told(self):
        return [event.detail for event in self.trace.of(Unanswered)]


async def through_aiohttp(body):
    async with aiohttp.ClientSession() as http, http.post(URL, json=body) as reply:
        return await reply.json()


WAYS = {
    "httpx2": lambda body: httpx2.post(URL, json=body).json(),
    "requests": lambda body: requests.post(URL, json=body).json(),
    "aiohttp": lambda body: asyncio.run(through_aiohttp(body)),
}


def ask(n=0, way="httpx2"):
    return WAYS[way]({**BODY, "seed": n})["choices"][0]["message"]["content"]


@pytest.mark.parametrize("way", WAYS)
def test_tests_in_threads_do_not_see_each_other(way):
    both_are_on = threading.Barrier(2, timeout=30)
    heard, told = {}, {}

    def one_test(name):
        with World(*(f"{name}{n}" for n in range(20))) as world:
            both_are_on.wait()
            heard[name] = [ask(n, way) for n in range(20)]
            with pytest.raises((OSError, httpx2.ConnectError)):
                httpx2.get(f"https://shop.example/{name}")
            both_are_on.wait()
            told[name] = world.told

    threads = [threading.Thread(target=one_test, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {name: [f"{name}{n}" for n in range(20)] for name in "ab"}
    assert all(len(told[name]) == 1 and f"shop.example/{name}" in told[name][0] for name in "ab")


def in_a_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_threads_that_the_agent_starts_reach_the_only_model():
    with World("one"):
        assert in_a_thread(ask) == "one"


def both_on(*worlds):
    """Put each world in place in a context of its own, as two threads would, and give the contexts."""
    contexts = [contextvars.copy_context() for _ in worlds]
    for context, world in zip(contexts, worlds, strict=True):
        context.run(world.__enter__)
    return contexts


def test_a_thread_that_could_be_anybodys_is_refused_on_every_record():
    one, two = World("one"), World("two")
    contexts = both_on(one, two)
    try:
        with pytest.raises(UnansweredCall, match=r"2 tests are running.*copy_context"):
            in_a_thread(ask)
        with pytest.raises(OSError, match="2 tests are running"):
            in_a_thread(lambda: socket.create_connection(("192.0.2.1", 443), timeout=1))
        assert [in_a_thread(lambda context=context: context.run(ask)) for context in contexts] == ["one", "two"]
    finally:
        for context, world in zip(contexts, (one, two), strict=True):
            context.run(world.__exit__)
    assert one.told
    assert one.told == two.told


def test_tasks_carry_their_context_into_threads():
    one, two = World("one"), World("two")
    contexts = both_on(one, two)

    async def agent():
        return await asyncio.gather(asyncio.to_thread(ask))

    try:
        assert [context.run(asyncio.run, agent()) for context in contexts] == [["one"], ["two"]]
    finally:
        for context, world in zip(contexts, (one, two), strict=True):
            context.run(world.__exit__)


def test_a_context_that_outlives_its_test_belongs_to_the_only_one_that_is_on():
    with World("old"):
        kept = contextvars.copy_context()
    with World("new"):
        assert kept.run(ask) == "new"


def test_one_inside_another_stands_in_its_way_also_for_threads():
    with World("outer") as outer:
        with World("inner"):
            assert in_a_thread(ask) == "inner"
        assert in_a_thread(ask) == "outer"
    assert outer.told == []


def test_everything_is_given_back_exactly():
    def state():
        return (
            *(vars(getattr(httpx2, name)).copy() for name in ("HTTPTransport", "AsyncHTTPTransport")),
            *(vars(kind).copy() for kind in (aiohttp.BaseConnector, aiohttp.TCPConnector, aiohttp.UnixConnector)),
            vars(requests.packages.urllib3.connectionpool.HTTPConnectionPool).copy(),
            vars(requests.packages.urllib3.connectionpool.HTTPSConnectionPool).copy(),
        )

    before = state()
    with World(), World():
        assert state() != before
    assert state() == before


def test_the_rule_alone():
    whose = Whose("test")
    assert whose.current() is None
    whose.enter("a")
    assert whose.current() == "a"
    other = contextvars.Context()
    other.run(whose.enter, "b")
    assert (whose.current(), other.run(whose.current)) == ("a", "b")
    with pytest.raises(Ambiguous) as refused:
        contextvars.Context().run(whose.current)
    assert refused.value.candidates == ("a", "b")
    assert not whose.leave("a")
    assert whose.current() == "b"
    assert other.run(whose.leave, "b")
    assert whose.current() is None
