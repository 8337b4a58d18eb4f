"""A command line is killed for real wherever it can die, and started again; its tools are the test's."""

import asyncio
import json
import signal
import sys
import threading
import urllib.error
import urllib.request

import pytest

from pytest_agent import call
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.command_deaths import CommandFailed, MortalCommand
from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.sites import list_sites
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.stores.disk import Disk
from pytest_agent.trace import AgentStarted, Died, FaultApplied, StoreCommitted

# No SDK: a process of it starts in a moment. It is to be as an agent in any language.
AGENT = """
import json, os, sqlite3, sys, urllib.request

def post(path, data, **headers):
    request = urllib.request.Request(os.environ["PYTEST_AGENT_URL"] + path, json.dumps(data).encode(), headers)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)

db = sqlite3.connect(os.path.join(os.environ["PYTEST_AGENT_FOLDER"], "agent.db"))
db.execute("CREATE TABLE IF NOT EXISTS message (text)")
messages = [json.loads(text) for (text,) in db.execute("SELECT text FROM message ORDER BY rowid")]
messages = messages or [{"role": "user", "content": sys.argv[-1]}]
while messages[-1]["role"] != "assistant" or messages[-1].get("tool_calls"):
    with db:
        db.execute("DELETE FROM message")
        db.executemany("INSERT INTO message VALUES (?)", [(json.dumps(m),) for m in messages])
    if messages[-1]["role"] == "assistant":
        asked = messages[-1]["tool_calls"][0]
        key = {"Idempotency-Key": asked["id"]} if "--key" in sys.argv else {}
        paid = post("/__/tools/refund", json.loads(asked["function"]["arguments"]), **key)
        messages.append({"role": "tool", "tool_call_id": asked["id"], "content": json.dumps(paid)})
    else:
        reply = post("/v1/chat/completions", {"model": "m", "messages": messages})["choices"][0]["message"]
        messages.append({key: value for key, value in reply.items() if value is not None})
print(messages[-1]["content"])
"""


@pytest.fixture
def live(run_under, tmp_path):
    """`live(schedule, "--key")`: the run in which the command has come to its end, and what it said."""
    program = tmp_path / "agent.py"
    program.write_text(AGENT)

    def live(schedule="", *options, **more):
        run = run_under(schedule)

        @run.sandbox.tool("refund", effect=True, idempotent=True)
        def refund(order: int, amount: int):
            return {"refunded": amount}

        run.llm.says(call("refund", order=7, amount=20), "Refunded.")
        folder = run.sandbox.folder / "agent"
        with run.inside(), run.llm_server() as server:
            agent = MortalCommand([sys.executable, str(program), *options], server, folder, **more)
            said = asyncio.run(AgentRunner(run.seams)(agent, "refund order 7"))
            server.check()
        run.sandbox.finish()
        return run, said

    return live


def test_it_pays_once_wherever_it_is_killed(live):
    clean, said = live("", "--key")
    assert (said, len(clean.sandbox.ledger)) == ("Refunded.", 1)
    deaths = [fault for fault in load_catalogue().select("orchestration.crash-*") if not fault.is_control]
    schedules = [str(schedule) for schedule in single_faults(deaths, list_sites(clean.trace.events))]
    assert len(schedules) > 10
    for schedule in schedules:
        if ("store" in schedule and "#3" not in schedule) or "llm#2" in schedule:
            continue  # every process takes its time to start
        run, said = live(schedule, "--key")
        assert (said, len(run.sandbox.ledger)) == ("Refunded.", 1), schedule
        assert [event.life for event in run.trace.of(AgentStarted)] == [1, 2]
        assert len(list(run.trace.of(Died))) == 1


@pytest.mark.parametrize("schedule", ["crash-after-effect@process@tool:refund", "crash-asking-model@process@llm#2"])
def test_without_a_key_it_pays_twice_where_it_dies_after_the_effect_only(live, schedule):
    run, said = live(schedule)
    assert said == "Refunded."
    assert len(run.sandbox.ledger) == (2 if "effect" in schedule else 1)


def test_a_torn_write_is_what_the_next_process_finds(live):
    run, said = live("torn-last-write@process@store:commit#3.after", "--key")
    assert (said, len(run.sandbox.ledger)) == ("Refunded.", 1)
    assert len(list(run.trace.of(FaultApplied))) == 1


NOTES = """
import os
folder = os.environ["PYTEST_AGENT_FOLDER"]
for name in ("flushed", "not"):
    if not os.path.exists(f"{folder}/{name}"):
        with open(f"{folder}/{name}.new", "w") as file:
            file.write(name)
            file.flush()
            if name == "flushed":
                os.fsync(file.fileno())
        os.replace(f"{folder}/{name}.new", f"{folder}/{name}")
        print("wrote", name)
"""


def test_a_loss_of_power_takes_what_the_command_has_not_flushed(run_under):
    run = run_under("fsync-lost@process@store:commit#4.after")
    with run.inside(), run.llm_server() as server:
        agent = MortalCommand([sys.executable, "-c", NOTES], server, run.sandbox.folder / "agent")
        said = asyncio.run(AgentRunner(run.seams)(agent))
        server.check()
    run.sandbox.finish()
    assert said == "wrote not"  # in its second life; the other file was there


def test_the_next_life_begins_when_it_is_known_what_the_last_one_left(run_under, monkeypatch):
    done = []
    came_back = threading.Event()
    die, come_back = Disk.die, Disk.come_back

    def slowly(disk, left):
        came_back.wait(0.2)  # as long as a loaded machine may take
        die(disk, left)
        done.append("died")

    def told(disk):
        come_back(disk)
        done.append("came back")
        if len(done) > 1:
            came_back.set()

    monkeypatch.setattr(Disk, "die", slowly)
    monkeypatch.setattr(Disk, "come_back", told)
    run = run_under("crash-around-commit@process@store:commit#2.after")
    # In real time: the clock of the run is not installed.
    with run.llm_server() as server:
        agent = MortalCommand([sys.executable, "-c", NOTES], server, run.sandbox.folder / "agent")
        asyncio.run(AgentRunner(run.seams)(agent))
    run.sandbox.finish()
    assert done == ["came back", "died", "came back"]


def test_a_store_that_fails_ends_it_as_it_would(live):
    with pytest.raises(CommandFailed, match="database or disk is full") as caught:
        live("disk-full@store:commit#2.before", "--key")
    assert caught.value.code == 1


def test_without_its_commits_only_model_and_tools_are_sites(live):
    run, _ = live("", "--key", commits=False)
    assert not list(run.trace.of(StoreCommitted))
    assert {seen.site.seam for seen in list_sites(run.trace.events) if seen.site.process} == {"tool", "llm"}


def test_one_that_never_ends_is_ended(run_under):
    run = run_under()
    with run.inside(), run.llm_server() as server:
        command = [sys.executable, "-c", "while True: pass"]
        agent = MortalCommand(command, server, run.sandbox.folder / "agent", limit_s=0.5, commits=False)
        with pytest.raises(CommandFailed, match=r"did not end in 0\.5 s") as caught:
            asyncio.run(AgentRunner(run.seams)(agent))
    assert caught.value.code == -signal.SIGKILL
    run.sandbox.finish()


def test_what_is_no_call_of_a_tool_is_refused(run_under):
    run = run_under()

    @run.sandbox.tool("look")
    def look(order: int):
        if order == 8:
            raise ValueError("no such order")
        return {"order": order}

    @run.sandbox.tool("slow")
    async def slow(order: int): ...

    def post(path, body):
        try:
            with urllib.request.urlopen(f"{server.url}/__/{path}", body, timeout=10) as reply:  # noqa: S310 - loopback
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]

    with run.inside(), run.llm_server() as server:
        assert post("tools/look", b'{"order": 7}') == (200, {"order": 7})
        assert post("tools/look", b'{"order": 8}') == (500, "ValueError: no such order")
        assert post("tools/loop", b"{}") == (400, "there is no tool 'loop'. Did you mean 'look'? Known: look, slow.")
        assert post("tools/look", b"[]") == (400, "the body is list; expected a JSON object of the arguments")
        assert post("tools/look", b"{")[0] == 400
        assert "write `def` for `async def`" in post("tools/slow", b'{"order": 7}')[1]
        assert post("tools/look", b'{"ordr": 7}')[0] == 500
        assert "start it as a MortalCommand" in post("commits", b"{}")[1]
    run.sandbox.finish()
