import sqlite3
from contextlib import closing

import pytest

from agentfsm.cli import migrate
from agentfsm.store import Schema, SchemaState

STORE = ("--store", "tasks.db")


def test_a_store_that_is_not_there_is_made_and_a_check_makes_none(agentfsm, folder):
    ran = agentfsm("migrate", "--check", *STORE)
    assert (ran.code, "no tables" in ran.out) == (1, True)
    assert list(folder.iterdir()) == []
    ran = agentfsm("migrate", *STORE, "--json")
    assert ran.code == 0
    assert (ran.document["before"]["layout"], ran.document["after"]["layout"]) == (None, Schema().version)
    assert not ran.document["behind"]
    assert agentfsm("migrate", "--check", *STORE).code == 0


def test_the_next_thing_to_do_is_named(agentfsm, monkeypatch):
    async def state(url):
        return states.pop(0)

    monkeypatch.setattr(migrate, "schema_state", state)
    states = [SchemaState(2, 2, 3), SchemaState(3, 2, 3)]
    behind, expanded = agentfsm("migrate", "--check", *STORE), agentfsm("migrate", "--check", *STORE)
    assert (behind.code, behind.out.splitlines()[-1]) == (1, "next: agentfsm migrate")
    assert (expanded.code, "next: agentfsm migrate --contract" in expanded.out) == (0, True)


def test_contracting_is_asked_for_and_never_done_by_itself(agentfsm, monkeypatch):
    async def state(url):
        return SchemaState(2, 2, 3)

    async def move(url, *, contract):
        asked.append(contract)
        return SchemaState(3, 3 if contract else 2, 3)

    asked = []
    monkeypatch.setattr(migrate, "schema_state", state)
    monkeypatch.setattr(migrate, "migrate", move)
    assert "it was: tables of version 2" in agentfsm("migrate", *STORE).out
    assert agentfsm("migrate", "--contract", *STORE, "--json").document["after"]["readable_by"] == 3
    assert asked == [False, True]


def test_a_newer_store_is_refused_and_left_as_it_is(agentfsm, folder):
    agentfsm("migrate", *STORE)
    with closing(sqlite3.connect(folder / "tasks.db")) as db, db:
        db.execute("UPDATE meta SET value = 99 WHERE key IN ('layout', 'readable_by')")
    before = (folder / "tasks.db").read_bytes()
    for command in (["migrate"], ["migrate", "--check"], ["migrate", "--contract"], ["show"]):
        ran = agentfsm(*command, *STORE, "--json")
        assert (ran.code, ran.error["code"]) == (2, "newer_schema")
    assert (folder / "tasks.db").read_bytes() == before


@pytest.mark.parametrize("url", ["mysql://u:canary@h/x", "postgresq://u:canary@h/x", "sqlite://x.db", " "])
def test_what_names_no_store_is_refused_without_its_password(agentfsm, url):
    for command in (["migrate"], ["show"]):
        ran = agentfsm(*command, "--store", url)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "canary" not in ran.err
