"""The file of known failures: what is known does not fail, what is new does, what is fixed or old must go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]

SUITE = """
    import pytest, agents

    @pytest.mark.chaos(faults=["reply-lost", "insufficient-quota"])
    def test_breaks(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=KEYS)

    @pytest.mark.chaos(faults="reply-lost")
    def test_holds(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    def test_plain(llm):
        pass

    KEYS = False
"""
LOST = "reply-lost@tool:refund#1"


def entry(
    schedule: str = LOST, test: str = "test_a.py::test_breaks", reason: str = "ticket 7", expires: str = "2027-01-31"
) -> str:
    return f"- test: {test}\n  schedule: {schedule}\n  reason: {reason}\n  expires: {expires}\n"


@pytest.fixture
def known(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run the suite on 1 January 2027 with these known failures; `agent` changes it."""
    monkeypatch.setenv("PYTEST_AGENT_TODAY", "2027-01-01")

    def run(text: str | None, *args: str, suite: str = SUITE) -> pytest.RunResult:
        project.makepyfile(test_a=suite)
        if text is not None:
            (project.path / "known_failures.yaml").write_text(text)
        return project.runpytest("--chaos", *args)

    return run


def file_of(project: pytest.Pytester) -> str:
    return (project.path / "known_failures.yaml").read_text()


def test_without_the_file_a_failure_fails(known: Callable[..., pytest.RunResult], results: Results) -> None:
    known(None).assert_outcomes(failed=1, passed=2)
    (failure,) = results()["test_breaks"]["failures"]
    assert failure["known"] is None
    assert results()["test_breaks"]["known"] == []


def test_a_known_failure_is_an_expected_one(
    known: Callable[..., pytest.RunResult], results: Results, project: pytest.Pytester
) -> None:
    result = known(entry(), "-rx")
    result.assert_outcomes(xfailed=1, passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_breaks: broke in 2 of 7 runs, as is known", f"  known: {LOST} (ticket 7, *"])
    result.stdout.fnmatch_lines(["XFAIL test_a.py::test_breaks - *ticket 7*"])
    result.stdout.no_fnmatch_line("BROKEN *")
    found = results()["test_breaks"]
    assert found["passed"] is True
    assert found["failures"][0]["known"] == "ticket 7"
    assert found["known"] == [
        {"schedule": LOST, "reason": "ticket 7", "expires": "2027-01-31", "state": "fails", "edit": ""}
    ]
    trace = project.path / ".pytest_agent" / found["failures"][0]["trace"]
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    assert events[0]["schedule"] == LOST
    assert any(event["kind"] == "fault_applied" for event in events)


def test_a_new_failure_fails_and_the_known_ones_are_listed(known: Callable[..., pytest.RunResult]) -> None:
    suite = SUITE.replace("keys=KEYS", "ask=agents.careless, keys=False").replace("insufficient-quota", "stream-*")
    result = known(entry(), suite=suite)
    result.assert_outcomes(failed=1, passed=2)
    # What is new comes first, and what is known is told in a line.
    result.stdout.fnmatch_lines(["___* test_breaks *___", "I*", f"  known: {LOST} (ticket 7, until 2027-01-31)"])
    result.stdout.fnmatch_lines(["BROKEN test_a.py::test_breaks"])
    result.stdout.no_fnmatch_line(f"*fewest faults: {LOST.replace('@', ' at ')}*")


def test_one_that_holds_now_must_be_removed(known: Callable[..., pytest.RunResult]) -> None:
    text = "# ours\n" + entry("insufficient-quota@llm#1") + "\n# the second\n" + entry()
    result = known(text, suite=SUITE.replace("KEYS = False", "KEYS = True"))
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(
        [
            "fixed: insufficient-quota@llm#1 does not break it any more; remove it: known_failures.yaml, lines 2 to 5",
            f"fixed: {LOST} does not break it any more; remove it: known_failures.yaml, lines 8 to 11",
        ]
    )


def test_what_is_new_is_told_beside_what_is_fixed(known: Callable[..., pytest.RunResult], results: Results) -> None:
    result = known(entry("insufficient-quota@llm#1"))
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["fixed: *", "I1 no duplicate effect*", "*replay: *"])
    assert results()["test_breaks"]["passed"] is False


def test_one_that_finds_nothing_to_strike_must_be_removed(known: Callable[..., pytest.RunResult]) -> None:
    result = known(entry() + entry("reply-lost@tool:other#1"))
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["gone: reply-lost@tool:other#1 finds nothing to strike any more; remove it: *5 to 8"])


@pytest.mark.parametrize(("day", "outcome"), [("2027-01-31", "xfailed"), ("2027-02-01", "failed")])
def test_it_is_known_up_to_its_last_day(
    known: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch, day: str, outcome: str
) -> None:
    monkeypatch.setenv("PYTEST_AGENT_TODAY", day)
    result = known(entry())
    result.assert_outcomes(**{outcome: 1, "passed": 2})
    if outcome == "failed":
        result.stdout.fnmatch_lines([f"expired on 2027-01-31: {LOST} (ticket 7); repair it*lines 1 to 4"])


def test_a_day_that_is_none_is_refused(known: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_AGENT_TODAY", "tomorrow")
    result = known(entry())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*PYTEST_AGENT_TODAY='tomorrow' is no day; write it as 2027-01-31*"])


def test_a_replay_shows_a_known_failure(known: Callable[..., pytest.RunResult]) -> None:
    result = known(entry() + "broken: [", "--chaos-replay", LOST, "-k", "breaks")
    result.assert_outcomes(failed=1, deselected=2)


def test_without_chaos_the_file_is_not_read(known: Callable[..., pytest.RunResult], project: pytest.Pytester) -> None:
    known("nonsense")
    project.runpytest().assert_outcomes(passed=3)


def test_where_it_is_can_be_said(known: Callable[..., pytest.RunResult], project: pytest.Pytester) -> None:
    (project.path / "ci").mkdir()
    (project.path / "ci" / "known.yaml").write_text(entry())
    ini = project.path / "tox.ini"
    ini.write_text(f"{ini.read_text().rstrip()}\nagent_known_failures = ci/known.yaml\n")
    known(None).assert_outcomes(xfailed=1, passed=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("known: []\n", "known_failures.yaml:1: expected a list, found a mapping; begin each entry with '- '"),
        ("- test: a\n", "known_failures.yaml:1 known[[]0]: key 'schedule' is missing; add it"),
        (entry() + "  owner: me\n", "known_failures.yaml:5 *unknown key 'owner'*"),
        (entry(expires="soon"), "known_failures.yaml:4 known[[]0].expires: expected a day, found 'soon'; write it as*"),
        (entry(expires="20270131"), "known_failures.yaml:4 *expected a day*"),
        (entry(reason='""'), "known_failures.yaml:3 *reason*at least 1 character*"),
        (entry("reply-lots@llm#1"), "known_failures.yaml:2 *unknown fault 'reply-lots'.*'reply-lost'*"),
        (entry("reply-lost@llm#1"), "known_failures.yaml:2 *acts at tool sites*"),
        (entry("nothing at all"), "known_failures.yaml:2 *is not a fault at a site*"),
        (entry() + entry(reason="twice"), "known_failures.yaml:5 *at known_failures.yaml:1 already; remove one*"),
        (
            entry(test="test_a.py::test_brakes"),
            "*'test_a.py::test_brakes' is not in that file*Did you mean*test_breaks*",
        ),
        (entry(test="test_a.py::test_plain"), "*'test_a.py::test_plain' is there, and is no chaos test*"),
    ],
)
def test_a_file_that_is_wrong_is_refused(known: Callable[..., pytest.RunResult], text: str, message: str) -> None:
    result = known(text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


def test_a_test_that_was_not_collected_is_not_missed(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester
) -> None:
    text = entry() + entry(test="test_a.py::test_gone") + entry(test="test_b.py::test_other")
    known(text, "test_a.py::test_breaks").assert_outcomes(xfailed=1)
    assert known(text, "-k", "breaks").ret == pytest.ExitCode.USAGE_ERROR
    project.makepyfile(test_c="def test_c(llm): pass")
    assert project.runpytest("--chaos", "test_c.py").ret == 0


def test_a_known_pair_excuses_the_pair_and_not_what_one_of_it_does(known: Callable[..., pytest.RunResult]) -> None:
    result = known(entry(f"insufficient-quota@llm#2; {LOST}"))
    # The lost reply alone breaks it too: that is a failure of its own.
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["BROKEN *", "*fewest faults: reply-lost at tool:refund#1"])
    result.stdout.fnmatch_lines(["* of one fault, 1 of two)*"])


def test_accepting_adds_what_is_new(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester, results: Results
) -> None:
    result = known(None, "--chaos-accept", "adopted: see #12")
    result.assert_outcomes(xfailed=1, passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["BROKEN *", "accepted into known_failures.yaml: 1 new, until 2027-04-01"])
    first = file_of(project)
    assert first == entry(reason="'adopted: see #12'", expires="2027-04-01")
    # From now on it is known, and nothing is new.
    known(first).assert_outcomes(xfailed=1, passed=2)
    known(first, "--chaos-accept", "again").stdout.fnmatch_lines(["nothing new to accept into known_failures.yaml"])
    assert file_of(project) == first


@pytest.mark.parametrize("indent", ["", "  "])
@pytest.mark.parametrize("end", ["", "\n", "\n# the end\n"])
def test_what_is_in_the_file_stays(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester, indent: str, end: str
) -> None:
    old = entry("reply-lost@tool:refund#1", "test_b.py::test_other").replace("reason: ", "reason:  ")
    text = "# Why we have this.\n" + "".join(f"{indent}{line}\n" for line in old.splitlines())
    text = text.rstrip("\n") + end
    known(text, "--chaos-accept", "later").assert_outcomes(xfailed=1, passed=2)
    assert file_of(project).startswith(text)
    known(file_of(project)).assert_outcomes(xfailed=1, passed=2)


def test_a_list_in_brackets_is_not_added_to(known: Callable[..., pytest.RunResult], project: pytest.Pytester) -> None:
    text = f"[{{test: a.py::b, schedule: '{LOST}', reason: r, expires: 2027-01-31}}]\n"
    result = known(text, "--chaos-accept", "later")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*cannot be added to; write the list with '- ' before each entry, not in brackets*"])
    assert file_of(project) == text


def test_what_is_expected_to_break_is_not_accepted(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester
) -> None:
    suite = SUITE.replace('"insufficient-quota"]', '"insufficient-quota"], expect_failure="no key"')
    known(None, "--chaos-accept", "later", suite=suite).assert_outcomes(xfailed=1, passed=2)
    assert not (project.path / "known_failures.yaml").exists()


def test_a_file_that_cannot_be_written_fails_the_session(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester
) -> None:
    project.makepyfile(
        conftest="""
        import pathlib
        def pytest_runtest_teardown():
            pathlib.Path("known_failures.yaml").mkdir(exist_ok=True)
        """
    )
    result = known(None, "--chaos-accept", "later")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["known_failures.yaml: cannot be written (*); add these lines to it:", "- test: *"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chaos", "--chaos-accept", " "], "--chaos-accept: the reason is empty; say why*"),
        (["--chaos-accept", "later"], "--chaos-accept: only a search has failures to accept; use it with --chaos*"),
        (["--chaos", "--chaos-replay", LOST, "--chaos-accept", "x"], "--chaos-accept: only a search has *"),
        (["--chaos", "--chaos-shard", "3/2"], "*'3/2' is no part of a search*"),
    ],
)
def test_options_that_make_no_sense_are_refused(project: pytest.Pytester, options: list[str], message: str) -> None:
    project.makepyfile(test_a=SUITE)
    result = project.runpytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}"])


def test_workers_leave_it_to_their_controller(
    known: Callable[..., pytest.RunResult], project: pytest.Pytester, fresh: Fresh
) -> None:
    known("# none yet\n")
    both = ("pytest_agent.plugin", "xdist")
    result = fresh("--chaos", "-n", "2", "--chaos-accept", "later", "-k", "breaks", plugins=both)
    result.assert_outcomes(passed=1, xfailed=1)
    assert file_of(project) == "# none yet\n" + entry(reason="later", expires="2027-04-01")
    Path(project.path / "test_a.py").write_text((project.path / "test_a.py").read_text().replace("= False", "= True"))
    result = fresh("--chaos", "-n", "2", "-k", "breaks", plugins=both)
    # One of the parts demands that it is removed.
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["fixed: *known_failures.yaml, lines 2 to 5"])
