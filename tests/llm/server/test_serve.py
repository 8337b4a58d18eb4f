"""The command `pytest-agent serve`, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from pytest_agent.cli.main import main
from pytest_agent.llm.server.serving import Serving

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def serve():
    """`serve("script.yaml", "--token", ...)`: the process, and what a connection needs to know of it."""
    made = []

    def serve(*args, **environment):
        command = [sys.executable, "-m", "pytest_agent.cli.main", "serve", "--json", *map(str, args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env={**os.environ, **environment}, **pipes)
        made.append(process)
        said = json.loads(process.stdout.readline())
        return SimpleNamespace(process=process, port=int(said["url"].rpartition(":")[2]), said=said)

    yield serve
    for process in made:
        process.kill()
        process.communicate()


def end(served, number=signal.SIGTERM):
    served.process.send_signal(number)
    out, err = served.process.communicate(timeout=30)
    return served.process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_script_it_echoes_until_it_is_told_to_stop(serve, connect, number):
    served = serve()
    client = connect(served)
    assert client.ask().text() == "hello"
    assert client.ask().text() == "hello"
    assert served.said["openai_url"] == f"http://127.0.0.1:{served.port}/v1"
    assert end(served, number) == (0, "", "")


def test_a_script_is_loaded_again_when_its_file_changes(serve, connect, tmp_path, eventually):
    script = tmp_path / "script.yaml"
    script.write_text("says: [one]")
    served = serve(script)
    client = connect(served)
    assert client.ask().text() == "one"
    status, said = client.ask({**ASK, "seed": 1}).json()
    assert status == 400
    assert "model call 2 has no turn in the script" in said["error"]["message"]

    script.write_text("says: [one, ")
    assert "the script is as before" in served.process.stderr.readline()
    script.write_text("rules: [{when: {last: hello}, says: [new]}]")
    assert "is loaded anew" in served.process.stderr.readline()
    assert client.ask().text() == "new"


def test_a_script_is_put_over_the_socket(serve, connect):
    client = connect(serve())
    assert client.ask(b"says: [one, two]", "/__/script", "PUT").json() == (200, {"status": "loaded"})
    assert client.ask().text() == "one"
    status, said = client.ask(b"sayz: [one]", "/__/script", "POST").json()
    assert (status, said["error"][:40]) == (400, "(request):1 sayz: unknown key 'sayz'. Di")
    assert client.ask({**ASK, "seed": 1}).text() == "two"
    client.ask(b"", "/__/reset", "POST").json()
    assert client.ask().text() == "one"


def test_a_stop_lets_what_is_under_way_finish(serve, connect, tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("says: [{text: one two three four, pace: {first_s: 0.05, gap_s: 0.05}}]")
    served = serve(script)
    client = connect(served).ask({**ASK, "stream": True})
    client.head()
    pieces = client.pieces()
    next(pieces)
    served.process.send_signal(signal.SIGTERM)
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    assert client.rest() == (b"", "closed")
    assert served.process.wait(timeout=30) == 0


def test_a_stop_waits_no_longer_than_it_was_told(serve, connect, tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("says: [{text: one two, pace: {gap_s: 3600}}]")
    served = serve(script, "--drain", "0.05")
    client = connect(served).ask({**ASK, "stream": True})
    client.head()
    began = time.monotonic()
    code, _, err = end(served)
    assert (code, err) == (0, "1 replies were cut off after 0.05 s\n")
    assert time.monotonic() - began < 20


def test_a_token_is_asked_for(serve, connect):
    client = connect(serve("--token", "a-token-of-some-length"))
    status, said = client.ask(authorization="Bearer wrong").json()
    assert (status, said["error"]["code"]) == (401, "invalid_api_key")
    assert client.ask(b"", "/__/usage", "GET").json()[0] == 401
    assert client.ask(b"", "/__/health", "GET").json()[0] == 200
    for header in (
        {"authorization": "Bearer a-token-of-some-length"},
        {"x_pytest_agent_token": "a-token-of-some-length"},
    ):
        assert client.ask(**header).text() == "hello"
        assert client.ask(b"", "/__/usage", "GET", **header).json()[0] == 200
    status, requests = client.ask(b"", "/__/requests", "GET", **header).json()
    assert status == 200
    assert "a-token" not in str(requests)


def test_other_machines_are_let_in_with_a_token_only(serve, connect, capsys):
    assert main(["serve", "--host", "0.0.0.0"]) == 2  # noqa: S104
    assert "is open to other machines; give --token too" in capsys.readouterr().err
    assert main(["serve", "--host", "0.0.0.0", "--token", "short"]) == 2  # noqa: S104
    assert "give 16 or more" in capsys.readouterr().err
    served = serve("--host", "0.0.0.0", PYTEST_AGENT_TOKEN="a-token-of-some-length")  # noqa: S104
    assert connect(served).ask(x_api_key="a-token-of-some-length").text() == "hello"


def test_what_is_wrong_with_the_command_is_one_line(tmp_path, capsys, start):
    assert main(["serve", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith("pytest-agent: ")
    assert main(["serve", "--port", str(start().port)]) == 2
    assert "choose another --port" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        main(["serve", "--port", "99999"])
    assert error.value.code == 2


def test_an_error_of_our_own_is_70(monkeypatch, capsys):
    monkeypatch.setattr(Serving, "__init__", lambda *args, **more: 1 / 0)
    assert main(["serve"]) == 70
    assert "an error of pytest-agent itself: ZeroDivisionError" in capsys.readouterr().err
