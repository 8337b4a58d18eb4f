"""A run under a schedule, without the plugin around it."""

import http.server
import threading

import pytest

from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.run import Run


@pytest.fixture
def run_under(tmp_path):
    """`run_under("reply-lost@tool:refund#1")`: a Run; `with run.inside(): ...`."""

    def make(text=""):
        schedule = Schedule.parse(text) if text else Schedule()
        return Run(
            "test",
            schedule=schedule,
            armed=load_catalogue().arm(schedule),
            seed=0,
            trace_file=None,
            ledger=tmp_path / "ledger.jsonl",
        )

    return make


@pytest.fixture(scope="module")
def server():
    """A real server on this machine; it answers everything with the word `real`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"real")

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, name="real-server")
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.fixture
def run(request):
    """The run behind the fixtures of the test."""
    return request.getfixturevalue("_agent_run")
