"""Whether a client waits for nothing, asked at every step that the server takes."""

import asyncio
import json
import threading

import pytest

from pytest_agent.clock import Clock, new_event_loop
from pytest_agent.errors import UsageError
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.server.answer import Answer
from pytest_agent.llm.server.engine import Engine
from pytest_agent.llm.server.selector import SeenSelector
from pytest_agent.llm.server.server import LlmServer

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**ASK, "stream": True}
ENDS = ["", "stream-reset(after=2, how=reset)@llm#1", "stream-reset(after=2)@llm#1"]


class Watch:
    """Asks as the clock does, at every call and return in the server's thread, and reads all that has come.

    Once the client has asked, it must not be at rest before it `has_it`: all of the answer, or the end.
    """

    def __init__(self):
        self.client = self.server = self.has_it = None
        self.found = b""
        self.ended = self.over = False
        self._step = threading.Lock()  # the server takes none while the watch begins or ends
        self.asked = 0
        self.wrong = []

    def __call__(self, frame, event, arg):
        del arg
        with self._step:
            if self.client is None or self.ended or self.over:
                return
            self.asked += 1
            rests = self.server.is_at_rest(self.port)
            nothing_came = not self.read()
            if rests and nothing_came and not self.has_it(self):
                self.wrong.append(f"{event} in {frame.f_code.co_qualname}:{frame.f_lineno}")

    def read(self):
        try:
            data = self.client.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.found += data
        self.ended = not data
        return True

    def begin(self, server, client, body, has_it, **ask):
        """Ask for `body`; from here on the server is watched."""
        with self._step:
            self.server, self.has_it = server, has_it
            client.ask(body, **ask)
            client.sock.setblocking(False)
            self.client = client

    def check(self, eventually):
        eventually(lambda: self.ended or (self.has_it(self) and self.server.is_at_rest(self.port)))
        with self._step:
            self.over = True
        assert self.asked > 20
        assert self.wrong == []

    @property
    def port(self):
        return self.client.sock.getsockname()[1]


@pytest.fixture
def watch():
    watch = Watch()
    threading.setprofile(watch)  # the threads that begin from here on
    yield watch
    threading.setprofile(None)


def is_answered(watch):
    """All of a reply with its length, or the last piece of one without."""
    head, _, body = watch.found.partition(b"\r\n\r\n")
    for line in head.splitlines():
        if line.startswith(b"content-length: "):
            return len(body) == int(line.partition(b": ")[2])
    return body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["plain", "streamed"])
@pytest.mark.parametrize("schedule", ENDS)
def test_a_client_is_not_at_rest_before_its_answer_has_come_or_its_end(
    run_under, connect, watch, eventually, schedule, body
):
    run = run_under(schedule)
    run.llm.says("one two three four five")
    server = LlmServer(run.llm, run.trace).start()
    watch.begin(server, connect(server), body, is_answered)
    watch.check(eventually)
    server.stop()


def test_a_client_that_asked_twice_at_once_is_not_at_rest_between_the_two(start, connect, watch, eventually):
    server = start()
    server.says("one", "two")
    client = connect(server)
    client.ask()
    watch.begin(server, client, ASK, lambda watch: watch.found.count(b'"finish_reason"') == 2)
    watch.check(eventually)


class Large:
    """Answers with more than the system takes at once; or not at all."""

    def answer(self, wire):
        if wire.path == "/nothing":
            return None
        return Answer(Reply(200, (), (Chunk(b"x" * 8_000_000),), error_code=None, meant=True))


class Served:
    """An engine of its own in a thread of its own."""

    def __init__(self):
        selector = SeenSelector()
        self._loop = asyncio.SelectorEventLoop(selector)
        self._engine = self._loop.run_until_complete(self._made(selector))
        self.port = self._loop.run_until_complete(self._engine.start("127.0.0.1", 0))
        self.is_at_rest = self._engine.is_at_rest
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _made(self, selector):
        return Engine(Large(), selector=selector)

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._engine.stop(0), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.mark.parametrize("path", ["/large", "/nothing"])
def test_a_client_is_not_at_rest_while_the_server_has_something_left_to_write_or_to_close(
    connect, watch, eventually, path
):
    server = Served()
    watch.begin(server, connect(server), ASK, is_answered, path=path)
    watch.check(eventually)
    server.stop()


@pytest.mark.parametrize("end", ["close", "keep-alive"])
def test_a_virtual_limit_is_not_reached_while_a_connection_ends(start, end):
    """The end is on its way for a moment of real time: nothing in which two virtual minutes go by."""
    server, clock = start(), Clock()
    server.says(*["one"] * 200)
    clock.ignore_thread("pytest-agent-llm-server")
    clock.know_peer(f"127.0.0.1:{server.port}", server.is_at_rest)
    raw = json.dumps(ASK)
    ask = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nconnection: {end}\r\n"
        f"content-length: {len(raw)}\r\n\r\n{raw}"
    ).encode()

    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ask)
        async with asyncio.timeout(120):
            if end == "close":
                await reader.read()
            else:
                await reader.readuntil(b"finish_reason")
        writer.close()
        await writer.wait_closed()

    async def all_of_them():
        for _ in range(200):
            await one()

    with clock.installed(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(all_of_them())
    assert clock.elapsed_s < 120


def test_who_asks_without_a_selector_is_told_what_to_give():
    async def ask():
        return Engine(Large()).is_at_rest(1)

    with pytest.raises(UsageError, match="the selector of its loop"):
        asyncio.run(ask())
