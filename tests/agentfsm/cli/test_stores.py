"""The same commands over both stores, and incidents as a store keeps them."""

import asyncio
import json

import pytest

from agentfsm.records import Commit, Incident, Task
from agentfsm.states import State
from agentfsm.store import open_store

AGENT = ("agentfsm.agents.support_refund", "--tools", "shop:tools")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, folder):
    return str(folder / "tasks.db") if request.param == "sqlite" else request.getfixturevalue("postgres").empty()


def test_the_life_of_a_task_from_migration_to_its_audit(agentfsm, shop, url, monkeypatch):
    monkeypatch.setenv("AGENTFSM_STORE", url)
    assert agentfsm("migrate", "--check").code == 1
    assert agentfsm("migrate").code == 0
    assert agentfsm("migrate", "--check").code == 0
    agentfsm("submit", *AGENT, "refund order 7", "--id", "r1")
    agentfsm("flags", "kill", "tool:payments.refund", "stop")
    agentfsm("flags", "kill", "tool:payments.refund", "off")
    worked = agentfsm("worker", *AGENT, "--until-idle", "--json")
    assert [json.loads(line)["outcome"] for line in worked.out.splitlines()] == ["success"]
    shown = agentfsm("show", "r1", "--json").document
    assert shown["task"]["version"] == shown["audit"][-1]["version"]
    assert [task["request_id"] for task in agentfsm("show", "--json").document["tasks"]] == ["r1"]
    assert agentfsm("cancel", "r1", "--json").document["asked"] is False
    assert shop() == {"r1:4": 20}


def incident(name, code, prompt, at):
    data = {"steps": [{"error": "\x1b[31mno answer", "password": "canary"}]}
    return Incident(name, code, code, "transient", "refund@1", at, prompt, data)


def test_incidents_are_grouped_and_listed(agentfsm, url):
    async def write():
        store = open_store(url)
        task = Task("r1", "refund", "refund@1", State.INIT, "LOOKUP", 1.0)
        incidents = (
            incident("r1", "timeout", "refund@1:abc", 1.0),
            incident("r2", "timeout", "refund@1:abc", 2.0),
            incident("r3", "timeout", "refund@2:def", 3.0),
        )
        await store.commit(Commit("start", task, 1.0, audit=({"kind": "x"},), incidents=incidents))
        await store.close()

    agentfsm("migrate", "--store", url)
    asyncio.run(write())
    groups = agentfsm("incidents", "--store", url, "--json").document["groups"]
    assert [(group["count"], group["prompt"], group["last_task"]) for group in groups] == [
        (2, "refund@1:abc", "r2"),
        (1, "refund@2:def", "r3"),
    ]
    assert agentfsm("incidents", "--store", url).out.splitlines()[1].split()[:4] == [
        "2",
        "transient",
        "timeout",
        "refund@1",
    ]
    listed = agentfsm("incidents", "--list", "--store", url, "--json")
    assert [found["request_id"] for found in listed.document["incidents"]] == ["r3", "r2", "r1"]
    assert "canary" not in listed.out
    assert len(agentfsm("incidents", "--list", "--store", url).out.splitlines()) == 3


def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(agentfsm, folder):
    pytest.importorskip("asyncpg")
    for command in (["show"], ["flags", "list"], ["migrate", "--check"]):
        ran = agentfsm(*command, "--store", "postgresql://agent:canary@127.0.0.1:1/tasks")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
        assert "canary" not in ran.err
