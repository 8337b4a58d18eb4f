"""Where a store is: what is named is opened, and a slip is answered with the edit to make."""

import sys
from pathlib import Path

import pytest

from agentfsm import SQLiteStore
from agentfsm.errors import StoreError
from agentfsm.store import open_store
from agentfsm.store.postgres import PostgresStore
from agentfsm.store.urls import masked


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("tasks.db", "tasks.db"),
        ("/var/tasks.db", "/var/tasks.db"),
        ("sqlite:///tasks.db", "tasks.db"),
        ("sqlite:////var/my%20tasks.db", "/var/my tasks.db"),
        ("sqlite:///a.db?mode=ro&busy_s=2.5", "a.db"),
    ],
)
def test_a_file_is_named_in_any_of_these_ways(url, path):
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    assert store._file.path == Path(path)
    assert store._file._read_only == ("mode=ro" in url)
    assert store._file._busy_s == (2.5 if "busy_s" in url else 10.0)


@pytest.mark.parametrize("url", ["postgresql://me@host/tasks", "postgres://host/tasks?sslmode=require"])
def test_a_database_is_named_by_its_url(url):
    assert isinstance(open_store(url), PostgresStore)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "say --store tasks.db"),
        ("postgress://host/db", "Did you mean 'postgres'?"),
        ("sqllite:///a.db", "Did you mean 'sqlite'?"),
        ("mysql://host/db", "Known: postgres, postgresql, sqlite."),
        ("sqlite://a.db", "'sqlite:///a.db'"),
        ("sqlite:///a.db?mod=ro", "Did you mean 'mode'?"),
        ("sqlite:///a.db?busy_s=soon", "say a number of seconds"),
        ("sqlite:///a.db?mode=rx", "say mode=ro"),
        (":memory:", "is no file"),
        ("sqlite:///", "is no file"),
    ],
)
def test_what_is_no_store_is_answered_with_the_edit(url, said):
    with pytest.raises(StoreError) as refused:
        open_store(url)
    assert refused.value.code == "store_url"
    assert said in str(refused.value)


def test_a_password_is_in_no_message():
    assert masked("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert masked("postgresql://host/db?password=secret&x=1") == "postgresql://host/db?password=***&x=1"
    assert masked("postgresql://me:s3c:ret@host/db") == "postgresql://me:***@host/db"
    assert masked("/var/tasks.db") == "/var/tasks.db"
    with pytest.raises(StoreError) as refused:
        open_store("postgress://me:secret@host/db")
    assert "secret" not in str(refused.value)


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreError, match=r"pytest-agent-harness\[postgres\]"):
        open_store("postgresql://host/db")
