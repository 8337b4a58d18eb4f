"""Scenario files: where they are collected, how they run, and what is said of a file that is wrong."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]

SHIPPED = Path(__file__).parents[2] / "scenarios" / "support_refund.yaml"
GOOD = """\
title: The agent looks an order up and says that it cannot be refunded
agent: agentfsm.agents.support_refund
task: Please refund order 7

model:
  - call: {orders.lookup: {order: 7}}
  - text: Order 7 cannot be refunded.

tools:
  orders.lookup:
    returns: {order: 7, amount: 20, currency: EUR, refundable: false}
  payments.refund:
    effect: true
    idempotent: true
    returns: {refund_id: r}

world:
  - {tool: payments.refund, count: 0}
"""


@pytest.fixture
def scenario(project: pytest.Pytester) -> Callable[[str], Path]:
    """Write `scenarios/one.yaml` into a project that collects that folder."""
    ini = project.path / "tox.ini"
    ini.write_text(ini.read_text().rstrip() + "\nagent_scenarios = scenarios\n")
    (project.path / "scenarios").mkdir()

    def write(text: str) -> Path:
        path = project.path / "scenarios" / "one.yaml"
        path.write_text(text)
        return path

    return write


def test_the_shipped_scenario(
    project: pytest.Pytester, scenario: Callable[[str], Path], results: Results, fresh: Fresh
) -> None:
    faults = ["arguments-malformed", "crash-around-commit", "insufficient-quota", "reply-lost", "stream-clean-eof"]
    scenario(f"{SHIPPED.read_text()}faults: {json.dumps(faults)}\n").rename(
        project.path / "scenarios" / "support_refund.yaml"
    )
    clean = project.runpytest("-v")
    clean.assert_outcomes(passed=1)
    clean.stdout.fnmatch_lines(["scenarios/support_refund.yaml::support_refund PASSED*"])
    project.runpytest("--chaos", "scenarios/support_refund.yaml").assert_outcomes(passed=1)
    found = results()["support_refund"]
    assert {run["verdict"] for run in found["runs"]} <= {"survived", "degraded"}
    assert not found["not_applied"]
    line = "crash-around-commit@process@store:commit#3.after"
    for nodeid in ("scenarios/support_refund.yaml", "scenarios/support_refund.yaml::support_refund"):
        project.runpytest(nodeid, "--chaos-replay", line).assert_outcomes(passed=1)
        (run,) = results()["support_refund"]["runs"]
        assert run["schedule"] == line
        assert run["verdict"] == "survived"


def test_a_scenario_that_breaks_is_replayed_by_its_line(
    project: pytest.Pytester, scenario: Callable[[str], Path], results: Results
) -> None:
    # The agent believes that the tool knows its keys.
    scenario(SHIPPED.read_text().replace("idempotent: true", "idempotent: false") + "faults: [reply-lost]\n")
    result = project.runpytest("--chaos", "-q")
    failures = results()["one"]["failures"]
    assert failures
    assert all("I1" in failure["ids"] for failure in failures)
    result.stdout.fnmatch_lines(["FAILED scenarios/one.yaml::one - I1 no duplicate effect: *"])
    words = shlex.split(failures[0]["replay"])
    assert words[:2] == ["pytest", "scenarios/one.yaml::one"]
    again = project.runpytest(*words[1:])
    assert again.ret == 1
    assert results()["one"]["failures"][0]["ids"] == failures[0]["ids"]


def test_only_the_configured_folders(project: pytest.Pytester, scenario: Callable[[str], Path]) -> None:
    scenario(GOOD)
    for folder in (".", "other", "scenarios/deep"):
        (project.path / folder).mkdir(exist_ok=True)
    (project.path / "compose.yaml").write_text("services: []")
    (project.path / "other" / "values.yaml").write_text("{{ not yaml }}")
    (project.path / "scenarios" / "notes.yml").write_text("- a list")
    (project.path / "scenarios" / "deep" / "two.yaml").write_text(GOOD)
    result = project.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["scenarios/deep/two.yaml::two PASSED*", "scenarios/one.yaml::one PASSED*"])
    alone = project.runpytest("other/values.yaml")
    assert alone.ret == pytest.ExitCode.USAGE_ERROR


def test_another_end_than_expected(project: pytest.Pytester, scenario: Callable[[str], Path]) -> None:
    scenario(GOOD + "expect: failed\n")
    for options in ([], ["--chaos"]):
        result = project.runpytest(*options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["scenarios/one.yaml:19 expect: the agent ended as 'success' (cause None), expected 'failed'"]
        )
        result.stdout.no_fnmatch_line("*collector.py*")


@pytest.mark.parametrize(("first_s", "held"), [(2, True), (6, False)])
def test_a_turn_may_say_how_fast_it_arrives_what_it_used_and_why_it_stops(
    project: pytest.Pytester, scenario: Callable[[str], Path], first_s: int, held: bool
) -> None:
    more = f"pace: {{first_s: {first_s}}}\n    usage: {{input_tokens: 9, output_tokens: 1}}\n    stop: stop\n"
    scenario(GOOD.replace("cannot be refunded.\n", f"cannot be refunded.\n    {more}") + "budgets: {seconds: 5}\n")
    result = project.runpytest()
    result.assert_outcomes(passed=int(held), failed=int(not held))
    if not held:
        result.stdout.fnmatch_lines(["*budgets.seconds: 6* were used, expected at most 5;*"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("title:", "titel:"), ["one.yaml:1 titel: unknown key 'titel'. Did you mean 'title'?", "'title' is missing"]),
        (("effect: true", "effekt: true"), ["one.yaml:13 ", "unknown key 'effekt'"]),
        (("effect: true", "effect: perhaps"), ["one.yaml:13 tools.payments.refund.effect: ", "found 'perhaps'"]),
        (("count: 0", "count: -1"), ["one.yaml:18 world[0].count: ", "found -1"]),
        (
            ("call: {orders.lookup:", "call: {orders.lokup:"),
            ["one.yaml:6 ", "unknown tool 'orders.lokup'; add it to 'tools'. Did you mean 'orders.lookup'?"],
        ),
        (("{tool: payments.refund", "{tool: payments.refnd"), ["one.yaml:18 ", "Did you mean 'payments.refund'?"]),
        (("agents.support_refund", "agents.suport_refund"), ["one.yaml:2 agent: ", "cannot be imported (ModuleNot"]),
        (("agentfsm.agents.support_refund", "json"), ["one.yaml:2 agent: 'json' has no function build("]),
        (("agentfsm.agents.support_refund", "9 lives"), ["one.yaml:2 agent: "]),
        (("task: Please refund order 7", "task: ''"), ["one.yaml:3 task: "]),
        (
            ("world:", "expect: sucess\nworld:"),
            ["one.yaml:17 expect: unknown outcome 'sucess'. Did you mean 'success'?"],
        ),
        (
            ("world:", "faults: [tol.*]\nworld:"),
            ["one.yaml:17 faults[0]: no fault fits 'tol.*'. Did you mean 'tool.*'?"],
        ),
        (("- text: Order", "- said: Order"), ["one.yaml:7 "]),
        (("- text: Order 7 cannot be refunded.", "- stop: stop"), ["one.yaml:7 ", "a turn says 'text', or 'call's"]),
        (("- text: Order", "- stop: ended\n    text: Order"), ["one.yaml:7 model[1].stop: ", "found 'ended'"]),
        (
            ("- text: Order", "- pace: {first: 1}\n    text: Order"),
            ["one.yaml:7 model[1].pace.first: unknown key 'first'. Did you mean 'first_s'?"],
        ),
        (
            ("- text: Order", "- usage: {input_tokens: -1, output_tokens: 1}\n    text: Order"),
            ["one.yaml:7 model[1].usage.input_tokens: expected 0 or more, found -1"],
        ),
        ((GOOD, ""), ["one.yaml:1: expected a mapping of keys to values, found nothing"]),
        ((GOOD, "- a\n- b\n"), ["one.yaml:1: expected a mapping"]),
        (("model:", "model: ["), ["one.yaml:6: not valid YAML"]),
        (("task: Please", "task: !!python/object/apply:os.getcwd [] #"), ["one.yaml:3"]),
    ],
)
def test_a_wrong_file(
    project: pytest.Pytester, scenario: Callable[[str], Path], change: tuple[str, str], told: list[str]
) -> None:
    assert change[0] in GOOD
    scenario(GOOD.replace(*change, 1))
    project.makepyfile(test_other="def test_other(): pass")
    for options in ([], ["--chaos"]):
        result = project.runpytest(*options)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.assert_outcomes(errors=1)
        text = result.stdout.str()
        assert "INTERNALERROR" not in text
        assert "Traceback" not in text
        assert ".py:" not in text
        lines = [line for line in text.splitlines() if line.startswith("scenarios/one.yaml:")]
        for part in told:
            assert any(part in line for line in lines), text
    # The summary says it too, in one line.
    result.stdout.fnmatch_lines(["ERROR scenarios/one.yaml - scenarios/one.yaml:*"])


def test_a_file_that_is_not_text(project: pytest.Pytester, scenario: Callable[[str], Path]) -> None:
    scenario("").write_bytes(b"title: \xff\xfe")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["scenarios/one.yaml:1: byte 7 is not UTF-8; *"])


def test_an_agent_that_breaks_when_it_is_imported(project: pytest.Pytester, scenario: Callable[[str], Path]) -> None:
    (project.path / "broken_agent.py").write_text("1 / 0")
    project.syspathinsert()
    scenario(GOOD.replace("agentfsm.agents.support_refund", "broken_agent"))
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["scenarios/one.yaml:2 agent: 'broken_agent' cannot be imported (ZeroDivisionError: *"])


def test_with_workers(project: pytest.Pytester, scenario: Callable[[str], Path], fresh: Fresh) -> None:
    scenario(GOOD + "faults: [deploy.insufficient-quota]\n")
    both = ("pytest_agent.plugin", "xdist")
    options = ["-o", "agent_scenarios=scenarios", "--chaos"]
    fresh(*options, plugins=both[:1]).assert_outcomes(passed=1)
    alone = (project.path / ".pytest_agent" / "results.json").read_bytes()
    fresh(*options, "-n", "2", plugins=both).assert_outcomes(passed=2)
    assert (project.path / ".pytest_agent" / "results.json").read_bytes() == alone
    assert len(json.loads(alone)["tests"][0]["runs"]) >= 2
    scenario(GOOD.replace("title:", "titel:"))
    result = fresh(*options, "-n", "2", plugins=both)
    assert result.ret != 0
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["scenarios/one.yaml:1 titel: unknown key 'titel'. Did you mean 'title'?*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_beside_pytest_asyncio(project: pytest.Pytester, scenario: Callable[[str], Path], mode: str) -> None:
    scenario(GOOD)
    project.runpytest(f"--asyncio-mode={mode}").assert_outcomes(passed=1)
