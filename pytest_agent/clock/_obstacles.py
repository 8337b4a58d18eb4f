"""Why time must not jump now."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_agent.clock._descriptors import is_ignored, is_readable, local_port
from pytest_agent.clock._jobs import Jobs
from pytest_agent.clock._threads import (
    Frames,
    ThreadRegister,
    current_frames,
    is_held_by_a_lock,
    is_waiting_for_a_thread,
    place,
)
from pytest_agent.clock._waiters import JoiningThread, SleepingThread, Waiter
from pytest_agent.clock._waits import Cause


class Kind(enum.Enum):
    """What stands in the way of a jump."""

    NOTHING = enum.auto()
    WORK = enum.auto()  # counted work: time runs at real pace
    THREAD = enum.auto()  # the test's own thread computes, or waits in a way that cannot be seen
    UNKNOWN = enum.auto()  # a thread of which nothing is known
    DESCRIPTOR = enum.auto()  # an open descriptor of which nothing is known


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One look at the program."""

    kind: Kind
    causes: tuple[Cause, ...] = ()
    polled: bool = False  # whether it can go away without anybody telling


NO_OBSTACLE = Obstacle(Kind.NOTHING)


@dataclass(slots=True)
class Program:
    """All that the clock knows of the program under test. The caller holds the clock's lock."""

    home: int = 0  # the thread that installed the clock
    jobs: Jobs = field(default_factory=Jobs)
    threads: ThreadRegister = field(default_factory=ThreadRegister)
    waiters: dict[int, Waiter] = field(default_factory=dict)  # by thread
    loops: set[int] = field(default_factory=set)  # threads that run a virtual loop
    ignored_descriptors: list[int | str] = field(default_factory=list)
    known_peers: dict[str, Callable[[int], bool]] = field(default_factory=dict)  # by address: see `Clock.know_peer`

    def obstacle(self) -> Obstacle:
        """The first thing that stands in the way of a jump."""
        frames: Frames = {}
        at_work = self.jobs.at_work(self.waiters)
        if at_work:
            if not any(isinstance(waiter, SleepingThread) for waiter in self.waiters.values()):
                return Obstacle(Kind.WORK)
            # A job may wait for one that sleeps: only then can a job that waits for a lock be passed over.
            frames = current_frames()
            if not all(self._is_held(job.ident, frames) for job in at_work):
                return Obstacle(Kind.WORK, polled=True)
        with_job = self.jobs.idents()
        for ident in (self.home, *self.loops):
            if ident not in self.waiters and ident not in with_job:
                frames = frames or current_frames()
                if not self._is_held(ident, frames):
                    edit = "wait with a threading.Event, a queue, a future or join() there"
                    cause = Cause("the thread of the test", edit, place(frames.get(ident)))
                    return Obstacle(Kind.THREAD, (cause,), polled=True)
        for waiter in self.waiters.values():
            if isinstance(waiter, JoiningThread) and self._is_ending(waiter.thread):
                what = f"the end of the thread {waiter.thread.name!r}"
                where = place(current_frames().get(waiter.ident))
                return Obstacle(Kind.THREAD, (Cause(what, "shut its pool down before it is joined", where),))
        unknown = self._unknown_threads(with_job)
        if unknown:
            return Obstacle(Kind.UNKNOWN, unknown, polled=True)
        open_, peer_at_work = self._open_descriptors()
        if open_ or peer_at_work:
            # A peer that comes to rest tells nobody, and that it was at work is nobody's fault.
            return Obstacle(Kind.DESCRIPTOR, open_, polled=peer_at_work)
        return NO_OBSTACLE

    def is_outside(self, ident: int | None) -> bool:
        """Whether a thread is none of the program's: it was there before the clock and runs no job, or is ignored."""
        if ident is None or ident == self.home or ident in self.jobs.idents():
            return False
        return self.threads.is_outside(ident)

    def _is_held(self, ident: int | None, frames: Frames) -> bool:
        return ident is not None and is_held_by_a_lock(frames.get(ident), self._is_ending)

    def _is_ending(self, thread: threading.Thread) -> bool:
        # Nobody joins a pool's worker but to see it end; without a job it ends at once.
        ident = thread.ident
        at_rest = ident not in self.waiters and ident not in self.jobs.idents()
        return at_rest and self.threads.is_a_worker(thread)

    def _unknown_threads(self, with_job: set[int]) -> tuple[Cause, ...]:
        frames: Frames = {}
        causes: list[Cause] = []
        for thread in self.threads.uncounted():
            # A thread that is just being started has no number yet, and is at work.
            ident = thread.ident
            if ident == self.home or ident in self.waiters or ident in with_job or ident in self.loops:
                continue
            frames = frames or current_frames()
            if ident is None or not is_waiting_for_a_thread(frames.get(ident), self._is_ending):
                edit = f"clock.ignore_thread({thread.name!r})"
                where = "" if ident is None else place(frames.get(ident))
                causes.append(Cause(f"the thread {thread.name!r}", edit, where))
        return tuple(causes)

    def _open_descriptors(self) -> tuple[tuple[Cause, ...], bool]:
        """Those of which nothing is known, and whether a known peer of another is at work."""
        causes: list[Cause] = []
        at_work = False
        for waiter in self.waiters.values():
            for descriptor in waiter.descriptors():
                if is_ignored(descriptor, self.ignored_descriptors):
                    continue
                peer = descriptor.name.partition(" (fd ")[0]
                at_rest = self.known_peers.get(peer)
                if at_rest is None:
                    causes.append(Cause(f"the {descriptor.name}", f"clock.ignore_socket({peer!r})"))
                elif not at_rest(local_port(descriptor.fd)) or is_readable(descriptor.fd):
                    # Asked in this order: what it has just sent is readable by now.
                    at_work = True
        return tuple(causes), at_work
