"""Coroutine tests: whoever runs them, they run on virtual time, once and under faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]

BODY = """
    import asyncio, time
    import pytest, agents

    MARK
    async def test_hour(clock):
        began = time.monotonic()
        await asyncio.sleep(3600)
        assert time.monotonic() - began == pytest.approx(3600)
        assert clock.elapsed_s >= 3600

    MARK
    async def test_real(clock):
        assert type(asyncio.get_running_loop()).__name__ == "VirtualEventLoop"

    MARK
    @pytest.mark.chaos(faults=["reply-lost", "stream-stall"])
    async def test_refund(llm, sandbox):
        tools = agents.stock(llm, sandbox)
        assert await agents.arun("refund", tools) == "Refunded."

    class TestIn:
        MARK
        @pytest.mark.chaos(faults="reply-lost")
        @pytest.mark.parametrize("n", [1, 2])
        async def test_class(self, llm, sandbox, n):
            await agents.arun("refund", agents.stock(llm, sandbox))
"""
ASYNC_FIXTURES = """
    import FIXTURE_MODULE

    @FIXTURE_MODULE.fixture
    async def box(llm, clock):
        await asyncio.sleep(60)
        made.append(1)
        loops.append(asyncio.get_running_loop())
        yield made
        await asyncio.sleep(60)
        assert clock.elapsed_s >= 120
        made.append(-1)

    made, loops = [], []

    MARK
    @pytest.mark.chaos(faults="reply-lost")
    async def test_box(box, llm, sandbox):
        assert sum(box) == 1
        assert loops[-1] is asyncio.get_running_loop()
        await agents.arun("refund", agents.stock(llm, sandbox))

    def test_balance():
        assert len(made) % 2 == 0
        assert sum(made) == 0
"""
ANYIO = """
    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""
# Who runs the coroutine tests: what is put before each, the options, the plugins and where async fixtures come from.
WAYS = {
    "nobody": ("", ["-p", "no:asyncio", "-p", "no:anyio"], None),
    "asyncio strict, not marked": ("", [], None),
    "asyncio strict, marked": ("@pytest.mark.asyncio", [], "pytest_asyncio"),
    "asyncio auto": ("", ["--asyncio-mode=auto"], "pytest"),
    "anyio": ("@pytest.mark.anyio", ["-p", "no:asyncio"], "pytest"),
}


@pytest.mark.parametrize("options", [[], ["--chaos"]], ids=["clean", "chaos"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_virtual(project: pytest.Pytester, results: Results, way: str, options: list[str]) -> None:
    mark, more, fixtures = WAYS[way]
    text = BODY + (ANYIO if way == "anyio" else "")
    if fixtures is not None:
        text += ASYNC_FIXTURES.replace("FIXTURE_MODULE", fixtures)
    project.makepyfile(test_a=text.replace("    MARK\n", f"    {mark}\n"))
    if "no:asyncio" in more:
        ini = project.path / "tox.ini"
        ini.write_text(ini.read_text().replace("asyncio_default_fixture_loop_scope = function", ""))
    project.runpytest(*more, *options).assert_outcomes(passed=7 if fixtures else 5)
    if options:
        found = results()
        assert len(found) == (4 if fixtures else 3)
        assert {run["verdict"] for result in found.values() for run in result["runs"]} == {"survived"}
        assert all(result["complete"] and len(result["runs"]) >= 3 for result in found.values())


def test_a_loop_that_outlives_the_run_is_virtual_in_it(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        """
        import asyncio
        import pytest, pytest_asyncio, agents

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def wide():
            made.append(asyncio.get_running_loop())
            yield made[0]

        made = []

        @pytest.mark.asyncio(loop_scope="module")
        @pytest.mark.chaos(faults=["reply-lost", "stream-stall"])
        async def test_refund(wide, llm, sandbox, clock):
            assert asyncio.get_running_loop() is wide
            await asyncio.sleep(3600)
            assert clock.elapsed_s >= 3600
            await agents.arun("refund", agents.stock(llm, sandbox))

        def test_once():
            assert len(made) == 1
        """
    )
    project.runpytest("--chaos").assert_outcomes(passed=2)
    assert len(results()["test_refund"]["runs"]) > 10


def test_coroutines_without_our_fixtures_are_left_alone(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio, pytest

        async def test_nobodys():
            pass

        @pytest.mark.asyncio
        async def test_theirs():
            assert type(asyncio.get_running_loop()).__name__ != "VirtualEventLoop"
        """
    )
    # With the plugin as without it: pytest refuses the one, pytest-asyncio runs the other.
    for options in ([], ["-p", "no:pytest_agent", "-o", "addopts=-p no:cacheprovider -p no:randomly"]):
        result = project.runpytest(*options)
        result.assert_outcomes(failed=1, passed=1)
        result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_a_sync_test_that_runs_a_loop_itself(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        """
        import asyncio, time
        import pytest, agents

        @pytest.mark.chaos(faults=["reply-lost", "stream-stall"])
        def test_run(llm, sandbox, clock):
            tools = agents.stock(llm, sandbox)

            async def main():
                await asyncio.sleep(3600)
                return await agents.arun("refund", tools)

            assert asyncio.run(main()) == "Refunded."
            time.sleep(3600)
            assert clock.elapsed_s >= 7200
        """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    assert {run["verdict"] for run in results()["test_run"]["runs"]} == {"survived"}


def test_an_hour_of_back_off_is_free(project: pytest.Pytester) -> None:
    # Sixty sleeps of a minute; what the clock jumps over is counted, not measured with a real clock that drifts.
    project.makepyfile(
        """
        import asyncio, time

        async def test_async(clock):
            for _ in range(60):
                await asyncio.sleep(60)
            assert clock.elapsed_s == 3600
            assert clock.waits == []

        def test_sync(clock):
            for _ in range(60):
                time.sleep(60)
            assert clock.elapsed_s == 3600
            assert clock.waits == []
        """
    )
    project.runpytest().assert_outcomes(passed=2)


def test_the_fixtures_outside_chaos(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import agents, httpx
        from pytest_agent import call

        def test_refund(llm, sandbox, run_agent):
            assert run_agent(agents.run, "refund", agents.stock(llm, sandbox)) == "Refunded."
            assert sandbox.ledger.count("refund", order=7) == 1
            assert llm.calls == 2

        def test_the_next_has_its_own(llm, sandbox):
            assert llm.calls == 0
            assert len(sandbox.ledger) == 0

        def test_network(clock):
            try:
                httpx.get("https://example.com")
            except httpx.HTTPError:
                pass
        """
    )
    result = project.runpytest("--tb=short")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["GET https://example.com (httpx): *"])


def test_whoever_is_asked_first_leaves_it_to_its_owner(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        """
        import asyncio
        import pytest, pytest_asyncio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def theirs(llm, anyio_backend):
            yield asyncio.get_running_loop()

        @pytest.mark.anyio
        async def test_anyio(theirs):
            assert theirs is asyncio.get_running_loop()

        @pytest_asyncio.fixture
        async def its(llm):
            yield asyncio.get_running_loop()

        @pytest.mark.asyncio
        async def test_asyncio(its):
            assert its is asyncio.get_running_loop()

        async def test_ours(llm):
            assert type(asyncio.get_running_loop()).__name__ == "VirtualEventLoop"
        """
    )
    others = ("anyio.pytest_plugin", "pytest_asyncio.plugin")
    options = ["-o", "asyncio_default_fixture_loop_scope=function", "-W", "ignore::pytest.PytestDeprecationWarning"]
    # Among equals the plugin that was loaded last is asked first.
    for plugins in (("pytest_agent.plugin", *others), (*others, "pytest_agent.plugin")):
        fresh(*options, plugins=plugins).assert_outcomes(passed=3)
