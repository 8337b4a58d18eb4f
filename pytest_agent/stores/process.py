"""One process of an agent, as far as its files go: where it commits, dies, and what of it must not act any more."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_agent.errors import ProcessDied
from pytest_agent.faults.effect import ProcessEffect
from pytest_agent.faults.seams import Armed, Seams
from pytest_agent.faults.site import Site
from pytest_agent.stores.disk import Disk
from pytest_agent.stores.faults import Failure, StoreFaults
from pytest_agent.trace import StoreCommitted
from pytest_agent.whose import Whose


class Home:
    """A folder in which an agent keeps what outlives its processes, in one run: `n` counts the commits of them all."""

    def __init__(self, seams: Seams, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seams = seams
        self.disk = Disk(folder, watched=needs_watching(seams.armed))
        self.faults = StoreFaults(seams)
        self.n = itertools.count(1)


def needs_watching(armed: tuple[Armed, ...]) -> bool:
    """Whether a death of the schedule leaves something else than all that was written."""
    return any(isinstance(each.effect, ProcessEffect) and each.effect.left() != "all" for each in armed)


class Process:
    """One life of the agent at home there."""

    def __init__(self, home: Home, life: int) -> None:
        self.disk = home.disk
        self.faults = home.faults
        self._seams = home.seams
        self._n = home.n
        self._life = life
        self._died = self.has_ended = False
        self._open: list[weakref.ref[Any]] = []
        self._lock = threading.Lock()

    @property
    def is_dead(self) -> bool:
        """Whether nothing may act in its name any more."""
        return self._died or (self._seams.is_dead and not self.has_ended)

    def keep(self, opened: Any) -> None:
        """Close this when the process ends."""
        self._open.append(weakref.ref(opened))

    def end(self) -> None:
        """It has ended, by itself or not: what it had open is closed."""
        self._died, self.has_ended = self._seams.dead, True
        while self._open:
            opened = self._open.pop()()
            if opened is not None:
                opened.close()

    def check_alive(self) -> None:
        """Raise ProcessDied where it is dead."""
        if self.is_dead:
            raise ProcessDied("the process is dead")

    @contextmanager
    def committing(
        self, file: str, label: str, error: Callable[[Failure], BaseException], flushes: Callable[[], bool]
    ) -> Iterator[None]:
        """Around what makes something durable: the two places at which the process can die, and its store fail.

        `error` turns a failure into what this kind of store raises; `flushes` says afterwards whether what was written
        would survive a loss of power.
        """
        n, failure = self.begin()
        if failure is not None:
            raise error(failure)
        yield
        failure = self.finish(n, file, label, flushes=flushes())
        if failure is not None:
            raise error(failure)

    def begin(self) -> tuple[int, Failure | None]:
        """The number of a commit that begins now, and why it fails before anything is written."""
        with self._lock:
            n = next(self._n)
        failure = self._pass(Site("store", "commit", n, phase="before"))
        self.disk.about_to_write()
        return n, failure

    def finish(self, n: int, file: str, label: str, *, flushes: bool) -> Failure | None:
        """It is written; why it fails all the same."""
        before, after = (Site("store", "commit", n, phase=phase) for phase in ("before", "after"))
        if flushes:
            self.disk.flushed()
        self._stand_still(self._seams.reach(after, "written"))
        for site in (before, after):
            self._seams.trace.append(StoreCommitted(site=str(site), label=label, life=self._life, file=file))
        return self._pass(after)

    def _pass(self, site: Site) -> Failure | None:
        self._stand_still(self._seams.reach(site))
        for wait_s, failure in self.faults.at(site):
            self._stand_still(wait_s)
            if failure is not None:
                return failure
        return None

    def _stand_still(self, for_s: float) -> None:
        if for_s:
            time.sleep(for_s)


PROCESSES: Whose[Process] = Whose("pytest_agent_process")
"""Whose file it is that is opened here and now."""
