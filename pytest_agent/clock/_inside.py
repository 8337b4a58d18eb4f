"""The face of a clock to our own loop, pools and stand-ins: everything here takes the clock's lock."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pytest_agent.clock._engine import Engine
from pytest_agent.clock._jobs import Job
from pytest_agent.clock._obstacles import Program
from pytest_agent.clock._ready import Choose
from pytest_agent.clock._waiters import IdleLoop, SleepingThread, Waiter


class Inside:
    """What waits and what works, told to the engine."""

    def __init__(
        self, engine: Engine, program: Program, now: Callable[[], float], catch_up: Callable[[], None]
    ) -> None:
        self.catch_up = catch_up  # replaces what was imported since the clock was installed
        self._engine = engine
        self._program = program
        self._now = now
        self._lock = engine.lock
        self.choose: Choose | None = None

    def who_chooses(self, ident: int) -> Choose | None:
        """Who says in what order the ready tasks of a loop in thread `ident` go: of the test's own thread only."""
        return self.choose if ident == self._program.home else None

    @contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[None]:
        """`waiter` waits for the duration of the block."""
        with self._lock:
            if isinstance(waiter, IdleLoop):  # it may have begun to run before the clock was installed
                self._program.loops.add(waiter.ident)
            self._engine.enter(waiter)
        try:
            yield
        finally:
            self.leave(waiter)

    def decide(self, waiter: Waiter) -> float | None:
        """See `Engine.decide`."""
        with self._lock:
            return 0.0 if waiter.woken else self._engine.decide(waiter)

    def leave(self, waiter: Waiter) -> None:
        """`waiter` counts as at work from here on. Twice does no harm."""
        with self._lock:
            self._engine.leave(waiter)

    def deadline(self, seconds: float) -> float:
        """The virtual time in so many seconds.

        However few: a loop that waits for the rest of a time-out must come to its end.
        """
        now = self._now()
        return max(now + seconds, math.nextafter(now, math.inf))

    def sleep(self, seconds: float) -> None:
        """Block this thread for so many virtual seconds, or until the clock goes away."""
        waiter = SleepingThread(self.deadline(seconds))
        with self.waiting(waiter):
            self.rest(waiter, lambda: False)

    def rest(self, waiter: SleepingThread, over: Callable[[], bool]) -> None:
        """Block this thread, which is `waiting`, until its deadline, until `over`, or until the clock goes away."""
        while not over():
            pause = self.decide(waiter)
            if waiter.woken:
                return
            waiter.pause(pause)

    def in_real_time(self) -> bool:
        """Whether this thread is none of the program's: it was there before the clock, or is declared idle."""
        with self._lock:
            return self._program.is_outside(threading.get_ident())

    def is_outside(self, thread: threading.Thread) -> bool:
        """Whether another thread is none of the program's."""
        with self._lock:
            return self._program.is_outside(thread.ident)

    def loop_runs(self, ident: int) -> None:
        """Thread `ident` runs a virtual loop: it works whenever its loop does not wait."""
        with self._lock:
            self._program.loops.add(ident)

    def loop_ended(self, ident: int) -> None:
        """The loop of thread `ident` stopped."""
        with self._lock:
            self._program.loops.discard(ident)

    @contextmanager
    def work(self, what: str) -> Iterator[None]:
        """Count the block as real work in flight."""
        with self._lock:
            job = self._program.jobs.add(what)
            self._engine.changed()
        try:
            yield
        finally:
            self.job_finished(job)

    def job_submitted(self, what: str, pool: object, capacity: Callable[[], float]) -> Job:
        """Count a job that waits for one of the `capacity` workers of `pool`."""
        with self._lock:
            jobs = self._program.jobs
            job = jobs.add(what, jobs.pool(pool, capacity))
            self._engine.changed()
            return job

    @contextmanager
    def job_runs(self, job: Job) -> Iterator[None]:
        """This thread runs `job`. The job stays in flight after the block, until its result is delivered."""
        with self._lock:
            self._program.threads.add_workers([threading.current_thread()])
            self._program.jobs.start(job, threading.get_ident())
            self._engine.changed()
        try:
            yield
        finally:
            with self._lock:
                job.ended = True
                if job.left:
                    self.job_finished(job)

    def job_left(self, job: Job) -> None:
        """Nobody waits for `job` any more: its result arrived, or it was abandoned and may still run."""
        with self._lock:
            if job.ident is None or job.ended:
                self.job_finished(job)
            else:
                job.left = True

    def job_finished(self, job: Job) -> None:
        """`job` is over and its result delivered."""
        with self._lock:
            self._program.jobs.finish(job)
            self._engine.changed()

    def pool_threads(self, threads: Iterable[threading.Thread]) -> None:
        """These threads are idle when they run no job."""
        with self._lock:
            self._program.threads.add_workers(list(threads))
