"""Both stores behind one face, and the records the tests write."""

import asyncio
import contextlib
import sqlite3
from dataclasses import replace

import asyncpg
import pytest

from agentfsm import Commit, State
from agentfsm.records import Step, Task
from agentfsm.store import open_store

TASK = Task("r1", "text", "w@1", State.PLANNING, "LOOKUP", 1.0)
STEP = Step("r1", 1, 1, "tool", "hash", 1.0, tool="pay", call_id="c", effect_class="idempotent", input_data={"a": 1})
DONE = replace(STEP, status="success", output_data={"receipt": "é"}, finished_at=2.0)


class Door:
    """A store whose coroutines are run to their end here, on one event loop."""

    def __init__(self, url):
        self.url = url
        self.runner = asyncio.Runner()
        self.opened = []
        self.inner = self.open()

    def open(self, **options):
        """Open another store on the same database; it is closed at the end."""
        self.opened.append(open_store(self.url, **options))
        return self.opened[-1]

    def run(self, coroutine):
        return self.runner.run(coroutine)

    def __getattr__(self, name):
        return lambda *args, **options: self.run(getattr(self.inner, name)(*args, **options))

    def put(self, version=0, **change):
        """Commit the task as it was at that version; return its new version."""
        return self.write(replace(TASK, version=version), **change).version

    def write(self, task, **change):
        return self.commit(Commit("test", task, 1.5, **change))

    def raw(self, statement):
        """Do to the database what no store would; return the rows."""
        if self.url.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as db:
                return db.execute(statement).fetchall()

        async def execute():
            db = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await db.fetch(statement)]
            finally:
                await db.close()

        return self.run(execute())

    def whole(self):
        """Everything that is stored, table by table."""
        tables = ("task", "agent_steps", "event", "audit", "control", "incident", "meta")
        return {name: sorted(self.raw(f"SELECT * FROM {name}"), key=repr) for name in tables}  # noqa: S608

    def close_all(self):
        for store in self.opened:
            self.run(store.close())
        self.runner.close()


@pytest.fixture
def task():
    return TASK


@pytest.fixture
def step():
    return STEP


@pytest.fixture
def done():
    return DONE


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """A database of each kind, ready for a store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/s.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def opened():
    """Open a door to a URL; it is shut at the end."""
    doors = []

    def make(url):
        doors.append(Door(url))
        return doors[-1]

    yield make
    for door in doors:
        door.close_all()


@pytest.fixture
def store(store_url, opened):
    """A store of each kind on a fresh database."""
    return opened(store_url)
