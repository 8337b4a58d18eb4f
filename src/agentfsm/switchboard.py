"""The switchboard: flags, kill switch and breakers as the store last had them, for all tasks of a runtime."""

from __future__ import annotations

from agentfsm.policy import Switches
from agentfsm.ports import Store
from agentfsm.records import Control


class Switchboard:
    """Read anew as soon as a commit tells that something has changed, so it is never more than one step old."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1
        self.controls: dict[str, Control] = {}
        self.switches = Switches.of({})

    async def follow(self, change: int) -> None:
        """Read everything again if `change`, the number of the last one, is news."""
        if change != self._seen:
            await self.read()

    async def read(self) -> None:
        """Read everything again."""
        self._seen, self.controls = await self._store.controls()
        self.switches = Switches.of(self.controls)

    @property
    def fresh(self) -> bool:
        """Whether it was ever read."""
        return self._seen >= 0
