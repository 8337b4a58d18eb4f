"""The matrix of clients: every one says a text, runs a tool loop, retries and breaks off; in process and on a socket.

A module of a family has `CLIENTS`, a table of `Client`s, and tests that hand them to `check`. What a client shows is
compared with what the script said, and what it sent with what the tools gave.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_agent import Turn, Usage, call
from pytest_agent.run import Run
from pytest_agent.trace import ModelReplied, Unanswered

# These libraries would reach for the network beside the model, on import or in a thread of their own.
os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
}

NEEDED = (
    "aiohttp",
    "litellm",
    "langchain_openai",
    "langchain_anthropic",
    "pydantic_ai",
    "agents",
    "langgraph",
    "aiosqlite",
)
ABSENT = [name for name in NEEDED if importlib.util.find_spec(name) is None]
REASON = f"the clients have an environment of their own, `make clients`; this one lacks {', '.join(ABSENT)}"

TEXT = "Hello from the model, in several words."
DONE = "Both are sunny."
USAGE = Usage(21, 8)
CITIES = ("Oslo", "Lima")


class _Elsewhere(pytest.Module):
    """A module that cannot be imported here: skipped, and where nobody would read that, a failure."""

    def collect(self) -> Any:
        if os.environ.get("CI"):
            raise self.CollectError(REASON)
        pytest.skip(REASON, allow_module_level=True)


def pytest_configure(config: pytest.Config) -> None:
    """What these libraries deprecate and leave open is their own business; that they doubt a reply is not."""
    for known in (
        "ignore::DeprecationWarning",
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore:.*`ReadOnly` qualifier:UserWarning",
    ):
        config.addinivalue_line("filterwarnings", known)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """With a library missing no module of the matrix is imported."""
    return _Elsewhere.from_parent(parent, path=module_path) if ABSENT else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`client` is one of the module's table, `streamed` both, `place` in process and on a socket."""
    if "client" in metafunc.fixturenames:
        metafunc.parametrize("client", metafunc.module.CLIENTS, ids=lambda client: client.name)
    if "streamed" in metafunc.fixturenames:
        metafunc.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    if "socket" in metafunc.fixturenames:
        metafunc.parametrize("socket", [False, True], ids=["process", "socket"])


@dataclass(frozen=True)
class Place:
    """A run, and where the clients of each provider find its model."""

    run: Run
    openai: str = "https://api.openai.com/v1"
    anthropic: str = "https://api.anthropic.com"
    gemini: str = "https://generativelanguage.googleapis.com"
    environment: Mapping[str, str] = field(default_factory=dict)  # for a process of its own, on a socket

    @property
    def llm(self) -> Any:
        return self.run.llm


class Check:
    """What must hold for every client, whatever it is called."""

    def __init__(self, run_under: Callable[..., Run], *, socket: bool) -> None:
        self._run_under = run_under
        self._socket = socket

    @contextmanager
    def place(self, schedule: str = "") -> Iterator[Place]:
        """A run under these faults; where none strikes, nothing is left of its script and nothing was asked beside."""
        run = self._run_under(schedule)
        with run.inside():
            if not self._socket:
                yield Place(run)
            else:
                with run.llm_server() as server:
                    urls = (server.openai_url, server.anthropic_url, server.gemini_url)
                    yield Place(run, *urls, server.environment())
                arrived = [entry for entry in server.requests if entry.site is not None]
                assert len(arrived) == len(run.llm.requests), "not all of it went over the socket"
        assert [event.detail for event in run.trace.of(Unanswered)] == []
        if not schedule:
            run.check(None)

    def text(self, client: Any, *, streamed: bool) -> None:
        """One turn of text arrives as it was said, with its usage, in one request."""
        with self.place() as place:
            place.llm.says(Turn(TEXT, usage=USAGE))
            seen = client.ask(place, streamed)
        assert seen.text == TEXT
        if seen.usage is not None:
            assert seen.usage == (USAGE.input_tokens, USAGE.output_tokens)
        assert attempts(place) == [(1, 1, streams(client, streamed))]

    def tools(self, client: Any, *, streamed: bool, before: Mapping[str, str] = MappingProxyType({})) -> None:
        """Parallel calls arrive with their arguments, both results go back, and the answer is heard.

        `before` is what the model says in front of its calls: text, reasoning. It must not be in the way.
        """
        with self.place() as place:
            calls = tuple(call("weather", city=city) for city in CITIES)
            place.llm.says(Turn(calls=calls, **before), Turn(DONE, usage=USAGE))
            seen = client.loop(place, streamed)
        assert seen.text == DONE
        assert sorted(seen.calls, key=repr) == sorted((("weather", {"city": city}) for city in CITIES), key=repr)
        assert attempts(place) == [(n, 1, streams(client, streamed)) for n in (1, 2)]
        sent = json.dumps(place.llm.requests[1].messages)
        assert [f"{city}: sunny" in sent for city in CITIES] == [True, True]

    def retry(self, client: Any, *, streamed: bool, retry_s: float = 2.0) -> None:
        """After a 429 the client asks again, in virtual time, and that is a second attempt of the same call."""
        began = time.perf_counter()
        with self.place(f"rate-limit(retry_after_s={retry_s:g})@llm#1") as place:
            place.llm.says(Turn(TEXT))
            if streamed and getattr(client, "not_retried", None) is not None:
                with pytest.raises(client.not_retried):
                    client.ask(place, streamed)
                assert attempts(place) == [(1, 1, True)]
                return
            seen = client.ask(place, streamed)
            waited_s = place.run.clock.elapsed_s
        assert seen.text == TEXT
        assert attempts(place) == [(1, n, streams(client, streamed)) for n in (1, 2)]
        assert place.llm.calls == 1
        if not self._socket:  # there it waits in the time of its process
            assert waited_s >= client.least_wait_s
            assert time.perf_counter() - began < client.least_wait_s + 60

    def cut(self, client: Any) -> None:
        """A stream whose connection breaks is an error, in a class of the client's own."""
        with self.place("stream-reset(after=2)@llm") as place:
            place.llm.says(Turn(TEXT))
            with pytest.raises(client.broken):
                client.ask(place, True)
        assert {reply.end for reply in place.run.trace.of(ModelReplied)} == {"cut"}
        assert place.llm.calls == 1


def streams(client: Any, streamed: bool) -> bool:
    """Whether a stream goes over the wire."""
    return streamed or getattr(client, "always_streams", False)


def attempts(place: Place) -> list[tuple[int, int, bool]]:
    """The call, the attempt, and whether a stream was asked for, of every request."""
    return [(sent.call, sent.attempt, sent.stream) for sent in place.llm.requests]


@pytest.fixture
def check(run_under: Callable[..., Run], request: pytest.FixtureRequest) -> Check:
    """`check.text(client, streamed=True)`: in process, and where the test has `socket` both there and on a socket."""
    on_socket = "socket" in request.fixturenames and request.node.callspec.params["socket"]
    return Check(run_under, socket=on_socket)


@pytest.fixture
def socket_check(run_under: Callable[..., Run]) -> Check:
    """The same on a socket only."""
    return Check(run_under, socket=True)
