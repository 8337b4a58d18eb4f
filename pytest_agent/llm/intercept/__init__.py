"""Stand between the HTTP libraries of this process and the network, whenever a client was made.

The order is fixed: the author's respx routes (httpx and httpx2), then the script, then loopback goes through, then the
guard. Whose model answers is decided by the rule of `pytest_agent.whose`. A library is touched when it is loaded.
"""

from __future__ import annotations

from pytest_agent.llm import respx_routes
from pytest_agent.llm.intercept import of_aiohttp, of_httpx, of_urllib3
from pytest_agent.llm.intercept.desk import DESKS, Desk, Sleep
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.patches import OnImport, Patches
from pytest_agent.trace import Trace


class _Process:
    """What is patched in this process while at least one desk is open."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._respx = respx_routes.StandAside()
        self._libraries = OnImport(
            {
                "httpx": lambda lib: of_httpx.patch(lib, self._patches),
                "httpx2": lambda lib: of_httpx.patch(lib, self._patches),
                "aiohttp": lambda lib: of_aiohttp.patch(lib, self._patches),
                "urllib3": lambda lib: of_urllib3.patch(lib, self._patches),
            }
        )
        self._opened = 0

    def open(self) -> None:
        self._opened += 1
        if self._opened == 1:
            self._libraries.install()
            self._respx.install()

    def close(self) -> None:
        self._opened -= 1
        if not self._opened:
            self._respx.uninstall()
            self._libraries.uninstall()
            self._patches.undo()


_PROCESS = _Process()


class HttpIntercept:
    """Lets a model answer the clients of its context; `install` and `uninstall` are a pair, in one context."""

    def __init__(self, model: ScriptedModel, trace: Trace, sleep: Sleep) -> None:
        self._desk = Desk(model, trace, sleep)

    def install(self) -> None:
        """From now on every request of these libraries comes here first."""
        _PROCESS.open()
        DESKS.enter(self._desk)

    def let_through(self, port: int) -> None:
        """Requests to this port of the machine go to the network: the script answers them there."""
        self._desk.let_through(port)

    def uninstall(self) -> None:
        """Restore the libraries exactly, unless another one is installed."""
        DESKS.leave(self._desk)
        _PROCESS.close()
