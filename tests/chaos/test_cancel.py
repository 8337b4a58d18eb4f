"""An agent that is cancelled at every boundary: what lives on is found, and one that stops cleanly is not blamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]

HEAD = """
    import asyncio, subprocess, socket, threading, time
    import pytest, agents
    from pytest_agent import call

    @pytest.fixture
    def refund(llm, sandbox):
        return agents.stock(llm, sandbox)

    @pytest.fixture
    def pay(sandbox):
        @sandbox.tool("pay", effect=True)
        async def pay(order):
            await asyncio.sleep(1)
            return "paid"

        return sandbox.tools["pay"]

    @pytest.fixture
    def ask(llm):
        llm.says("Yes.")

        async def ask():
            await agents.acareful([{"role": "user", "content": "shall I pay?"}])

        return ask

    cancelled = pytest.mark.chaos(faults="cancelled")
"""


def ids(result: dict[str, Any]) -> set[str]:
    return {violation["id"] for run in result["runs"] for violation in run["violations"]}


def headlines(result: dict[str, Any]) -> set[str]:
    return {violation["headline"] for run in result["runs"] for violation in run["violations"]}


def test_a_clean_agent_is_cancelled_at_every_boundary_and_holds(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @cancelled
    async def test_clean(ask, pay, run_agent):
        async def agent():
            await ask()
            async with asyncio.TaskGroup() as group:
                group.create_task(pay(order=7))
                group.create_task(asyncio.sleep(3))

        await run_agent(agent)
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    runs = {run["schedule"]: run for run in results()["test_clean"]["runs"]}
    assert set(runs) == {
        "cancelled@process@llm#1",
        "cancelled(when=answered)@process@llm#1",
        "cancelled(when=before-call)@process@tool:pay#1",
        "cancelled(when=after-effect)@process@tool:pay#1",
        "cancelled-too-late@process@llm#1",
    }
    control = runs.pop("cancelled-too-late@process@llm#1")
    assert (control["verdict"], control["outcome"]) == ("survived", "success")
    assert {(run["verdict"], run["outcome"], *run["not_judged"]) for run in runs.values()} == {
        ("degraded", "cancelled")
    }


PLANTED = {
    "a task in the background": (
        """
            asyncio.create_task(pays())
            await ask()
            await asyncio.sleep(2)
        """,
        {"pay(order=7) was begun after the task had been cancelled"},
    ),
    "a shielded call": (
        "await asyncio.shield(later())",
        {"pay(order=7) was begun after the task had been cancelled"},
    ),
    "a task that never ends": (
        """
            asyncio.create_task(asyncio.sleep(3600))
            await later()
        """,
        # In the clean run it lives on as well: that is a habit.
        set(),
    ),
    "a task that is ended where all goes well": (
        """
            ticking = asyncio.create_task(ticks())
            await later()
            ticking.cancel()
        """,
        {"the task ticks lives on after the task was cancelled"},
    ),
    "one that is ended in any case": (
        """
            ticking = asyncio.create_task(ticks())
            try:
                await later()
            finally:
                ticking.cancel()
        """,
        set(),
    ),
    "a thread": (
        """
            over = threading.Event()
            thread = threading.Thread(target=naps, args=(over,), name="pays on", daemon=True)
            thread.start()
            await later()
            over.set()
            thread.join()
        """,
        {"the thread pays on lives on after the task was cancelled"},
    ),
    "a child": (
        """
            child = subprocess.Popen(["sleep", "60"])
            started.append(child)
            await later()
            child.kill()
            child.wait()
        """,
        {"the child process sleep lives on after the task was cancelled"},
    ),
    "a socket": (
        """
            listening = socket.create_server(("127.0.0.1", 0))
            started.append(listening)
            await later()
            listening.close()
        """,
        {"the socket socket listening on 127.0.0.1:PORT lives on after the task was cancelled"},
    ),
    "one that tidies up": (
        """
            try:
                await later()
            except asyncio.CancelledError:
                release(order=7)
                raise
        """,
        set(),
    ),
    "one that pays all the same": (
        """
            try:
                await ask()
            except asyncio.CancelledError:
                pass
            await pay(order=7)
        """,
        {"pay(order=7) was begun after the task had been cancelled"},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_lives_on_after_a_cancel_is_found(project: pytest.Pytester, results: Results, name: str) -> None:
    body, expected = PLANTED[name]
    lines = "\n".join(f"            {line.strip(' ')}" if not line.startswith("  ") else line for line in [body])
    project.makepyfile(
        HEAD
        + """
    async def ticks():
        while True:
            await asyncio.sleep(60)

    def naps(over):
        while not over.is_set():
            time.sleep(0.5)

    @cancelled
    async def test_planted(ask, pay, sandbox, run_agent):
        started = []

        @sandbox.tool("release", effect=True)
        def release(order):
            return "released"

        release = sandbox.tools["release"]

        async def later():
            await ask()
            await asyncio.sleep(0.5)
            await pay(order=7)

        async def pays():
            await asyncio.sleep(1)
            await pay(order=7)

        async def agent():
"""
        + lines
        + """

        try:
            await run_agent(agent)
        finally:
            for what in started:
                getattr(what, "kill", what.close if hasattr(what, "close") else None)()
                getattr(what, "wait", lambda: None)()
    """
    )
    project.runpytest("--chaos")
    result = results()["test_planted"]
    assert result["complete"]
    found = headlines(result)
    if expected:
        assert found & expected, found
        assert ids(result) == {"I14"}
    else:
        assert found == set()


def test_a_sync_agent_is_not_cancelled(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @cancelled
    def test_sync(refund, run_agent):
        run_agent(agents.run, "refund", refund)
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    assert results()["test_sync"]["runs"] == []


def test_an_agent_that_swallows_the_cancel_and_does_nothing_more_is_not_blamed(
    project: pytest.Pytester, results: Results
) -> None:
    project.makepyfile(
        HEAD
        + """
    @cancelled
    async def test_answers(ask, pay, run_agent):
        class Answer:
            outcome = "cancelled"

        async def agent():
            try:
                await ask()
                await pay(order=7)
            except asyncio.CancelledError:
                return Answer

        await run_agent(agent)
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    outcomes = {run["outcome"] for run in results()["test_answers"]["runs"] if run["faults"] == ["cancelled"]}
    assert outcomes == {"cancelled"}
