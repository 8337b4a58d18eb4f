"""One chaos test from beginning to end, in the place of pytest's own protocol."""

from __future__ import annotations

import pytest

from pytest_agent.chaos.explore import Exploration, check_replay
from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.phases import InvariantViolated, NotReproduced, SurvivedUnexpectedly
from pytest_agent.chaos.result import failures_of, short_text, test_result
from pytest_agent.chaos.state import state_of
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import Catalogue, load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.folder import folder_of


def run_protocol(item: pytest.Item, nextitem: pytest.Item | None, mark: ChaosMark) -> None:
    """Explore the test, or replay one schedule on it, and report it as one test."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    exploration = Exploration(item, mark, load_catalogue())
    replay = item.config.getoption("chaos_replay")
    if not exploration.probe_clean():
        reports = exploration.conclude(Schedule(), nextitem)
    elif replay is not None:
        reports = _replay(item, nextitem, exploration, Schedule.parse(replay))
    else:
        exploration.explore()
        reports = _conclude(item, nextitem, exploration, mark)
    if exploration.verdicts:
        folder_of(item.config).append_result(
            test_result(
                item.nodeid,
                state_of(item).seed,
                exploration.verdicts,
                exploration.not_reached,
                exploration.catalogue,
                expect_failure=mark.expect_failure if replay is None else None,
                passed=all(report.outcome != "failed" for report in reports),
            )
        )
    state_of(item).close()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def replay_option(config: pytest.Config) -> None:
    """Refuse a bad `--chaos-replay` before any test runs. Raises pytest.UsageError."""
    text = config.getoption("chaos_replay")
    if text is not None:
        try:
            check_replay(Schedule.parse(text), load_catalogue())
        except UsageError as error:
            raise pytest.UsageError(f"--chaos-replay: {error}") from None


def _replay(
    item: pytest.Item, nextitem: pytest.Item | None, exploration: Exploration, schedule: Schedule
) -> list[pytest.TestReport]:
    def faulted(verdict: Verdict, error: BaseException | None) -> BaseException | None:
        exploration.verdicts.append(verdict)
        if verdict.word == "not applied":
            return NotReproduced(
                f"{schedule}: the run went through no such site, or the fault had nothing to act on there; "
                "the test or the agent has changed since this line was printed"
            )
        if not verdict.failed:
            return None
        return _failure(item, exploration.catalogue, [verdict], error)

    return exploration.conclude(schedule, nextitem, faulted=faulted)


def _conclude(
    item: pytest.Item, nextitem: pytest.Item | None, exploration: Exploration, mark: ChaosMark
) -> list[pytest.TestReport]:
    failures = exploration.failures
    if not failures:

        def clean() -> BaseException | None:
            if mark.expect_failure is None:
                return None
            return SurvivedUnexpectedly(
                f"expected to break ({mark.expect_failure}), and held in all {len(exploration.verdicts)} runs; "
                "take expect_failure out of its mark"
            )

        return exploration.conclude(Schedule(), nextitem, clean=clean)

    first = failures[0]

    def faulted(verdict: Verdict, error: BaseException | None) -> BaseException | None:
        if verdict.ids != first.ids:
            again = ", ".join(verdict.ids) or verdict.word
            return NotReproduced(
                f"{first.schedule} failed {', '.join(first.ids)} in the search and {again} when it was run again: "
                "the agent or a fixture keeps state between runs or is not deterministic"
            )
        return _failure(item, exploration.catalogue, failures, error)

    return exploration.conclude(Schedule.parse(first.schedule), nextitem, faulted=faulted)


def _failure(
    item: pytest.Item,
    catalogue: Catalogue,
    failures: list[Verdict],
    error: BaseException | None,
) -> BaseException:
    """The test's own assertion with its locals where that failed; else what an invariant has to say."""
    text = short_text(failures_of(item.nodeid, failures, catalogue))
    if isinstance(error, AssertionError):
        error.add_note(text)
        return error
    violated = InvariantViolated(text)
    violated.__cause__ = error
    return violated
