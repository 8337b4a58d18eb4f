"""The listening socket, the connections on it, and what ends those that take too long. Belongs to one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

from pytest_agent.errors import UsageError
from pytest_agent.llm.server.connection import Application, Connection
from pytest_agent.llm.server.limits import Limits
from pytest_agent.llm.server.selector import SeenSelector

BACKLOG = 4096
READ_AT_ONCE = 64 * 1024
_LOG = logging.getLogger(__name__)


class Engine:
    """Serves an application. All of it runs in the thread of its loop.

    `coalesce` puts those events of a stream together that have no time between them; else each is sent by itself.
    `selector`: the loop's, where other threads ask whether a client `is_at_rest`.
    """

    def __init__(
        self,
        app: Application,
        *,
        limits: Limits | None = None,
        coalesce: bool = False,
        selector: SeenSelector | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.coalesce = coalesce
        self.connections: set[Connection] = set()
        self.buffer = memoryview(bytearray(READ_AT_ONCE))
        """Where all connections read, one after the other."""
        self._by_port: dict[int, Connection] = {}
        self._app = app
        self._limits = limits or Limits()
        self._selector = selector
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Event | None = None
        self.loop.set_exception_handler(self._unhandled)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Raises OSError where that cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = await self.loop.create_server(
            lambda: Connection(self, self._app, self._limits), host, port, family=family, backlog=BACKLOG
        )
        self._look()
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, drain_s: float) -> int:
        """Take no one new, finish what is under way for up to `drain_s`, and cut off the rest; how many that were."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.finish()
        self._all_gone = asyncio.Event()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), drain_s)
        left = list(self.connections)
        cut = sum(connection.busy for connection in left)
        for connection in left:
            connection.transport.abort()
        if left:
            self._all_gone.clear()
            await self._all_gone.wait()
        if self._sweep is not None:
            self._sweep.cancel()
        return cut

    def is_at_rest(self, port: int) -> bool:
        """Whether all that the client at this port has sent is read and answered, and it has all of that.

        Any thread may ask. Never while the loop runs: what it has begun (an answer half made, a connection that closes
        only in its next round) may look finished. Never of a connection that has ended, whose end its client is about
        to see, or that was not accepted yet. Raises UsageError where the engine has no selector.
        """
        if self._selector is None:
            raise UsageError("who asks whether a client is at rest gives the engine the selector of its loop")
        turn = self._selector.waits_since
        if turn is None:
            return False
        connection = self._by_port.get(port)
        at_work = connection is None or connection.is_at_work or connection.has_unread
        return not at_work and self._selector.waits_since == turn

    def came(self, connection: Connection, port: int) -> None:
        """A client has connected from this port."""
        self.connections.add(connection)
        self._by_port[port] = connection

    def gone(self, connection: Connection, port: int) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self._by_port.get(port) is connection:
            del self._by_port[port]
        if self._all_gone is not None and not self.connections:
            self._all_gone.set()

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        if isinstance(error, OSError):  # of a connection, or no more descriptors: nothing is wrong with the server
            _LOG.warning("%s: %s", context.get("message"), error)
        else:
            self._app.failed(error or RuntimeError(str(context.get("message"))))

    def _look(self) -> None:
        now = self.loop.time()
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.overdue()
        self._sweep = self.loop.call_later(self._limits.sweep_s, self._look)
