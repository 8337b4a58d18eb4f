"""`run_agent`: any way of writing an agent, what it claims, and agents that are started again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_agent.adapters.groups import heart
from pytest_agent.adapters.runner import MAX_LIVES, AgentRunner, RestartableAgent
from pytest_agent.errors import ProcessDied, RunAbort, UsageError
from pytest_agent.faults.seams import Seams
from pytest_agent.trace import AgentStarted, OutcomeClaimed, Trace

Results = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def trace() -> Trace:
    return Trace(SimpleNamespace(elapsed_s=0.0))


@pytest.fixture
def run_agent_here(trace: Trace) -> AgentRunner:
    return AgentRunner(Seams(trace))


def claims(trace: Trace) -> list[tuple[str, str]]:
    """What was claimed: outcome and detail."""
    return [(event.outcome, event.detail) for event in trace.of(OutcomeClaimed)]


def sync_agent(task: str, *, end: str = "") -> str:
    return task + end


async def async_agent(task: str, *, end: str = "") -> str:
    await asyncio.sleep(0)
    return task + end


class Sync:
    def __call__(self, task: str, *, end: str = "") -> str:
        return task + end


class Async:
    async def __call__(self, task: str, *, end: str = "") -> str:
        return task + end

    async def method(self, task: str, *, end: str = "") -> str:
        return task + end


@pytest.mark.parametrize(
    "agent",
    [
        sync_agent,
        Sync(),
        Sync().__call__,
        functools.partial(sync_agent),
        async_agent,
        Async(),
        Async().method,
        functools.partial(async_agent),
        functools.partial(functools.partial(async_agent)),
        functools.partial(Async()),
        lambda task, end: async_agent(task, end=end),
    ],
    ids=range(11),
)
def test_every_kind_of_callable(run_agent_here: AgentRunner, trace: Trace, agent: Any) -> None:
    result = run_agent_here(agent, "do", end="ne")
    if asyncio.iscoroutine(result):
        result = asyncio.run(result)
    assert result == "done"
    assert claims(trace) == [("success", "'done'")]
    assert [event.life for event in trace.of(AgentStarted)] == [1]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_it_raises_is_a_failure_and_raised_again(run_agent_here: AgentRunner, trace: Trace, kind: str) -> None:
    def agent() -> None:
        raise OSError("gone")

    async def aagent() -> None:
        agent()

    ways: dict[str, Callable[[], Any]] = {
        "sync": lambda: run_agent_here(agent),
        "async": lambda: asyncio.run(run_agent_here(aagent)),
    }
    with pytest.raises(OSError, match="gone"):
        ways[kind]()
    assert claims(trace) == [("failed", "OSError: gone")]


def test_an_object_with_an_outcome_is_taken_at_its_word(run_agent_here: AgentRunner, trace: Trace) -> None:
    run_agent_here(lambda: SimpleNamespace(outcome="limit", cause="budget"))
    (claim,) = trace.of(OutcomeClaimed)
    assert (claim.outcome, claim.cause) == ("limit", "budget")


def test_claims_says_otherwise(run_agent_here: AgentRunner, trace: Trace) -> None:
    run_agent_here(sync_agent, "x", claims="partial")
    asyncio.run(run_agent_here(async_agent, "x", claims="unknown"))
    assert [outcome for outcome, _ in claims(trace)] == ["partial", "unknown"]


def test_a_claim_that_is_no_outcome_is_refused_before_anything_runs(run_agent_here: AgentRunner) -> None:
    ran = []
    with pytest.raises(UsageError, match=r"unknown outcome 'sucess'\. Did you mean 'success'\?"):
        run_agent_here(ran.append, 1, claims="sucess")
    assert ran == []


def test_what_is_no_agent(run_agent_here: AgentRunner) -> None:
    with pytest.raises(TypeError, match="'agent' is not an agent: expected a callable, such as"):
        run_agent_here("agent")

    async def stream():  # type: ignore[no-untyped-def]
        yield "word"

    with pytest.raises(TypeError, match="returned async_generator, and has not run yet; wrap it in a function"):
        run_agent_here(stream)
    with pytest.raises(TypeError, match="returned generator"):
        run_agent_here(lambda: (word for word in ()))


class Mortal:
    """Dies in each of its first lives."""

    def __init__(self, deaths: int, *, error: BaseException | None = None) -> None:
        self.deaths = deaths
        self.error = error
        self.lives: list[str] = []

    def describe(self) -> dict[str, Any]:
        return {"lives": len(self.lives)}

    async def start(self, seams: Seams, *args: Any) -> Any:
        return await self._live(seams, f"start {args}")

    async def resume(self, seams: Seams) -> Any:
        return await self._live(seams, "resume")

    async def _live(self, seams: Seams, how: str) -> str:
        self.lives.append(how)
        if len(self.lives) <= self.deaths:
            seams.dead = True
            raise self.error or ProcessDied("here")
        return "done"


@pytest.mark.parametrize(
    "error", [None, BaseExceptionGroup("tasks", [ProcessDied("here")]), RuntimeError("what it made of it")], ids=repr
)
def test_it_is_started_again_until_its_task_ends(
    run_agent_here: AgentRunner, trace: Trace, error: BaseException | None
) -> None:
    agent = Mortal(3, error=error)
    assert isinstance(agent, RestartableAgent)
    assert asyncio.run(run_agent_here(agent, "task")) == "done"
    assert agent.lives == ["start ('task',)", "resume", "resume", "resume"]
    assert [event.life for event in trace.of(AgentStarted)] == [1, 2, 3, 4]
    assert claims(trace) == [("success", "'done'")]


def test_it_is_not_started_for_ever(run_agent_here: AgentRunner) -> None:
    agent = Mortal(1000)
    with pytest.raises(RunAbort, match="runaway: the agent was started 20 times"):
        asyncio.run(run_agent_here(agent))
    assert len(agent.lives) == MAX_LIVES


def test_an_error_of_a_living_agent_is_its_own(run_agent_here: AgentRunner, trace: Trace) -> None:
    class Failing(Mortal):
        async def _live(self, seams: Seams, how: str) -> str:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(run_agent_here(Failing(0)))
    assert claims(trace) == [("failed", "OSError: gone")]


def test_keywords_for_a_restartable_agent_are_refused(run_agent_here: AgentRunner) -> None:
    with pytest.raises(TypeError, match="positional arguments, found order="):
        run_agent_here(Mortal(0), order=7)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ([OSError("a"), KeyError("k")], KeyError),
        ([KeyError("k"), AssertionError("no")], AssertionError),
        ([AssertionError("no"), RunAbort("hung", "x"), KeyError("k")], RunAbort),
        ([OSError("first"), OSError("second")], OSError),
    ],
)
def test_the_heart_of_a_group(inside: list[BaseException], expected: type[BaseException]) -> None:
    group = BaseExceptionGroup("outer", [BaseExceptionGroup("inner", inside)])
    found = heart(group)
    assert type(found) is expected
    assert found is next(error for error in inside if type(error) is expected)
    assert heart(inside[0]) is inside[0]


REFUND = Path(__file__).parents[1] / "examples" / "test_refund_agent.py"


def test_a_crash_at_every_commit_leaves_one_refund(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        test_a=REFUND.read_text()
        .replace("must_recover=True", "must_recover=True, faults='crash-around-commit'")
        .replace('count("payments.refund") <= 1', 'count("payments.refund") == 1')
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    (found,) = results().values()
    crashes = [run for run in found["runs"] if run["faults"] == ["crash-around-commit"]]
    commits = {run["schedule"].rpartition("@")[2].partition(".")[0] for run in crashes}
    assert len(commits) >= 5
    assert len(crashes) == 2 * len(commits)
    assert {run["verdict"] for run in found["runs"]} == {"survived"}
    assert [run["schedule"] for run in found["runs"] if run["faults"] == ["restart-after-end"]] == [
        f"restart-after-end@process@store:commit#{len(commits)}.after"
    ]
