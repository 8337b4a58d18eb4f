"""Real work in flight, counted. A job that waits for a free worker is not at work."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from weakref import WeakKeyDictionary


class Job:
    """One piece of real work. `ident` is the thread that runs it, None before it runs or for `Clock.busy`."""

    __slots__ = ("ended", "ident", "left", "pool", "what")

    def __init__(self, what: str, pool: Pool | None) -> None:
        self.what = what
        self.pool = pool
        self.ident: int | None = None
        self.ended = False  # its function returned; the result may be on its way
        self.left = False  # nobody waits for it any more


class Pool:
    """Workers that share a queue: an executor, or a limiter of worker threads."""

    def __init__(self, capacity: Callable[[], float]) -> None:
        self.capacity = capacity
        self.queued: dict[Job, None] = {}
        self.running: dict[Job, None] = {}


class Jobs:
    """All work in flight. The caller holds the clock's lock."""

    def __init__(self) -> None:
        self._jobs: dict[Job, None] = {}
        self._pools: WeakKeyDictionary[object, Pool] = WeakKeyDictionary()

    def pool(self, owner: object, capacity: Callable[[], float]) -> Pool:
        """The pool of `owner`, an executor or a limiter; `capacity` tells how many jobs it runs at once."""
        pool = self._pools.get(owner)
        if pool is None:
            pool = self._pools[owner] = Pool(capacity)
        return pool

    def add(self, what: str, pool: Pool | None = None) -> Job:
        """Count a job: in the queue of `pool`, or at work at once when there is none."""
        job = Job(what, pool)
        self._jobs[job] = None
        if pool is not None:
            pool.queued[job] = None
        return job

    def start(self, job: Job, ident: int) -> None:
        """`job` left the queue: thread `ident` runs it."""
        job.ident = ident
        if job.pool is not None and job in self._jobs:
            job.pool.queued.pop(job, None)
            job.pool.running[job] = None

    def finish(self, job: Job) -> None:
        """`job` is over and its result delivered. Twice does no harm."""
        self._jobs.pop(job, None)
        if job.pool is not None:
            job.pool.queued.pop(job, None)
            job.pool.running.pop(job, None)

    def idents(self) -> set[int]:
        """The threads that run a job."""
        return {job.ident for job in self._jobs if job.ident is not None}

    def at_work(self, waiting: Container[int]) -> list[Job]:
        """The jobs that do something now: not those whose thread is `waiting`, nor those without a worker."""
        if not self._jobs:
            return []
        found = []
        free: dict[Pool, float] = {}
        for job in self._jobs:
            if job.ident is not None:
                if job.ident not in waiting:
                    found.append(job)
            elif job.pool is None:
                found.append(job)
            else:
                left = free.get(job.pool)
                if left is None:
                    left = job.pool.capacity() - len(job.pool.running)
                free[job.pool] = left - 1
                if left > 0:
                    found.append(job)
        return found


def unbounded() -> float:
    """The capacity of a pool that says nothing about it: every job is taken at once."""
    return math.inf
