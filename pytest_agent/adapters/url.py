"""`agent_at("http://127.0.0.1:8000/run")`: an agent that is a service on this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pytest_agent.adapters.outside import LIMIT_S, Answer, answer_of, tail
from pytest_agent.errors import RunAbort, UsageError
from pytest_agent.loopback import is_loopback
from pytest_agent.outcome import AgentFailed
from pytest_agent.run import Run

MOST_REPLY = 1_000_000
THREAD = "pytest-agent-url"


def agent_at(
    url: str,
    *,
    request: Callable[[Any], Any] | None = None,
    reply: Callable[[Any], Any] | None = None,
    headers: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Service:
    """An agent that is a service: `run_agent(agent_at("http://127.0.0.1:8000/run"), "the task")`.

    The task goes there as `POST {"task": ...}`, and what comes back is the answer: text, or JSON whose `answer` is the
    text and whose `outcome`, if it has one, is taken at its word. `request` makes another body of the task (anything
    that JSON can say), and `reply` another answer of the JSON that came. A status that is not 2xx, and a connection
    that is refused or breaks, raise `AgentFailed`; no reply within `limit_s` real seconds is a hang.

    A fixture of the test's starts the service, with `llm_server.environment()`, before it is asked. The address must
    be on this machine, as the model server is: a service elsewhere could not reach that. Raises UsageError otherwise.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"agent_at({url!r}): expected a URL such as http://127.0.0.1:8000/run")
    if not is_loopback(parts.hostname):
        raise UsageError(
            f"agent_at({url!r}): {parts.hostname} is not this machine, and the model server is only here; "
            "start the service on 127.0.0.1"
        )
    if limit_s <= 0:
        raise UsageError(f"agent_at(..., limit_s={limit_s!r}): expected a number of real seconds above 0")
    return Service(url, request or _as_task, reply, dict(headers or {}), limit_s)


@dataclass(frozen=True, slots=True)
class Service:
    """What `agent_at` makes. `run_agent` calls it."""

    url: str
    request: Callable[[Any], Any]
    reply: Callable[[Any], Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = LIMIT_S

    def of_run(self, run: Run) -> Callable[..., Any]:
        """The service, asked from this run."""
        run.clock.ignore_thread(THREAD)
        return self._ask

    def _ask(self, task: Any) -> Any:
        exchange = _Exchange(self, json.dumps(self.request(task), ensure_ascii=False).encode())
        # In a thread, so that the limit holds for the whole: a socket's own is for each piece.
        thread = threading.Thread(target=exchange.run, name=THREAD, daemon=True)
        thread.start()
        try:
            thread.join(self.limit_s)
        finally:
            exchange.close()
        if exchange.error is not None:
            raise AgentFailed(f"{type(exchange.error).__name__}: {exchange.error}") from exchange.error
        if exchange.body is None:
            raise RunAbort("hung", f"{self.url} had not answered after {self.limit_s:g} real seconds")
        if len(exchange.body) > MOST_REPLY:
            raise AgentFailed(f"HTTP {exchange.status}: more than {MOST_REPLY:,} bytes")
        text = exchange.body.decode("utf-8", "replace")
        if not 200 <= exchange.status < 300:
            raise AgentFailed(f"HTTP {exchange.status}: {tail(text)}")
        return self._answer(text)

    def _answer(self, text: str) -> Any:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            if self.reply is not None:
                raise AgentFailed(f"its reply is not JSON: {tail(text)}") from error
            return Answer(text.strip(), raw=text)
        return answer_of(data, data) if self.reply is None else self.reply(data)


class _Exchange:
    """One request and its reply, over a bare socket: nothing of this may be answered by the script."""

    def __init__(self, service: Service, body: bytes) -> None:
        parts = urlsplit(service.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"content-type": "application/json", "accept": "application/json", **service.headers}
        self._sent = body
        self._closed = False
        self.status = 0
        self.body: bytes | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._connection.request("POST", self._target, self._sent, self._headers)
            reply = self._connection.getresponse()
            self.status, self.body = reply.status, reply.read(MOST_REPLY + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not self._closed:
                self.error = error

    def close(self) -> None:
        self._closed = True
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it may be over already
                sock.shutdown(socket.SHUT_RDWR)  # whoever reads from it wakes up
        self._connection.close()


def _as_task(task: Any) -> dict[str, Any]:
    return {"task": task}
