"""What a failing test looks like, how it is replayed, and what the marks and options refuse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]

HEAD = """
    import json, pathlib
    import pytest, agents
    from pytest_agent import call

    LOG = pathlib.Path(__file__).with_name("log.jsonl")

    def log(*words):
        with LOG.open("a") as file:
            file.write(json.dumps(words) + chr(10))
"""

DUPLICATES = (
    HEAD
    + """
    @pytest.mark.chaos(faults="reply-lost")
    def test_paid_once(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)
"""
)
NAIVE = Path(__file__).parents[1] / "examples" / "test_naive_agent.py"


def replay_lines(result: pytest.RunResult) -> list[str]:
    """The commands that a session printed, each once."""
    return list(dict.fromkeys(re.findall(r"replay: (pytest .*)", result.stdout.str())))


def test_headline_fewest_faults_and_replay_line(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=DUPLICATES)
    result = project.runpytest("--chaos", "-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "I1 no duplicate effect: refund(amount=20, order=7) committed twice",
            "  fewest faults: reply-lost at tool:refund#1",
            "  replay: pytest test_a.py::test_paid_once --chaos-replay 'reply-lost@tool:refund#1'",
            "*BROKEN test_a.py::test_paid_once*",
            "FAILED test_a.py::test_paid_once - I1 no duplicate effect: *",
        ]
    )
    # The agent is to blame: no traceback through anybody's inside.
    result.stdout.no_fnmatch_line("*phases.py*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_naive_agent_breaks_in_four_ways_and_each_line_replays(
    project: pytest.Pytester, results: Results, fresh: Fresh
) -> None:
    project.makepyfile(test_naive=NAIVE.read_text())
    result = project.runpytest("--chaos")
    result.assert_outcomes(xfailed=1)
    failures = results()["test_naive_agent"]["failures"]
    assert sorted({failure["replay"] for failure in failures}) == sorted(replay_lines(result))
    # One line for each invariant: the catalogue is long, and a fresh process with the SDK takes its time.
    lines: dict[str, list[str]] = {}
    for failure in failures:
        if not set(failure["ids"]) <= {id_ for ids in lines.values() for id_ in ids}:
            lines[failure["replay"]] = failure["ids"]
    assert len({id_ for ids in lines.values() for id_ in ids}) >= 4
    for line, ids in lines.items():
        command, *arguments = shlex.split(line)
        assert command == "pytest"
        again = fresh(*arguments)
        assert again.ret == 1
        again.assert_outcomes(failed=1)
        assert results()["test_naive_agent"]["runs"][0]["violations"] != []
        assert results()["test_naive_agent"]["failures"][0]["ids"] == ids, line


def test_a_line_is_good_in_the_folder_where_it_was_printed(project: pytest.Pytester, fresh: Fresh) -> None:
    project.mkpydir("deep")
    (project.path / "deep" / "test_a.py").write_text(
        "import sys; sys.path.insert(0, '..')\n" + "\n".join(line[4:] for line in DUPLICATES.splitlines())
    )
    project.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path / "deep")
        result = project.runpytest("--chaos", "--chaos-seed", "3")
        lines = replay_lines(result)
        assert lines == [
            "pytest test_a.py::test_paid_once --chaos-replay 'reply-lost@tool:refund#1' --chaos-seed 3",
        ]
        again = project.runpytest(*shlex.split(lines[0])[1:])
        again.stdout.fnmatch_lines(["I1 no duplicate effect:*"])
        assert again.ret == 1


def test_locals_of_the_failing_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        RUNS.append(1)
        tools = agents.stock(llm, sandbox)
        agents.run("refund", tools, keys=False)
        committed = sandbox.ledger.count("refund")
        run_number = len(RUNS)
        assert committed == 1
    """
    )
    for options in (["-l"], ["-l", "--tb=short"], ["-vv", "--showlocals"]):
        result = project.runpytest("--chaos", *options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "E  *assert 2 == 1",
                "E  *I1 no duplicate effect: refund(amount=20, order=7) committed twice",
                "E  *replay: pytest *",
                "*committed  = 2",
                # The clean one, three schedules, and the last one.
                "*run_number = 6",
            ],
            consecutive=False,
        )
        result.stdout.no_fnmatch_line("*phases.py*")


@pytest.mark.parametrize(
    "options", [["-q"], ["-v"], ["-s"], ["--tb=line"], ["--tb=no"], ["--tb=native"], ["-rA"], ["--setup-show"]], ids=str
)
def test_ways_of_printing(project: pytest.Pytester, options: list[str]) -> None:
    project.makepyfile(test_a=DUPLICATES)
    result = project.runpytest("--chaos", *options)
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAILED test_a.py::test_paid_once - I1 no duplicate effect: *"])
    if "--setup-show" in options:
        # The set-up of the last run, and not that of every probe.
        assert result.stdout.str().count("SETUP    F sandbox") == 1
    if "-v" in options:
        result.stdout.fnmatch_lines(["test_a.py::test_paid_once FAILED*"])


def test_collect_only_setup_only_and_no_terminal(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(test_a=DUPLICATES)
    listed = project.runpytest("--chaos", "--co", "-q")
    listed.stdout.fnmatch_lines(["test_a.py::test_paid_once"])
    assert not (project.path / ".pytest_agent").exists()
    for option in ("--setup-only", "--setup-plan"):
        project.runpytest("--chaos", option).assert_outcomes()
        assert results() == {}
    assert project.runpytest("--chaos", "-p", "no:terminal").ret == 1
    assert results()["test_paid_once"]["passed"] is False


def test_junit(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a=DUPLICATES
        + """
    @pytest.mark.chaos(faults="reply-lost", expect_failure="on purpose")
    def test_expected(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)
    """
    )
    project.runpytest("--chaos", "--junitxml=out.xml")
    text = (project.path / "out.xml").read_text()
    assert 'tests="2"' in text
    assert 'failures="1"' in text
    assert 'skipped="1"' in text
    assert 'message="I1 no duplicate effect: refund(amount=20, order=7) committed twice' in text
    assert "--chaos-replay" in text


def test_k_lf_x_and_maxfail(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a=DUPLICATES
        + """
    @pytest.mark.chaos(faults="reply-lost")
    def test_second(llm, sandbox):
        log("second")
        agents.run("refund", agents.stock(llm, sandbox), keys=False)

    @pytest.mark.chaos(faults="reply-lost")
    def test_third(llm, sandbox):
        log("third")
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    (project.path / "tox.ini").write_text((project.path / "tox.ini").read_text().replace("-p no:cacheprovider", ""))
    project.runpytest("--chaos", "-k", "third").assert_outcomes(passed=1, deselected=2)
    (project.path / "log.jsonl").unlink()
    project.runpytest("--chaos", "-x").assert_outcomes(failed=1)
    assert not (project.path / "log.jsonl").exists()
    project.runpytest("--chaos", "--maxfail=2").assert_outcomes(failed=2)
    assert "third" not in (project.path / "log.jsonl").read_text()
    project.runpytest("--chaos").assert_outcomes(failed=2, passed=1)
    project.runpytest("--chaos", "--lf").assert_outcomes(failed=2)


def test_wider_fixtures_are_undone_when_x_ends_the_session(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a=HEAD
        + """
    @pytest.fixture(scope="module")
    def wide():
        yield
        raise OSError("in the teardown of the module")

    @pytest.mark.chaos(faults="reply-lost")
    def test_first(wide, llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)

    def test_second(wide):
        pass
    """
    )
    # As pytest does it: an error of the test, and not of the session.
    project.runpytest("--chaos", "-x").assert_outcomes(failed=1, errors=1)


PDB = (
    HEAD
    + """
    @pytest.fixture
    def brittle(llm, sandbox):
        yield
        assert sandbox.ledger.count("refund") < 2, "seen by a fixture"

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(FIXTURE llm, sandbox):
        here = "the test"
        agents.run("refund", agents.stock(llm, sandbox), keys=False)
        CRASH
        assert sandbox.ledger.count("refund") < LIMIT

    def agent_that_crashes(sandbox):
        its_own = {1: "once"}
        return its_own[sandbox.ledger.count("refund")]
"""
)


@pytest.mark.parametrize("where", ["assertion", "invariant", "fixture", "crash"])
def test_the_debugger_opens_once(project: pytest.Pytester, fresh: Fresh, where: str) -> None:
    text = PDB.replace("FIXTURE", "brittle," if where == "fixture" else "")
    text = text.replace("CRASH", "agent_that_crashes(sandbox)" if where == "crash" else "")
    project.makepyfile(test_a=text.replace("LIMIT", "2" if where == "assertion" else "9"))
    project.makeconftest(
        """
        import pathlib, pdb
        import pytest

        class Debugger:
            quitting = False

            def __init__(self, *args, **kwargs):
                pass

            def reset(self):
                pass

            def interaction(self, frame, error, *more):
                tb = error if hasattr(error, "tb_frame") else error.__traceback__
                while tb.tb_next is not None:
                    tb = tb.tb_next
                with pathlib.Path("entered.txt").open("a") as file:
                    file.write(f"{tb.tb_frame.f_code.co_name} {sorted(tb.tb_frame.f_locals)}" + chr(10))
        """
    )
    result = fresh("--chaos", "--pdb", "--pdbcls=conftest:Debugger")
    assert result.ret == 1
    entered = (project.path / "entered.txt").read_text().splitlines()
    if where == "fixture":
        # The invariant breaks in the test, and the fixture's own assertion after it: both are this one run's.
        assert [line.split()[0] for line in entered] == ["call", "brittle"]
    else:
        assert len(entered) == 1
        if where == "crash":
            # Where the agent gave up, and not where we say so.
            assert entered[0].startswith("agent_that_crashes ['its_own'")
        if where == "assertion":
            assert entered[0].startswith("test_one")
            assert "'here'" in entered[0]


def test_outcomes_of_pytest_inside_a_chaos_test(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    def struck(sandbox):
        return sandbox.ledger.count("refund") == 1 and len(LOG.read_text().splitlines()) > 1

    @pytest.mark.chaos(faults="reply-lost")
    def test_skips(llm, sandbox):
        pytest.skip("not here")

    @pytest.mark.chaos(faults="reply-lost")
    def test_xfails(llm, sandbox):
        pytest.xfail("known")

    @pytest.mark.skip(reason="by mark")
    @pytest.mark.chaos(faults="reply-lost", expect_failure="never run")
    def test_skip_mark(llm, sandbox):
        raise AssertionError

    @pytest.mark.xfail(reason="by mark")
    @pytest.mark.chaos(faults="reply-lost")
    def test_xfail_mark(llm, sandbox):
        assert False

    @pytest.mark.chaos(faults="reply-lost")
    def test_fails(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox, idempotent=True), keys=False)
        if sandbox.ledger.count("refund") > 1:
            pytest.fail("paid twice")

    @pytest.mark.chaos(faults="reply-lost")
    def test_skips_under_a_fault(llm, sandbox, clock):
        agents.run("refund", agents.stock(llm, sandbox))
        if clock.elapsed_s > 20:
            pytest.skip("too late for this one")

    @pytest.mark.chaos(faults="stream-stall")
    def test_skips_with_all_evidence(llm, sandbox, clock):
        agents.run("refund", agents.stock(llm, sandbox))
        if clock.elapsed_s > 4.5:
            pytest.skip("too late for this one")

    @pytest.mark.chaos(faults="reply-lost")
    def test_exits(llm, sandbox, clock):
        agents.run("refund", agents.stock(llm, sandbox))
        if clock.elapsed_s > 20:
            raise SystemExit(3)
    """
    )
    result = project.runpytest("--chaos", "-rs")
    result.assert_outcomes(skipped=2, xfailed=2, failed=1, passed=3)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_*.py:16: not here"])
    result.stdout.fnmatch_lines(["E  *Failed: paid twice"])
    found = results()
    assert set(found) == {"test_fails", "test_skips_under_a_fault", "test_skips_with_all_evidence", "test_exits"}
    skipped = found["test_skips_with_all_evidence"]["runs"]
    assert {run["verdict"] for run in skipped if run["faults"] == ["stream-stall"]} == {"not judged"}
    words = {run["schedule"]: run["verdict"] for run in found["test_skips_under_a_fault"]["runs"]}
    assert words == {
        "reply-lost@tool:refund#1": "not judged",
        "reply-lost(how=reset)@tool:refund#1": "not judged",
        "reply-slow@tool:refund#1": "survived",
        "reply-lost@tool:refund#1; reply-lost@tool:refund#1/2": "not judged",
    }
    result.stdout.fnmatch_lines(["*_under_a_fault: held in 1 of 4 runs (3 of one fault, 1 of two), 3 not judged"])
    assert found["test_exits"]["runs"][0]["verdict"] == "degraded"
    assert found["test_fails"]["failures"][0]["violations"][-1]["text"] == "assertion of the test: paid twice"


@pytest.mark.parametrize("expected", [None, "on purpose"])
@pytest.mark.parametrize("phase", ["setup", "teardown"])
def test_a_fixture_that_breaks_only_under_a_fault(
    project: pytest.Pytester, fresh: Fresh, phase: str, expected: str | None
) -> None:
    check = 'assert clock.elapsed_s < 20, "too slow"'
    mark = "" if expected is None else f", expect_failure={expected!r}"
    project.makepyfile(
        test_a=HEAD
        + f"""
    @pytest.fixture
    def around(llm, sandbox, clock):
        if {phase == "setup"}:
            agents.run("refund", agents.stock(llm, sandbox))
            {check}
        yield
        {check}

    @pytest.mark.chaos(faults="reply-lost"{mark})
    def test_one(around, llm, sandbox):
        if {phase != "setup"}:
            agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    result = project.runpytest("--chaos")
    if expected is None:
        result.assert_outcomes(**({"errors": 1} if phase == "setup" else {"passed": 1, "errors": 1}))
        result.stdout.fnmatch_lines([f"around the test: {phase} failed: AssertionError: too slow"])
        assert result.ret == 1
    else:
        assert result.ret == 0
    lines = replay_lines(result)
    assert len(lines) == 1
    again = fresh(*shlex.split(lines[0])[1:])
    assert again.ret == 1
    again.stdout.fnmatch_lines(["*AssertionError: too slow*"])


def test_a_predicate_that_raises_fails_the_run(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox, clock):
        sandbox.must_hold("in time", lambda: {True: 1}[clock.elapsed_s < 20])
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(failed=1)
    assert results()["test_one"]["failures"][0]["schedule"] == "reply-lost@tool:refund#1"


def test_what_does_not_come_back_is_said(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        RUNS.append(1)
        agents.run("refund", agents.stock(llm, sandbox), keys=len(RUNS) != 3)
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["reply-lost@tool:refund#1 failed I1 in the search and survived when it was run again: *"]
    )
    assert results()["test_one"]["passed"] is False


def test_expected_to_break(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults="reply-lost", expect_failure="it has no key")
    def test_breaks(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)

    @pytest.mark.chaos(faults="reply-lost", expect_failure="it has no key")
    def test_breaks_its_assertion(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)
        assert sandbox.ledger.count("refund") == 1

    @pytest.mark.chaos(faults="reply-lost", expect_failure="it has a key")
    def test_survives(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("-p", "no:pytest_agent_x").assert_outcomes(passed=3)
    result = project.runpytest("--chaos", "-rxf")
    result.assert_outcomes(xfailed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "expected to break (it has a key), and held in all 4 runs; take expect_failure out of its mark",
            "*test_breaks: broke in 2 of 3 runs, as expected: it has no key",
            "*test_survives: was expected to break and did not",
            "XFAIL *test_breaks - *it has no key",
        ]
    )
    assert {name: found["passed"] for name, found in results().items()} == {
        "test_breaks": True,
        "test_breaks_its_assertion": True,
        "test_survives": False,
    }
    for extra in ([], ["--chaos"]):
        again = project.runpytest("-k", "test_breaks", "--chaos-replay", "reply-lost@tool:refund#1", *extra)
        assert again.ret == 1
        again.assert_outcomes(failed=2, deselected=1)


def test_a_replay_that_holds_passes_and_one_without_its_site_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_one(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    def test_ordinary():
        pass
    """
    )
    project.runpytest("--chaos-replay", "reply-lost@tool:refund#1").assert_outcomes(passed=2)
    result = project.runpytest("--chaos-replay", "reply-lost@tool:refund#9")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["reply-lost@tool:refund#9: the run went through no such site*"])
    assert result.ret == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the schedule is empty"),
        (" ; ", "the schedule is empty"),
        ("reply-lots@tool:refund#1", "unknown fault 'reply-lots'. Did you mean 'reply-lost'?"),
        ("reply-lost@tol:refund#1", "'tol:refund#1'"),
        ("reply-lost", "'reply-lost' is not a fault at a site"),
        ("reply-lost@llm#1", "acts at tool sites, not at llm"),
        ("reply-lost(hwo=reset)@tool:refund", "unknown parameter 'hwo'. Did you mean 'how'?"),
        ("reply-lost(how=never)@tool:refund", "how"),
    ],
)
def test_a_bad_schedule_is_refused_in_one_line(project: pytest.Pytester, text: str, told: str) -> None:
    project.makepyfile(DUPLICATES)
    result = project.runpytest("--chaos-replay", text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in (*result.errlines, *result.outlines) if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("ERROR: --chaos-replay: ")
    assert told in lines[0]


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("chaos(fault='*')", "unknown argument 'fault'. Did you mean 'faults'?"),
        ("chaos('tool.*')", "takes keyword arguments only, found 'tool.[*]'; write faults='tool.[*]'"),
        ("chaos(faults='tol.*')", "no fault fits 'tol.[*]'. Did you mean 'tool.[*]'?"),
        ("chaos(faults=3)", "faults=3 is not a glob or a list of globs"),
        ("chaos(faults=[])", "faults=[[][]] is not a glob or a list of globs"),
        ("chaos(faults={'*'})", "faults={'[*]'} is not a glob or a list of globs"),
        ("chaos(must_recover='no')", "must_recover='no' is not a bool"),
        ("chaos(expect_failure=True)", "expect_failure=True is not a reason"),
    ],
)
def test_a_bad_mark_is_refused_in_one_line(project: pytest.Pytester, mark: str, told: str) -> None:
    project.makepyfile(test_a=f"import pytest\n\n@pytest.mark.{mark}\ndef test_one(llm):\n    pass\n")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_a.py::test_one: @pytest.mark.chaos*{told}*"])
    result.stderr.no_fnmatch_line("*INTERNALERROR*")


def test_a_bad_mark_in_a_worker(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        test_a="""
        import pytest

        @pytest.mark.chaos(fault=1)
        def test_one(llm):
            pass

        def test_two():
            pass
        """
    )
    result = fresh("-n", "2", plugins=("pytest_agent.plugin", "xdist"))
    assert result.ret != 0
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_a.py::test_one: @pytest.mark.chaos: unknown argument 'fault'. Did you mean*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_given_and_chaos_on_one_test_is_refused(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a="""
        import pytest
        from hypothesis import given, strategies as st

        @pytest.mark.chaos
        @given(st.integers())
        def test_one(llm, n):
            pass
        """
    )
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *@pytest.mark.chaos and @given are on one test*"])


def test_a_bad_seed_is_refused(project: pytest.Pytester) -> None:
    assert project.runpytest("--chaos-seed", "x").ret == pytest.ExitCode.USAGE_ERROR
