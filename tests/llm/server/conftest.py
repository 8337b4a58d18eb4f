"""A server in real time, and a client of bare sockets."""

import json
import socket

import pytest

from pytest_agent.clock import _real
from pytest_agent.faults.seams import Seams
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.server.server import LlmServer
from pytest_agent.trace import Trace

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}


class StandingClock:
    elapsed_s = 0.0


class Raw:
    """One connection, read by hand."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data)
        return self

    def ask(self, body=ASK, path="/v1/chat/completions", method="POST", **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", "content-length": str(len(raw))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return self.send(f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}\r\n".encode() + raw)

    def head(self):
        """Status and headers of the next reply; (None, {}) where the connection ended instead."""
        line = self.file.readline()
        if not line:
            return None, {}
        headers = {}
        while (more := self.file.readline().strip()) != b"":
            name, _, value = more.decode().partition(": ")
            headers[name] = value
        return int(line.split()[1]), headers

    def reply(self):
        """Status and body of the next reply."""
        status, headers = self.head()
        if "content-length" in headers:
            return status, self.file.read(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return status, b"".join(self.pieces())
        return status, self.file.read()

    def pieces(self):
        """The pieces of a chunked body, as they come."""
        while size := int(self.file.readline(), 16):
            yield self.file.read(size)
            self.file.readline()
        self.file.readline()

    def json(self):
        status, body = self.reply()
        return status, json.loads(body)

    def text(self):
        """What the model says in the next reply."""
        return self.json()[1]["choices"][0]["message"]["content"]

    def rest(self):
        """All that comes until the connection ends, and how it does: `closed` or `reset`."""
        found = b""
        try:
            while data := self.file.read1(65536):
                found += data
        except ConnectionResetError:
            return found, "reset"
        return found, "closed"

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def connect():
    """`connect(server)`: a connection to it."""
    made = []

    def connect(server):
        made.append(Raw(server.port))
        return made[-1]

    yield connect
    for raw in made:
        raw.close()


@pytest.fixture
def eventually():
    """`eventually(ask)`: what `ask` gives once that is true. What another thread does takes a moment."""

    def wait(ask):
        for _ in range(5_000):
            if found := ask():
                return found
            _real.sleep(0.002)
        raise AssertionError("it did not come")

    return wait


@pytest.fixture
def start():
    """`start(limits=...)`: a server outside any run, in real time. It must not have failed inside."""
    servers = []

    def start(**options):
        trace = Trace(StandingClock())
        servers.append(LlmServer(ScriptedModel(Seams(trace)), trace, **options).start())
        servers[-1].trace = trace
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
        server.check()
