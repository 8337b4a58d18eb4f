"""A real server, and the run behind a test."""

import http.server
import threading

import pytest

from pytest_agent.chaos.world import run_that_is_on


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
def run(llm):
    """The run behind the fixtures of the test."""
    return run_that_is_on()
