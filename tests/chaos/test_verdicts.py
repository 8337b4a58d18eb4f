"""Each word of a verdict, by the smallest agent that earns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_agent.errors import UsageError

Results = Callable[[], dict[str, dict[str, Any]]]

HEAD = """
    import pytest, agents, httpx
    from pytest_agent import call
"""


def words(result: dict[str, Any]) -> dict[str, str]:
    """Schedule to word."""
    return {run["schedule"]: run["verdict"] for run in result["runs"]}


def run_of(result: dict[str, Any], schedule: str) -> dict[str, Any]:
    """The run under one schedule."""
    return next(run for run in result["runs"] if run["schedule"] == schedule)


def test_survived_and_degraded(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_honest(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    found = words(results()["test_honest"])
    assert found["stream-clean-eof(after=0)@llm#1"] == "survived"
    assert found["reply-slow@tool:refund#1"] == "survived"
    # The SDK's error leaves the test: an honest failure, and no failure of the test.
    assert found["insufficient-quota@llm#1"] == "degraded"
    assert set(found.values()) == {"survived", "degraded"}
    run = run_of(results()["test_honest"], "insufficient-quota@llm#1")
    assert run["outcome"] == "failed"
    assert run["violations"] == []


@pytest.mark.parametrize("error", ["TypeError", "KeyError", "AttributeError", "RecursionError"])
def test_a_programming_error_that_a_fault_provokes_is_a_crash(
    project: pytest.Pytester, results: Results, error: str
) -> None:
    project.makepyfile(
        HEAD
        + f"""
    @pytest.mark.chaos(faults="reply-lost")
    def test_crashes(llm, sandbox):
        tools = agents.stock(llm, sandbox)
        try:
            agents.run("refund", tools, attempts=1)
        except TimeoutError:
            raise {error}("oops") from None

    @pytest.mark.chaos(faults="reply-lost")
    def test_has_a_cause(llm, sandbox):
        tools = agents.stock(llm, sandbox)
        try:
            agents.run("refund", tools, attempts=1)
        except TimeoutError as cause:
            raise {error}("oops") from cause
    """
    )
    project.runpytest("--chaos").assert_outcomes(failed=1, passed=1)
    run = run_of(results()["test_crashes"], "reply-lost@tool:refund#1")
    assert [violation["id"] for violation in run["violations"]] == ["I3"]
    assert run["violations"][0]["headline"].startswith(f"the agent crashed: {error}")
    assert run_of(results()["test_has_a_cause"], "reply-lost@tool:refund#1")["verdict"] == "degraded"


def test_not_applied_and_not_judged(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=["reply-lost", "insufficient-quota"])
    def test_one(llm, sandbox, clock):
        # In the clean run the effect comes after the answer; under a fault it does not come at all.
        tools = agents.stock(llm, sandbox)
        try:
            agents.careful([{"role": "user", "content": "hello"}])
        except agents.Refused:
            pytest.skip("no model, no test")
        agents.careful([{"role": "user", "content": "again"}])
        tools["refund"](order=7, amount=20, idempotency_key="k")

    @pytest.mark.chaos(faults="reply-lost")
    def test_site_is_gone(llm, sandbox, clock):
        llm.says("Hello.")
        sandbox.must_hold("all is well", lambda: True)
        agents.careful([{"role": "user", "content": "hello"}])

        @sandbox.tool("count", effect=True)
        def count():
            pass

        RUNS.append(1)
        if len(RUNS) == 1:
            sandbox.tools["count"]()

    RUNS = []
    """
    )
    result = project.runpytest("--chaos")
    assert words(results()["test_one"])["insufficient-quota@llm#1"] == "not judged"
    gone = words(results()["test_site_is_gone"])
    assert gone == dict.fromkeys(gone, "not applied")
    result.stdout.fnmatch_lines(["*test_site_is_gone: held in 0 of 3 runs, 3 not applied"])


def test_over_reaction_to_a_harmless_twin(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    class TooSlow(Exception):
        pass

    @pytest.mark.chaos(faults="reply-lost")
    def test_nervous(llm, sandbox, clock):
        agents.run("refund", agents.stock(llm, sandbox))
        if 1 < clock.elapsed_s < 10:
            raise TooSlow(f"{clock.elapsed_s:g} s")

    @pytest.mark.chaos(faults="reply-lost")
    def test_pessimist(llm, sandbox, run_agent):
        # What it claims in the clean run too is no reaction to anything.
        run_agent(agents.run, "refund", agents.stock(llm, sandbox), claims="partial")
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=1, passed=1)
    run = run_of(results()["test_nervous"], "reply-slow@tool:refund#1")
    assert [violation["name"] for violation in run["violations"]] == ["no over-reaction"]
    result.stdout.fnmatch_lines(["*no over-reaction: failed in the place of success, although nothing was wrong:*"])
    assert words(results()["test_pessimist"])["reply-slow@tool:refund#1"] == "degraded"


def test_must_recover(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults="stream-clean-eof", must_recover=True)
    def test_recovers(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    def once(messages):
        return agents.careful(messages, attempts=1)

    @pytest.mark.chaos(faults="stream-clean-eof")
    def test_need_not(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), once)

    @pytest.mark.chaos(faults="stream-clean-eof", must_recover=True)
    def test_must(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), once)
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=2, failed=1)
    found = results()
    assert set(words(found["test_recovers"]).values()) == {"survived"}
    assert "degraded" in words(found["test_need_not"]).values()
    assert {id_ for failure in found["test_must"]["failures"] for id_ in failure["ids"]} == {"I6"}


HANGS = """
    import asyncio

    @pytest.mark.chaos(faults="stream-stall")
    async def test_async(llm, sandbox):
        llm.says("Hello.")
        async with httpx.AsyncClient(timeout=None, verify=False) as client:
            async with client.stream("POST", agents.URL, json=agents.body_of([{"role": "user", "content": "x"}])) as r:
                async for line in r.aiter_lines():
                    pass

    @pytest.mark.chaos(faults="stream-stall")
    async def test_in_a_group(llm, sandbox):
        llm.says("Hello.")
        async def ask():
            async with httpx.AsyncClient(timeout=None, verify=False) as client:
                await client.post(agents.URL, json=agents.body_of([{"role": "user", "content": "x"}]))
        async with asyncio.TaskGroup() as group:
            group.create_task(ask())

    @pytest.mark.chaos(faults="stream-stall")
    def test_sync(llm, sandbox):
        llm.says("Hello.")
        with httpx.Client(timeout=None, verify=False) as client:
            client.post(agents.URL, json=agents.body_of([{"role": "user", "content": "x"}]))

    @pytest.mark.chaos(faults="stream-clean-eof")
    def test_runaway(llm, sandbox):
        llm.says("Hello.")
        said = []
        while said != ["Hello."]:
            text, _ = agents.careless([{"role": "user", "content": f"hello {len(said)}"}])
            said.append(text)

    @pytest.mark.chaos(faults="insufficient-quota")
    async def test_runaway_in_a_group(llm, sandbox):
        llm.says("Hello.")
        async def ask():
            number = 0
            while True:
                number += 1
                try:
                    await agents.acareful([{"role": "user", "content": f"hello {number}"}])
                    return
                except Exception:
                    pass
        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
"""


def test_what_does_not_end_is_ended_and_the_search_goes_on(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(HEAD + HANGS)
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=5)
    for name, found in results().items():
        runs = found["runs"]
        assert found["complete"], name
        ids = {v["id"] for run in runs for v in run["violations"]}
        assert ids == {"I4"} if "runaway" not in name else "I4" in ids, name
        # The last run of the search is a control or a later site, and it ran as always.
        assert runs[-1]["verdict"] == "survived" or name == "test_runaway_in_a_group", name
    said = [v["headline"] for f in results().values() for r in f["runs"] for v in r["violations"] if v["id"] == "I4"]
    assert {headline.partition(":")[0] for headline in said} == {"hung", "runaway"}


def test_an_assertion_in_a_task_group_is_an_assertion(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    import asyncio

    @pytest.mark.chaos(faults="reply-lost")
    async def test_group(llm, sandbox, clock):
        await agents.arun("refund", agents.stock(llm, sandbox))

        async def check():
            assert clock.elapsed_s < 20

        async with asyncio.TaskGroup() as group:
            group.create_task(check())

    @pytest.mark.chaos(faults="reply-lost")
    async def test_mistake(llm, sandbox, clock, run_agent):
        async def agent():
            await agents.arun("refund", agents.stock(llm, sandbox))
            async with asyncio.TaskGroup() as group:
                group.create_task(mistake())

        async def mistake():
            if clock.elapsed_s > 20:
                {}["key"]

        await run_agent(agent)
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=2)
    found = results()
    assert found["test_group"]["failures"][0]["ids"] == ["assertion"]
    assert found["test_mistake"]["failures"][0]["ids"] == ["I3"]


def test_a_surprise_on_the_network_under_a_fault(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    import socket

    @pytest.mark.chaos(faults="reply-lost")
    def test_fallback(llm, sandbox, clock):
        agents.run("refund", agents.stock(llm, sandbox))
        if clock.elapsed_s > 20:
            try:
                socket.create_connection(("api.fallback.example", 443))
            except OSError:
                pass
    """
    )
    project.runpytest("--chaos").assert_outcomes(failed=1)
    failure = results()["test_fallback"]["failures"][0]
    assert failure["ids"] == ["network"]
    assert failure["violations"][0]["text"].startswith("network by surprise: connection to api.fallback.example:443")


def test_an_odd_name_of_a_tool_can_be_replayed(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults="reply-lost")
    def test_odd(llm, sandbox):
        @sandbox.tool("pay back; (now) @ 7#1", effect=True)
        def tool():
            pass

        sandbox.tools["pay back; (now) @ 7#1"]()
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    schedules = list(words(results()["test_odd"]))
    assert len(schedules) == 3
    for schedule in schedules:
        project.runpytest("--chaos-replay", schedule).assert_outcomes(passed=1)
        assert words(results()["test_odd"]).keys() == {schedule}


def test_an_error_of_the_search_itself_fails_the_test_alone(
    project: pytest.Pytester, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise UsageError("site 'x' is not of the form of a site")

    monkeypatch.setattr("pytest_agent.chaos.search.observed.list_sites", refuse)
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_odd(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    def test_next():
        pass
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["site 'x' is not of the form of a site"])
    assert results()["test_odd"]["passed"] is False
