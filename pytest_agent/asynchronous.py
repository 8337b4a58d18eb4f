"""Run a coroutine test on a virtual event loop where no async plugin claims it."""

from __future__ import annotations

import asyncio

import pytest

from pytest_agent.clock import VirtualEventLoop


def run_coroutine_test(item: pytest.Function) -> bool | None:
    """Run the test and return True, or None where pytest-asyncio or anyio has it.

    Their loops are virtual too: while a test runs, every new event loop of the process is.
    """
    if type(item).__module__.startswith("pytest_asyncio") or item.funcargs.get("anyio_backend") is not None:
        return None
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(item.obj(**arguments))
    return True
