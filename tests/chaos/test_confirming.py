"""A failure is replayed in a fresh process: what is said of one that fails there, and of one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.search.failure import Confirmed

Results = Callable[[], dict[str, dict[str, Any]]]

HEAD = """
    import os, pathlib, signal, sys
    import pytest, agents

    HERE = pathlib.Path(__file__).parent
    FRESH = any(word.startswith("--chaos-answers") for word in sys.argv)

    def pay(llm, sandbox, keys=False):
        agents.run("refund", agents.stock(llm, sandbox), keys=keys)
"""
# So much starts faster that there are a dozen processes here.
QUICK = ("-c", "quick.ini", "--rootdir", ".", "-p", "pytest_agent.plugin", "--chaos", "-q")


@pytest.fixture
def searched(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Search in a process of its own that confirms what it finds, with few plugins."""
    (project.path / "quick.ini").write_text("[pytest]\nfilterwarnings = error\nmarkers = xdist_group\n")

    def run(*words: str) -> pytest.RunResult:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return project.runpytest_subprocess(*QUICK, *words)

    return run


def confirmed(results: Results) -> dict[str, dict[str, Any]]:
    """What became of the first failure of each test."""
    return {name: result["failures"][0]["confirmed"] for name, result in results().items() if result["failures"]}


def test_what_fails_each_time_what_is_flaky_and_what_never_fails_again(
    project: pytest.Pytester, results: Results, searched: Callable[..., pytest.RunResult]
) -> None:
    project.makepyfile(
        test_a=HEAD
        + """
    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    class TestAll:
        def test_each_time(self, llm, sandbox):
            pay(llm, sandbox)

        @pytest.mark.parametrize("name", ["a [b]"])
        def test_by_name(self, llm, sandbox, name):
            pay(llm, sandbox)

        def test_flaky(self, llm, sandbox, run_agent):
            # In the fresh process the clean run, two that fail, one that holds, and the last.
            RUNS.append(1)
            pay(llm, sandbox, keys=FRESH and len(RUNS) == 4)

        def test_of_this_session(self, llm, sandbox):
            pay(llm, sandbox, keys=FRESH)

        def test_holds(self, llm, sandbox):
            pay(llm, sandbox, keys=True)
    """
    )
    result = searched("-p", "no:cacheprovider")
    result.assert_outcomes(failed=4, passed=1)
    each = {"failed": 3, "of": 3, "said": "fails in 3 of 3 fresh replays"}
    assert confirmed(results) == {
        "test_each_time": each,
        "test_by_name[a [b]]": each,
        "test_flaky": {"failed": 2, "of": 3, "said": "fails in 2 of 3 fresh replays: flaky"},
        "test_of_this_session": {
            "failed": 0,
            "of": 3,
            "said": "fails in 0 of 3 fresh replays: it depends on state of the session that searched",
        },
    }
    result.stdout.fnmatch_lines(
        ["  fails in 2 of 3 fresh replays: flaky", "  confirmed: fails in 3 of 3 fresh replays"]
    )
    # Nothing of the fresh processes is there: no second folder, no trace of theirs, no cache.
    assert sorted(path.name for path in project.path.iterdir() if path.name.startswith(".pytest")) == [".pytest_agent"]
    (trace,) = (project.path / ".pytest_agent" / "traces").glob("*test_each_time*")
    runs = [line for line in trace.read_text().splitlines() if json.loads(line)["kind"] == "run_started"]
    assert len(runs) == 2 + len(results()["test_each_time"]["runs"]) + 1


def test_the_same_test_is_found_whatever_the_session_was_started_with(
    project: pytest.Pytester, results: Results, searched: Callable[..., pytest.RunResult]
) -> None:
    deep = project.path / "deep"
    deep.mkdir()
    (deep / "conftest.py").write_text(
        "import pytest\npytest_plugins = []\n\n@pytest.fixture\ndef keys():\n    return False\n"
    )
    (deep / "extra_plugin.py").write_text("import pytest\n\n@pytest.fixture\ndef extra():\n    return 1\n")
    (project.path / "quick.ini").write_text(
        "[pytest]\nfilterwarnings = error\nmarkers = xdist_group\npythonpath = . deep\n"
        "addopts = --junitxml=junit.xml --log-file=log.txt --lf --basetemp=base\nagent_scenarios = deep\n"
    )
    (deep / "test_a.py").write_text(
        "import pytest, agents\n\n@pytest.mark.chaos(faults='reply-lost')\n"
        "def test_one(llm, sandbox, keys, extra, tmp_path):\n"
        "    agents.run('refund', agents.stock(llm, sandbox), keys=keys)\n"
    )
    shipped = Path(__file__).parents[2] / "scenarios" / "support_refund.yaml"
    (deep / "one.yaml").write_text(
        shipped.read_text().replace("idempotent: true", "idempotent: false") + "faults: [reply-lost]\n"
    )
    searched("-p", "extra_plugin", "-o", "console_output_style=classic", "deep").assert_outcomes(failed=2)
    assert {name: found["failed"] for name, found in confirmed(results).items()} == {"test_one": 3, "one": 3}
    # What the session itself writes is its own.
    assert (project.path / "junit.xml").read_text().count("<testcase") == 2


def test_in_a_worker(project: pytest.Pytester, results: Results, searched: Callable[..., pytest.RunResult]) -> None:
    project.makepyfile(
        test_a=HEAD
        + """
    @pytest.mark.xdist_group("one")
    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        assert "PYTEST_XDIST_WORKER" in os.environ or FRESH
        assert "PYTEST_XDIST_WORKER" not in os.environ or not FRESH
        pay(llm, sandbox)
    """
    )
    searched("-p", "xdist", "-n", "1", "--dist", "loadgroup").assert_outcomes(failed=1)
    assert confirmed(results)["test_one"]["failed"] == 3
    assert {path.name for path in project.path.glob(".pytest_agent*")} == {".pytest_agent"}


def test_a_process_that_dies_there_and_one_that_cannot_even_start(
    project: pytest.Pytester, results: Results, searched: Callable[..., pytest.RunResult]
) -> None:
    project.makepyfile(
        test_a=HEAD
        + """
    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    def test_dies(llm, sandbox):
        RUNS.append(1)
        if FRESH and len(RUNS) == 3:
            os._exit(3)
        pay(llm, sandbox)

    @pytest.mark.chaos(faults="reply-lost")
    def test_fails_there(llm, sandbox):
        assert not FRESH
        pay(llm, sandbox)

    if not FRESH or "test_dies" in str(sys.argv) or "test_fails_there" in str(sys.argv):
        @pytest.mark.chaos(faults="reply-lost")
        def test_is_not_there(llm, sandbox):
            pay(llm, sandbox)
    """
    )
    searched("--chaos-confirm", "2").assert_outcomes(failed=3)
    found = confirmed(results)
    # The first replay fails as it did, the second takes the process with it.
    assert found["test_dies"]["said"] == "fails in 1 of 2 fresh replays: flaky"
    assert found["test_fails_there"]["said"] == (
        "could not be replayed in a fresh process: the test does not pass there without faults"
    )
    assert found["test_is_not_there"]["said"].startswith(
        "could not be replayed in a fresh process: it ended with exit code 4: ERROR: not found:"
    )


def test_what_is_said() -> None:
    assert str(Confirmed(1, 2, "it was not done after 60 s")) == (
        "fails in 1 of 2 fresh replays: flaky; further ones could not be made: it was not done after 60 s"
    )
    assert not Confirmed(3, 3).is_flaky
