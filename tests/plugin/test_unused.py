"""A test suite that does not use the plugin runs exactly as without it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_agent.plugin import _reaches_ours

SUITE = """
    import random, socket, time, uuid
    import pytest

    # Names that are ours too: a suite may have had them first.
    @pytest.fixture
    def clock():
        return time.monotonic

    @pytest.fixture
    def llm():
        return "a language model of the suite's own"

    @pytest.fixture(scope="session")
    def sandbox():
        return {}

    def test_real_time(clock, llm):
        began = clock()
        time.sleep(0.01)
        assert 0.01 <= clock() - began < 5
        assert abs(time.time() - uuid.uuid1().time / 1e7 + 12219292800) < 5

    def test_nothing_is_patched(sandbox):
        assert time.sleep.__module__ == "time"
        assert "pytest_agent" not in socket.socket.connect.__qualname__
        assert socket.socket.connect.__objclass__.__module__ == "_socket"

    @pytest.mark.chaos("kill", pods=3)
    def test_a_mark_of_that_name_was_here_first(sandbox):
        pass

    def test_fails():
        local = 1
        assert local == 2

    @pytest.mark.xfail
    def test_expected():
        assert False

    def test_skipped():
        pytest.skip("not today")

    @pytest.fixture
    def broken():
        raise OSError("no")

    def test_error(broken):
        pass

    class TestClass:
        @pytest.mark.parametrize("n", [1, 2])
        def test_method(self, n):
            print("said", n)
            assert n
"""


def without_times(result: pytest.RunResult) -> list[str]:
    """What was printed, without durations and the header of versions and plugins."""
    text = re.sub(r"in \d+\.\d+s", "in N s", result.stdout.str())
    return [line for line in text.splitlines() if not line.startswith(("platform ", "plugins: ", "rootdir: "))]


@pytest.mark.parametrize("options", [[], ["-v", "-l", "-rA"], ["-n", "1"]], ids=" ".join)
def test_same_output_and_no_trace_of_the_plugin(
    project: pytest.Pytester, fresh: Callable[..., pytest.RunResult], options: list[str]
) -> None:
    project.makepyfile(test_suite=SUITE)
    given = ["-W", "ignore::pytest.PytestUnknownMarkWarning", *options]
    others = ("xdist",) if "-n" in options else ()
    with_it = fresh(*given, plugins=("pytest_agent.plugin", *others))
    assert not (project.path / ".pytest_agent").exists()
    without = fresh(*given, plugins=others)
    assert with_it.parseoutcomes() == {"passed": 5, "failed": 1, "xfailed": 1, "skipped": 1, "errors": 1}
    assert without_times(with_it) == without_times(without)
    assert with_it.ret == without.ret == 1


def test_chaos_asked_for_and_nobody_uses_it(project: pytest.Pytester) -> None:
    project.makepyfile(test_suite=SUITE)
    result = project.runpytest("--chaos", "-W", "ignore::pytest.PytestUnknownMarkWarning")
    result.assert_outcomes(passed=5, failed=1, xfailed=1, skipped=1, errors=1)
    result.stdout.no_fnmatch_line("*= chaos =*")
    assert not (project.path / ".pytest_agent").exists()


@pytest.mark.parametrize("options", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_loading_it_imports_next_to_nothing(
    project: pytest.Pytester, fresh: Callable[..., pytest.RunResult], options: list[str]
) -> None:
    project.makepyfile(test_nothing="def test_nothing(): pass")
    project.makeconftest(
        """
        import json, pathlib, sys

        def pytest_unconfigure(config):
            if not hasattr(config, "workerinput"):
                pathlib.Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
        """
    )
    found = []
    others = ("xdist",) if options else ()
    for ours in (("pytest_agent.plugin",), ()):
        fresh(*options, plugins=(*ours, *others)).assert_outcomes(passed=1)
        found.append(set(json.loads((project.path / "modules.json").read_text())))
    extra = found[0] - found[1]
    assert "pytest_agent.plugin" in extra
    assert len(extra) <= 20, sorted(extra)
    heavy = ("hypothesis", "httpx", "httpx2", "pydantic", "yaml", "respx", "openai", "asyncio", "agentfsm")
    assert not {name for name in extra if name.partition(".")[0] in heavy}


def test_the_door_is_lazy(project: pytest.Pytester) -> None:
    script = project.makepyfile(
        door="""
        import sys
        import pytest_agent
        before = {name for name in sys.modules if name.startswith("pytest_agent")}
        assert before == {"pytest_agent"}, before
        assert pytest_agent.call("a", b=1).name == "a"
        for name in pytest_agent.__all__:
            assert getattr(pytest_agent, name) is not None
        try:
            pytest_agent.Sandbos
        except AttributeError as error:
            print(error)
        """
    )
    project.runpython(script).stdout.fnmatch_lines(["*no attribute 'Sandbos'*"])


def test_a_fixture_of_ours_that_is_overridden_and_asked_for_is_used(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import time
        import pytest

        @pytest.fixture
        def clock(clock):
            clock.advance(3600)
            return clock

        def test_hour(clock):
            assert clock.elapsed_s == 3600
            time.sleep(60)
            assert clock.elapsed_s == 3660
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_asking_too_late_is_told(project: pytest.Pytester) -> None:
    project.makepyfile("def test_late(request): request.getfixturevalue('llm')")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*request.getfixturevalue(); make them arguments of the test*"])


@pytest.mark.parametrize(
    ("chain", "ours"),
    [
        (["pytest_agent.plugin"], True),
        (["pytest_agent.plugin", "conftest"], False),
        (["pytest_agent.plugin", "conftest asks"], True),
        (["pytest_agent.plugin", "conftest asks", "test_a asks"], True),
        (["pytest_agent.plugin", "conftest", "test_a asks"], False),
        (["conftest asks"], False),
        ([], False),
    ],
)
def test_whose_fixture_it_is(chain: list[str], ours: bool) -> None:
    # Older versions of pytest do not list what an overridden fixture needs, so it is worked out here.
    definitions: Any = [
        SimpleNamespace(func=SimpleNamespace(__module__=module), argnames=("llm",) if asks else ())
        for module, _, asks in (text.partition(" ") for text in chain)
    ]
    assert _reaches_ours("llm", definitions) is ours
