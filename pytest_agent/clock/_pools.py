"""Counts the jobs of thread pools: `ThreadPoolExecutor` (so `asyncio.to_thread` too) and anyio's workers."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_agent.clock._active import active
from pytest_agent.clock._jobs import Job, unbounded

if TYPE_CHECKING:
    from pytest_agent.clock._inside import Inside

real_submit = ThreadPoolExecutor.submit


def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """`ThreadPoolExecutor.submit`, counted while a clock is installed."""
    clock = active()
    if clock is None:
        return real_submit(self, fn, *args, **kwargs)
    inside = clock.inside
    size = getattr(self, "_max_workers", None)
    job = inside.job_submitted(_name(fn), self, (lambda: size) if size else unbounded)
    # The worker must not deliver before the future tells us of it.
    gate = threading.Lock()
    gate.acquire()

    def run(*args: Any, **kwargs: Any) -> Any:
        with gate, inside.job_runs(job):
            return fn(*args, **kwargs)

    try:
        future = real_submit(self, run, *args, **kwargs)
        _finish_when_delivered(future, inside, job)
    except BaseException:
        inside.job_finished(job)
        raise
    finally:
        gate.release()
    inside.pool_threads(getattr(self, "_threads", ()))
    return future


def _finish_when_delivered(future: Future[Any], inside: Inside, job: Job) -> None:
    # `add_done_callback` would be too early: asyncio's own callback comes after it, and until that has run
    # the loop knows nothing of the result, and would jump. So the job ends when `set_result` returns.
    def deliver(method: str, value: Any) -> None:
        vars(future).pop("set_result", None)
        vars(future).pop("set_exception", None)
        try:
            getattr(future, method)(value)
        finally:
            inside.job_finished(job)

    vars(future)["set_result"] = lambda result: deliver("set_result", result)
    vars(future)["set_exception"] = lambda exception: deliver("set_exception", exception)

    def cancelled(future: Future[Any]) -> None:
        if future.cancelled():
            vars(future).pop("set_result", None)
            vars(future).pop("set_exception", None)
            inside.job_finished(job)

    future.add_done_callback(cancelled)


def anyio_stand_in(to_thread: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The `run_sync` of the module `anyio.to_thread`, and its counted form. We do not import anyio ourselves."""
    real_run_sync: Callable[..., Awaitable[Any]] = to_thread.run_sync

    async def run_sync(func: Callable[..., Any], *args: Any, limiter: Any = None, **options: Any) -> Any:
        clock = active()
        if clock is None:
            return await real_run_sync(func, *args, limiter=limiter, **options)
        inside = clock.inside
        shared = limiter if limiter is not None else to_thread.current_default_thread_limiter()
        job = inside.job_submitted(_name(func), shared, lambda: shared.total_tokens)

        def run(*args: Any) -> Any:
            with inside.job_runs(job):
                return func(*args)

        try:
            return await real_run_sync(run, *args, limiter=limiter, **options)
        finally:
            # The result is delivered when the task has it; a job that was abandoned ends with its function.
            inside.job_left(job)

    return real_run_sync, run_sync


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)
