"""Connections to a PostgreSQL database: made when first needed, made anew when lost, one statement at a time each."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from agentfsm.errors import StoreError
from agentfsm.store.postgres_errors import FAILURES, REFUSED, store_error
from agentfsm.store.postgres_layout import state_of
from agentfsm.store.schema import Schema, check_current
from agentfsm.store.urls import masked
from agentfsm.store.waiting_out import to_its_end


class Database:
    """Runs statements on at most `pool_size` connections; waits at most `wait_s` for one, and for each answer."""

    def __init__(self, url: str, *, pool_size: int, wait_s: float, schema: Schema) -> None:
        self._url = url
        self._name = masked(url)
        self._pool_size = pool_size
        self._wait_s = wait_s
        self._schema = schema
        self._pool: asyncpg.Pool | None = None
        self._opening: asyncio.Future[asyncpg.Pool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def write(self, query: str, *values: Any) -> list[Any]:
        """Run one statement to its end, also for a caller that is cancelled; an error of REFUSED is the caller's."""
        self.check_open()
        return await to_its_end(self.run(query, *values))

    async def run(self, query: str, *values: Any) -> list[Any]:
        """Run one statement of a write that began while this was open; where the caller is cancelled, so is it."""
        try:
            pool = self._pool or await self._ready()
            async with pool.acquire(timeout=self._wait_s) as db:
                found: list[Any] = await db.fetch(query, *values)
                return found
        except FAILURES as error:
            if getattr(error, "sqlstate", None) == REFUSED:
                raise
            raise store_error(self._name, error) from error

    async def read(self, query: str, *values: Any) -> list[Any]:
        """Run a statement that changes nothing; tried once more where its connection had been lost."""
        self.check_open()
        try:
            return await self.run(query, *values)
        except StoreError as error:
            if error.code != "unavailable":
                raise
        return await self.run(query, *values)

    def check_open(self) -> None:
        """Raise StoreError where nothing may be begun: it is closed, or another event loop's."""
        if self._closed:
            raise StoreError("the store is closed", code="store_closed")
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            said = "a PostgreSQL store belongs to the event loop that used it first"
            raise StoreError(f"{said}; open another one for this loop", code="wrong_loop")

    def refuse(self) -> None:
        """Let nothing begin from now on."""
        self._closed = True

    async def close(self) -> None:
        """Close all connections, or drop those that do not end in `wait_s`. Safe to call twice."""
        self.refuse()
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), self._wait_s)
        except FAILURES:
            self._pool.terminate()

    async def _ready(self) -> asyncpg.Pool:
        """Connect and look at the tables, once for all who wait for it."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._connect())
        opening = self._opening
        try:
            self._pool = await asyncio.shield(opening)
        finally:
            if self._opening is opening and opening.done():
                self._opening = None
        return self._pool

    async def _connect(self) -> asyncpg.Pool:
        self._loop = asyncio.get_running_loop()
        pool = asyncpg.create_pool(
            self._url,
            min_size=1,
            max_size=self._pool_size,
            command_timeout=self._wait_s,
            timeout=self._wait_s,
            init=_prepare,
            reset=_leave,
            server_settings={"application_name": "agentfsm", "default_transaction_isolation": "read committed"},
        )
        try:
            await pool
            async with pool.acquire() as db:
                check_current(self._name, await state_of(db, self._name, self._schema), f"--store {self._name}")
        except BaseException:
            pool.terminate()
            raise
        return pool


async def _prepare(db: asyncpg.Connection) -> None:
    """Make commits durable whatever the database's own default is: a lost intent would allow a second effect."""
    if await db.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        await db.execute("SET synchronous_commit = on")


async def _leave(_db: asyncpg.Connection) -> None:
    """Give a connection back as it is: nothing here changes a session, and the driver's reset is a round trip."""
