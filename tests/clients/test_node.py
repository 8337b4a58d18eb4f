"""The Node packages of OpenAI and Anthropic, in a process of their own, on the socket."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

NODE = Path(__file__).with_name("node")
WHY = (
    "node is not installed"
    if shutil.which("node") is None
    else ""
    if (NODE / "node_modules").is_dir()
    else f"its packages are not installed: npm ci --prefix {NODE.relative_to(Path.cwd())}"
)


@pytest.fixture(autouse=True)
def _installed():
    if WHY:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(WHY)


class Broken(Exception):
    """What a script of ours reports of the package's own error."""


class Client:
    broken = Broken

    def __init__(self, script, wire):
        self.name, self.script, self.wire = f"{script}-{wire}", script, wire

    def ask(self, place, streamed):
        mode = "streamed" if streamed else "plain"
        done = subprocess.run(
            ["node", NODE / f"{self.script}.mjs", self.wire, mode],
            env={"PATH": os.environ["PATH"], **place.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(done.stdout)
        if "error" in said:
            raise Broken(said)
        calls = [(name, arguments) for name, arguments in said["calls"]]
        return SimpleNamespace(text=said["text"], calls=calls, usage=tuple(said["usage"]))

    loop = ask


CLIENTS = [Client("openai", "chat"), Client("openai", "responses"), Client("anthropic", "messages")]


def test_text(socket_check, client, streamed):
    socket_check.text(client, streamed=streamed)


def test_parallel_tool_calls(socket_check, client, streamed):
    socket_check.tools(client, streamed=streamed)


def test_calls_after_words_and_reasoning(socket_check, client, streamed):
    socket_check.tools(client, streamed=streamed, before={"text": "I look.", "reasoning": "Two cities: two calls."})


def test_a_429_is_asked_again(socket_check, client, streamed):
    socket_check.retry(client, streamed=streamed, retry_s=0.05)


def test_a_stream_that_breaks(socket_check, client):
    socket_check.cut(client)
