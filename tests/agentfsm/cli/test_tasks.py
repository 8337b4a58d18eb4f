import json
import os
import signal
import subprocess
import sys

import pytest

AGENT = ("agentfsm.agents.support_refund", "--tools", "shop:tools")

ASKER = """
from pydantic import BaseModel
from agentfsm import Runtime, Stage, Workflow
from agentfsm.waits import Wait

class Message(BaseModel):
    text: str

WAIT = Wait(
    cause="colour_needed", source="user", kinds=frozenset({"user.message"}), payload=Message, timeout_s=3600,
    timeout_cause="no_colour", tell=lambda kind, payload: payload["text"],
    fold=lambda business, kind, payload: {**business, "colour": payload["text"]},
)
WORKFLOW = Workflow(
    name="asker", version=1, instructions="Ask.", goal="it is painted", contracts=(),
    stages=(Stage("ASK", frozenset(), lambda b: "colour" in b, WAIT), Stage("PAINT", frozenset(), lambda b: False)),
    begin=lambda text: {}, fold=lambda *rest: rest[0], done_when=lambda business: "colour" in business,
)
tools = {}

def build(*, store, model, tools, **settings):
    return Runtime(workflow=WORKFLOW, store=store, model=model, tools=tools, **settings)
"""

TWO = """
extends: dev
models:
  - {provider: openai, model: gpt-5.4-mini, api_key: {env: OPENAI_API_KEY}, base_url: {env: OPENAI_BASE_URL},
     first_event_s: 9, idle_s: 9}
  - {provider: openai, model: gpt-4o-mini, api_key: {env: OPENAI_API_KEY}, base_url: {env: OPENAI_BASE_URL},
     temperature: 0.5, max_tokens: 99, first_event_s: 9, idle_s: 9}
  - {provider: anthropic, model: claude-sonnet-4-5, api_key: {env: ANTHROPIC_API_KEY},
     base_url: {env: ANTHROPIC_BASE_URL}, first_event_s: 9, idle_s: 9}
"""


def test_a_task_runs_to_its_end(agentfsm, shop):
    ran = agentfsm("run", *AGENT, "refund order 7", "--id", "r1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[:2] == ["task r1: success, DONE", "  Order 7 is refunded."]
    assert "  done: payments.refund [r1:4]" in ran.out
    assert shop() == {"r1:4": 20}


def test_its_result_is_a_document(agentfsm, shop):
    ran = agentfsm("run", *AGENT, "refund order 7", "--id", "r1", "--json")
    assert ran.code == 0
    assert set(ran.document) == {
        "request_id", "outcome", "cause", "answer", "state", "done", "not_done", "unknown"
    }  # fmt: skip
    assert (ran.document["outcome"], ran.document["state"]) == ("success", "DONE")


def test_a_task_without_an_id_gets_one_to_go_on_with(agentfsm, shop):
    first = agentfsm("run", *AGENT, "refund order 7", "--json").document["request_id"]
    again = agentfsm("run", *AGENT, "refund order 7", "--id", first, "--json")
    assert again.document["outcome"] == "success"
    assert len(shop()) == 1


def test_a_task_that_fails_has_exit_code_1(agentfsm, shop, provider):
    provider.says({"status": 401, "error": {"code": "invalid_api_key", "message": "no"}})
    ran = agentfsm("run", *AGENT, "refund order 7", "--id", "r1")
    assert ran.code == 1
    assert ran.out.startswith("task r1: failed (")
    assert ran.err == ""


def test_a_dry_run_leaves_the_till_alone_and_claims_no_success(agentfsm, shop):
    ran = agentfsm("run", *AGENT, "refund order 7", "--id", "r1", "--dry-run", "--json")
    assert (ran.code, ran.document["outcome"]) == (0, "partial")
    assert shop() == {}


def test_the_model_is_the_one_of_the_environment_and_its_key_is_nowhere(agentfsm, shop, provider, folder):
    ran = agentfsm("run", *AGENT, "refund order 7", "--id", "r1")
    shown = agentfsm("show", "r1", "--json")
    headers, request = provider.requests[0]
    assert (request["model"], headers["Authorization"]) == ("gpt-5.4-mini", "Bearer canary-key")
    assert "canary-key" not in ran.out + shown.out
    assert b"canary-key" not in (folder / "agentfsm.db").read_bytes()


def test_when_a_model_refuses_the_next_one_of_the_environment_is_asked(agentfsm, shop, provider, folder, monkeypatch):
    (folder / "environments").mkdir()
    (folder / "environments" / "two.yaml").write_text(TWO)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url.removesuffix("/v1"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-second")
    provider.refuses.add("gpt-5.4-mini")
    ran = agentfsm("run", *AGENT, "refund order 7", "--env", "two", "--json")
    assert (ran.code, ran.document["outcome"]) == (0, "success")
    asked = [request["model"] for _, request in provider.requests]
    assert asked[0] == "gpt-5.4-mini"
    assert asked[1] == "gpt-4o-mini"
    assert provider.requests[1][1]["temperature"] == 0.5
    assert provider.requests[1][1]["max_tokens"] == 99


def test_the_limits_of_the_environment_hold(agentfsm, shop, folder):
    (folder / "environments").mkdir()
    (folder / "environments" / "tight.yaml").write_text("extends: dev\nlimits: {tool_calls: 1}\n")
    ran = agentfsm("run", *AGENT, "refund order 7", "--env", "tight", "--json")
    assert (ran.code, ran.document["outcome"], ran.document["cause"]) == (1, "limit", "limit_tool_calls")
    assert shop() == {}


def test_a_submitted_task_waits_for_a_worker(agentfsm, shop):
    submitted = agentfsm("submit", *AGENT, "refund order 7", "--id", "r1", "--json")
    assert (submitted.code, submitted.document["state"], submitted.document["cause"]) == (0, "INIT", "running")
    assert shop() == {}
    assert agentfsm("submit", *AGENT, "refund order 7", "--id", "r1").code == 0
    worked = agentfsm("worker", *AGENT, "--until-idle", "--json")
    assert worked.code == 0
    assert [json.loads(line)["outcome"] for line in worked.out.splitlines()] == ["success"]
    assert shop() == {"r1:4": 20}


def test_a_task_that_is_cancelled_before_anyone_took_it_up_does_nothing(agentfsm, shop):
    agentfsm("submit", *AGENT, "refund order 7", "--id", "r1")
    asked = agentfsm("cancel", "r1", "--json")
    assert (asked.code, asked.document) == (0, {"request_id": "r1", "asked": True})
    agentfsm("worker", *AGENT, "--until-idle")
    assert agentfsm("show", "r1", "--json").document["result"]["outcome"] == "cancelled"
    assert shop() == {}
    assert agentfsm("cancel", "r1").out == "task r1 has ended already\n"


def test_a_task_waits_and_an_event_lets_it_go_on(agentfsm, shop, provider, folder):
    (folder / "asker.py").write_text(ASKER)
    provider.says("Which colour?", "It is painted.")
    ran = agentfsm("run", "asker", "paint it", "--id", "r1")
    assert ran.code == 0
    assert ran.out.startswith("task r1: partial (colour_needed), WAITING_EXTERNAL")
    assert "waits for colour_needed until" in agentfsm("show", "r1").out
    event = ("event", "asker", "r1", "user.message", "--source", "user", "--event-id", "e1", "--payload")
    ran = agentfsm(*event, '{"text": "red"}', "--json")
    assert (ran.code, ran.document["outcome"], ran.document["answer"]) == (0, "success", "It is painted.")
    again = agentfsm(*event, '{"text": "blue"}', "--json")
    assert (again.code, again.document) == (0, ran.document)


def test_an_event_for_nobody_known_is_bad_input(agentfsm, shop):
    ran = agentfsm("event", *AGENT, "r1", "user.message", "--source", "user", "--event-id", "e1", "--json")
    assert (ran.code, ran.error["code"]) == (2, "unknown_task")


def test_a_payload_has_to_be_json(agentfsm, shop):
    ran = agentfsm("event", *AGENT, "r1", "x", "--source", "user", "--event-id", "e1", "--payload", "{text: yes}")
    assert ran.code == 2
    assert ran.err.startswith("agentfsm: --payload is not JSON")


def test_show_tells_what_was_done_and_why(agentfsm, shop):
    agentfsm("run", *AGENT, "refund order 7", "--id", "r1")
    ran = agentfsm("show", "r1")
    assert ran.code == 0
    assert "  asked: refund order 7" in ran.out
    assert ["4", "tool", "payments.refund", "success"] in [line.split()[:4] for line in ran.out.splitlines()]
    assert "tool_proposed" in ran.out
    shown = agentfsm("show", "r1", "--json").document
    assert set(shown) == {"task", "result", "for_user", "for_operator", "steps", "held", "audit"}
    assert "Order 7 is refunded." in shown["for_user"]
    assert shown["for_operator"]["request_id"] == "r1"
    assert [step["tool"] for step in shown["steps"] if step["kind"] == "tool"] == ["orders.lookup", "payments.refund"]
    assert [row["version"] for row in shown["audit"]] == sorted(row["version"] for row in shown["audit"])


def test_show_lists_the_last_tasks(agentfsm, shop):
    for name in ("r1", "r2"):
        agentfsm("run", *AGENT, "refund order 7", "--id", name)
    assert [task["request_id"] for task in agentfsm("show", "--json").document["tasks"]] == ["r2", "r1"]
    assert len(agentfsm("show", "--limit", "1", "--json").document["tasks"]) == 1
    assert agentfsm("show", "--state", "FAILED").out == "no tasks\n"


def test_stored_text_cannot_steer_the_terminal(agentfsm, shop, provider):
    provider.says(
        ("orders.lookup", {"order": 7}),
        ("payments.refund", {"order": 7, "amount": 20}),
        "\x1b[2J\x1b]0;owned\x07 done \u202e\x9b\nsecond line",
    )
    text = "refund order 7 \x1b[31m"
    ran = agentfsm("run", *AGENT, text, "--id", "r1")
    shown = agentfsm("show", "r1")
    printed = ran.out + shown.out + agentfsm("show").out
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert "\\x1b[2J" in ran.out
    assert "  second line" in ran.out.splitlines()
    asjson = agentfsm("show", "r1", "--json")
    assert all(character.isprintable() or character == "\n" for character in asjson.out)
    assert asjson.document["task"]["text"] == text


def test_a_secret_in_what_is_stored_is_not_shown(agentfsm, shop, provider):
    provider.says(
        ("orders.lookup", {"order": 7}),
        ("payments.refund", {"order": 7, "amount": 20}),
        "Paid with canary-key, the password: canary-two and sk-canary-1234567890abcdef.",
    )
    ran = agentfsm("run", *AGENT, "refund order 7, my api_key=canary-three", "--id", "r1")
    printed = ran.out + "".join(agentfsm("show", *rest).out for rest in (["r1"], ["r1", "--json"], ["--json"]))
    assert "***" in printed
    assert "canary" not in printed


def test_a_real_command_works_until_it_is_told_to_stop(agentfsm, shop, folder):
    agentfsm("submit", *AGENT, "refund order 7", "--id", "r1")
    command = [sys.executable, "-m", "agentfsm", "worker", *AGENT, "--json"]
    worker = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [json.loads(worker.stdout.readline()) for _ in range(2)]
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert lines[0] == {"worker": "ready", "workflows": ["support_refund@1"]}
    assert (lines[1]["request_id"], lines[1]["outcome"]) == ("r1", "success")
    assert [json.loads(line) for line in out.splitlines()] == [{"worker": "stopping"}, {"worker": "stopped"}]
    assert (worker.returncode, err) == (0, "")


def test_an_interrupted_run_says_where_its_task_is(agentfsm, shop, provider, folder):
    provider.holds = True
    command = [sys.executable, "-m", "agentfsm", "run", *AGENT, "refund order 7", "--id", "r1"]
    run = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert provider.asked.wait(30)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    finally:
        run.kill()
        provider.go_on.set()
    assert (run.returncode, out) == (130, "")
    assert err == "agentfsm: interrupted; what was done is stored: `agentfsm show` tells\n"
    assert agentfsm("show", "r1", "--json").document["result"]["outcome"] == "cancelled"


def test_a_reader_that_goes_away_is_no_error(agentfsm, shop, folder):
    agentfsm("run", *AGENT, "refund order 7", "--id", "r1")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "agentfsm", "show", "r1"]
    ran = subprocess.run(command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("command", ["show", "cancel", "incidents", "flags"])
def test_looking_makes_no_store(agentfsm, folder, command):
    rest = {"show": ["r1"], "cancel": ["r1"], "incidents": [], "flags": ["list"]}[command]
    ran = agentfsm(command, *rest, "--store", "nowhere.db")
    assert ran.code == 2
    assert "there is no store 'nowhere.db' yet" in ran.err
    assert list(folder.iterdir()) == []


def test_an_unknown_task_is_bad_input(agentfsm, folder):
    agentfsm("flags", "set", "x", "true", "--store", "tasks.db")
    for command in ("show", "cancel"):
        ran = agentfsm(command, "r9", "--store", "tasks.db", "--json")
        assert (ran.code, ran.error["code"]) == (2, "unknown_task")
