"""The command in this process, a scripted model on a socket of this machine, and a shop whose till is a file."""

import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentfsm.cli.main import main

SHOP = """
import json, pathlib

TILL = pathlib.Path(__file__).with_name("till.json")

def look_up(order):
    return {"order": order, "amount": 20, "currency": "EUR", "refundable": True}

def pay_back(order, amount, idempotency_key):
    paid = json.loads(TILL.read_text()) if TILL.exists() else {}
    paid[idempotency_key] = amount
    TILL.write_text(json.dumps(paid))
    return {"refund_id": "R-" + idempotency_key}

tools = {"orders.lookup": look_up, "payments.refund": pay_back}
"""


class Provider:
    """Answers chat completions by how often the model has spoken in the conversation so far."""

    def __init__(self):
        self.turns, self.requests, provider = [], [], self
        self.refuses = set()
        self.holds, self.asked, self.go_on = False, threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                provider.requests.append((dict(self.headers), request))
                provider.asked.set()
                if provider.holds:
                    provider.go_on.wait(60)
                    return
                turn = provider.turns[sum(m["role"] == "assistant" for m in request["messages"])]
                if request["model"] in provider.refuses:
                    turn = {"status": 404, "error": {"code": "model_not_found", "message": "no such model"}}
                body = json.dumps(turn if isinstance(turn, dict) else {"choices": turn}).encode()
                self.send_response(turn.get("status", 200) if isinstance(turn, dict) else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def says(self, *turns):
        """A text, or `(tool, arguments)`, or a whole body."""
        self.turns = [turn if isinstance(turn, dict) else [_choice(turn)] for turn in turns]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _choice(turn):
    if isinstance(turn, str):
        return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": turn}}
    name, arguments = turn
    function = {"name": name.replace(".", "_"), "arguments": json.dumps(arguments)}
    call = {"id": f"call-{name}", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"index": 0, "finish_reason": "tool_calls", "message": message}


class Ran:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def error(self):
        return json.loads(self.err)["error"]


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the command runs: no environments of its own, no variables but those a test sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("AGENTFSM_ENV", "AGENTFSM_STORE", "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def agentfsm(folder):
    """Runs the command and gives its exit code and what it printed."""

    def run(*argv):
        out, err = io.StringIO(), io.StringIO()
        return Ran(main([str(part) for part in argv], out, err), out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def shop(folder, provider, monkeypatch):
    """The refund agent with tools and a model that answers; gives what the till paid out."""
    (folder / "shop.py").write_text(SHOP)
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    provider.says(
        ("orders.lookup", {"order": 7}), ("payments.refund", {"order": 7, "amount": 20}), "Order 7 is refunded."
    )
    till = folder / "till.json"
    return lambda: json.loads(till.read_text()) if till.exists() else {}
