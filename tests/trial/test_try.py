"""`pytest-agent try module:agent "a task"`: what breaks an agent for which there is no test."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

STURDY = Path(__file__).with_name("sturdy.py")

NAIVE = """
REFUND = tool("refund", order={"type": "integer"}, amount={"type": "integer"})

def agent(task, tools):
    return loop(task, [REFUND], lambda name, arguments: tools[name](**arguments))
"""

ASYNC = """
import asyncio

LOOKUP, REFUND = tool("lookup", order={"type": "integer"}), tool("refund", order={"type": "integer"})

async def awaits(task, tools):
    used = []
    for name in ("lookup", "refund"):
        chat([{"role": "user", "content": task}], [LOOKUP, REFUND])
        async with asyncio.timeout(5):
            used.append(await asyncio.create_task(tools[name](order=7)))
    return json.dumps(used)

async def calls(task, tools):
    chat([{"role": "user", "content": task}], [LOOKUP, REFUND])
    assert tools.refund(7)["status"] == "ok"
    assert "tool_of_nobody" in tools or len(tools) == 2
    return "Done."
"""


def shown(printed):
    """Each way in which it broke: its invariants, the fewest faults, and the line that replays it."""
    ways = printed.split("\nBROKEN ")[1:]
    return {
        re.search(r"fewest faults: (.+)", way)[1]: (
            re.findall(r"^  (I\d+) ", way, re.MULTILINE),
            re.search(r"^  replay: (.+)$", way, re.MULTILINE)[1],
        )
        for way in ways
    }


def test_a_naive_agent_breaks_and_its_line_replays_that_in_a_fresh_process(folder, command):
    folder("shop", NAIVE)
    found = command(["try", "shop:agent", "Refund order 7, it's urgent", "--faults", "tool.*"])
    assert (found.code, found.err) == (1, "")
    ways = shown(found.out)
    ids, line = ways["reply-lost at tool:refund#1"]
    assert ids[0] == "I1"
    assert "refund(amount=" in found.out
    assert "stand-ins for its tools, by their names: refund changes the world" in found.out
    assert re.search(r"^shop:agent: broke in \d+ of \d+ runs", found.out, re.MULTILINE)
    words = shlex.split(line)
    assert words[:5] == ["pytest-agent", "try", "shop:agent", "Refund order 7, it's urgent", "--replay"]
    assert json.loads(Path(".pytest_agent/results.json").read_text())["tests"][0]["failures"][0]["replay"] in found.out

    again = command(words[1:])
    assert again.code == 1
    assert shown(again.out)["reply-lost at tool:refund#1"] == (ids, line)
    ledger = [text.strip() for text in found.out.splitlines() if text.strip().startswith("ledger 2: refund")]
    assert ledger
    assert ledger[0] in again.out
    assert sorted(path.name for path in Path.cwd().iterdir()) == [".pytest_agent", "shop.py"]


def test_a_sturdy_agent_holds_under_the_whole_catalogue(folder, tried):
    Path("sturdy.py").write_text(STURDY.read_text())
    found = tried("sturdy:agent", "Refund order 7")
    assert (found.code, found.err) == (0, "")
    assert re.search(r"^sturdy:agent: held in all 1\d\d runs", found.out, re.MULTILINE)
    assert "orders_lookup reads, payments_refund changes the world" in found.out
    assert "FAILED" not in found.out


def test_the_seed_decides_and_is_in_the_line(folder, tried):
    folder("seeded", NAIVE)
    one, same, other = (tried("seeded:agent", "go", "--faults", "reply-lost", "--seed", seed) for seed in "770")
    assert one.out == same.out != other.out
    assert shown(one.out)["reply-lost at tool:refund#1"][1].endswith(" --seed 7")


def test_a_project_around_it_has_no_say(folder, tried, monkeypatch):
    folder("around", NAIVE)
    Path("pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    Path("conftest.py").write_text("raise RuntimeError('loaded')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option-either")
    assert tried("around:agent", "go", "--faults", "rate-limit").code == 0


def test_an_async_agent_may_await_its_tools_or_not(folder, tried):
    folder("asynchronous", ASYNC)
    found = tried("asynchronous:awaits", "go", "--faults", "tool-*")
    assert found.code == 1  # it does not look at what a tool says
    assert "hung" not in found.out  # but its limit holds
    assert "lookup reads, refund changes the world" in found.out
    found = tried("asynchronous:calls", "go", "--faults", "tool-hangs")
    assert "hung: tool:refund#1: the tool never answers" in found.out


def test_an_agent_with_tools_of_its_own_is_told_that_they_run_for_real(folder, tried):
    folder(
        "own",
        """
RAN = []

def agent(task):
    return loop(task, [tool("note", text={"type": "string"})], lambda name, given: RAN.append(given))
""",
    )
    found = tried("own:agent", "go", "--faults", "rate-limit")
    assert found.code == 0
    assert found.out.startswith("own:agent takes no tools: its own run for real, many times, with arguments made from")
    assert "stand-ins" not in found.out


def test_an_agent_without_tools_is_searched_too(folder, tried):
    folder("plain", "\nasync def agent(task, tools=None):\n    return loop(task, [], None)\n")
    found = tried("plain:agent", "go", "--faults", "content-filter", "--faults", "empty-completion")
    assert found.code in (0, 1)
    assert "empty-completion" in found.out


def test_an_agent_that_never_asks_a_model_has_nothing_to_strike(folder, tried):
    folder("silent", "\ndef agent(task, tools):\n    return task\n")
    found = tried("silent:agent", "go")
    assert found.code == 4
    assert found.err.startswith(
        "silent:agent never asked a model over HTTP and used no tool: there is nothing to strike."
    )


def test_an_agent_that_fails_by_itself_is_shown_with_its_own_traceback(folder, tried):
    folder("fails", "\ndef agent(task, tools):\n    print('before')\n    return {}['price']\n")
    found = tried("fails:agent", "go")
    assert found.code == 1
    assert "fails.py:" in found.out
    assert "KeyError: 'price'" in found.out
    assert "before" in found.out


def test_the_network_is_refused_as_in_a_test(folder, tried):
    folder(
        "curious",
        """
import httpx

def agent(task):
    try:
        httpx.get("https://prices.example/today")
    except Exception:
        pass
    return loop(task, [], None)
""",
    )
    found = tried("curious:agent", "go", "--faults", "rate-limit")
    assert found.code == 1
    assert "GET https://prices.example/today (httpx): no respx route, script or loopback server answers it" in found.out


def test_an_agent_that_does_not_stop_is_ended_soon(folder, tried):
    folder("endless", "\ndef agent(task):\n    while True:\n        loop(task, [], None)\n")
    found = tried("endless:agent", "go", "--faults", "rate-limit")
    assert found.code == 1
    assert "the agent made 101 model calls and does not stop" in found.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bad"], "'bad': expected module:agent, such as app:agent for the function `agent` of app.py"),
        (["sohp:agent"], "there is no module 'sohp' here. Did you mean 'shop'?"),
        (["shop.parts:agent"], "there is no module 'shop.parts' here."),
        (["shop:agnet"], "shop has no 'agnet'. Did you mean 'agent'?"),
        (["shop:REFUND"], "shop:REFUND is dict, which cannot be called; write a function for it, agent(task) or"),
        (["shop:OpenAI"], "shop:OpenAI is a class; give a function that makes one and runs it, agent(task) or"),
        (["shop:loop"], "shop:loop(task, tools, run) cannot be called with a task; expected agent(task) or"),
        (["shop:none"], "shop:none() cannot be called with a task"),
        (["needs:agent"], "needs cannot be imported: No module named 'no_such_package'; install what it needs"),
        (["breaks:agent"], "breaks cannot be imported: ZeroDivisionError: division by zero ("),
        (["leaves:agent"], "leaves cannot be imported: SystemExit: 3 ("),
        (["shop:agent", "--faults", "reply-lots"], "--faults: "),
        (["shop:agent", "--replay", "reply-lost"], "see above"),
        (["shop:agent", "--replay", "reply-lots@tool:refund#1"], "see above"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(folder, tried, words, said):
    folder("shop", NAIVE + "\ndef none():\n    pass\n")
    folder("needs", "import no_such_package\n")
    folder("breaks", "1 / 0\n")
    folder("leaves", "raise SystemExit(3)\n")
    name, *options = words
    found = tried(name, "go", *options)
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err + found.out
    if "see above" in said:
        assert "--chaos-replay" in found.err


@pytest.mark.parametrize("options", [["--time", "0"], ["--runs", "few"], ["--level", "nightly"], ["--seed", "x"]])
def test_options_that_are_none(tried, options):
    with pytest.raises(SystemExit) as error:
        tried("shop:agent", "go", *options)
    assert error.value.code == 2


def test_an_empty_task_is_no_task(tried):
    assert "the task is empty" in tried("shop:agent", " ").err


def test_an_error_of_our_own_is_70(folder, tried, monkeypatch):
    folder("shop", NAIVE)
    monkeypatch.setattr("pytest_agent.trial.session.Trial.of", lambda *args: 1 / 0)
    found = tried("shop:agent", "go")
    assert found.code == 70
    assert "ZeroDivisionError" in found.out


def test_any_process_can_have_the_same_session_again(folder, tried, monkeypatch):
    folder("again", NAIVE)
    found = tried("again:agent", "go", "--faults", "reply-lost")
    wish = {"agent": "again:agent", "task": "go", "faults": ["reply-lost"], "seed": 0}
    environment = {**os.environ, "PYTEST_AGENT_TRY": json.dumps(wish), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugins = [word for name in ("pytest_agent.plugin", "pytest_agent.trial.plugin") for word in ("-p", name)]
    words = ["again:agent", *plugins, "-c", os.devnull, "--rootdir=.", "--noconftest", "-p", "no:cacheprovider"]
    replay = ["--chaos-replay", "reply-lost@tool:refund#1"]
    command = [sys.executable, "-m", "pytest", *words, *replay]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert shown(done.stdout) == shown(found.out)


def test_the_plugin_by_itself_is_no_plugin(folder, tried, pytester):
    result = pytester.runpytest_subprocess("-p", "pytest_agent.trial.plugin")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*this plugin belongs to the command `pytest-agent try`; use that*"])
