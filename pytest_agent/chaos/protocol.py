"""One chaos test from beginning to end, in the place of pytest's own protocol."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.answers import answer
from pytest_agent.chaos.confirm import confirm_all
from pytest_agent.chaos.explore import Exploration
from pytest_agent.chaos.known_here import ratchet_of
from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.phases import InvariantViolated, NotReproduced, SurvivedUnexpectedly
from pytest_agent.chaos.ratchet import NO_RATCHET, KnownFailuresDiffer
from pytest_agent.chaos.result import Place, failures_of, short_text, test_result
from pytest_agent.chaos.save import save_all
from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.state import TestState, state_of
from pytest_agent.chaos.under import Under, under_of
from pytest_agent.chaos.verdict import AROUND, Verdict
from pytest_agent.errors import PytestAgentError, UsageError
from pytest_agent.faults.catalogue import Catalogue, load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.folder import explores, folder_of
from pytest_agent.trace import dump_line


def run_protocol(item: pytest.Item, nextitem: pytest.Item | None, mark: ChaosMark) -> None:
    """Explore the test, or replay one schedule on it, and report it as one test."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    state = state_of(item)
    try:
        _Protocol(item, nextitem, mark, state).run()
    finally:
        state.close()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def replay_option(config: pytest.Config) -> None:
    """Refuse a bad `--chaos-replay` before any test runs. Raises pytest.UsageError."""
    try:
        catalogue = load_catalogue()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    try:
        catalogue.arm(_schedule(config))
    except UsageError as error:
        raise pytest.UsageError(f"--chaos-replay: {error}") from None


def _schedule(config: pytest.Config) -> Schedule:
    text: str = config.getoption("chaos_replay")
    if not text.strip():
        raise UsageError("the schedule is empty; paste the line that a failing run printed")
    return Schedule.parse(text)


class _Protocol:
    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None, mark: ChaosMark, state: TestState) -> None:
        self._item = item
        self._nextitem = nextitem
        self._state = state
        asked = item.config.getoption("chaos_replay") is not None
        self._replay = Under(_schedule(item.config)) if asked else under_of(item)
        self._catalogue: Catalogue = load_catalogue()
        self._exploration = Exploration(item, mark, self._catalogue)
        # A replayed schedule is asked what it does, not whether that was expected.
        self._saved: dict[str, str] = {}
        self._expected = state.expected = None if self._replay is not None else mark.expect_failure
        self._ratchet = (
            NO_RATCHET if self._replay is not None else ratchet_of(item, self._exploration.options.bounds.shard)
        )

    def run(self) -> None:
        exploration = self._exploration
        try:
            holds = exploration.probe_clean()
        except PytestAgentError as error:
            self._blame(error)
            return
        answers = self._item.config.getoption("chaos_answers")
        if answers is not None:
            answer(Path(answers), exploration.subject, holds=holds)
        if answers is not None or not holds:
            exploration.subject.conclude(Schedule(), self._nextitem)
        elif self._replay is not None:
            self._replay_once(self._replay)
        else:
            self._explore()

    def _explore(self) -> None:
        exploration = self._exploration
        found: PytestAgentError | None = None
        try:
            exploration.explore(self._ratchet.schedules)
            if not exploration.elsewhere:
                exploration.verdicts += self._ratchet.look(exploration.verdicts, exploration)
                exploration.failures = self._ratchet.mark(exploration.failures)
        except PytestAgentError as error:
            found = error
        finally:
            # Before the last run: whatever becomes of it, and of this process, the search is on record.
            failures = exploration.failures
            edits, excuse = self._ratchet.edits(), self._expected or self._ratchet.excuse(failures)
            guess = exploration.complete and edits is None and bool(failures) == (excuse is not None)
            self._record(passed=guess)
            exploration.over()
        if found is not None:
            self._blame(found)
            return
        if exploration.elsewhere:
            # What was found is told by the part that ends last.
            exploration.subject.conclude(Schedule(), self._nextitem)
            return
        failures = exploration.failures = self._cleared(self._confirmed(failures))
        self._state.expected = self._expected or self._ratchet.excuse(failures)
        new = [failure for failure in failures if failure.known is None]
        self._saved = save_all(self._item, self._found(new))
        if edits is not None:
            passed = self._conclude_outdated(edits, new)
        else:
            passed = self._conclude_broken(new or failures) if failures else self._conclude_held()
        if passed != guess or new:
            self._record(passed=passed)

    def _confirmed(self, failures: list[Failure]) -> list[Failure]:
        """Those that are new with what became of them in a fresh process."""
        again = confirm_all(self._item, [failure.verdict for failure in failures if failure.known is None])
        return [
            dataclasses.replace(failure, confirmed=again.get(failure.verdict.schedule, failure.confirmed))
            for failure in failures
        ]

    def _cleared(self, failures: list[Failure]) -> list[Failure]:
        """Without the runs that an earlier session ended in, and that end no fresh process: it was killed from outside.

        They are made again.
        """
        exploration, left = self._exploration, []
        for failure in failures:
            again = failure.confirmed
            if exploration.subject.can_repeat(failure.verdict) or again is None or not again.of or again.failed:
                left.append(failure)
                continue
            verdict = exploration.subject.observe(Schedule.parse(failure.verdict.schedule)).verdict
            exploration.verdicts = [
                verdict if one.schedule == verdict.schedule else one for one in exploration.verdicts
            ]
            if verdict.failed:
                left.append(dataclasses.replace(failure, verdict=verdict, confirmed=None))
        return left

    def _blame(self, error: PytestAgentError) -> None:
        """The test is to blame for what the search cannot work with, and not the session."""
        self._exploration.subject.conclude(Schedule(), self._nextitem, clean=lambda: error)
        self._record(passed=False)

    def _replay_once(self, replay: Under) -> None:
        schedule = replay.schedule

        def faulted(verdict: Verdict, error: BaseException | None) -> BaseException | None:
            self._exploration.verdicts.append(verdict)
            if verdict.failed:
                self._exploration.failures = [Failure(verdict, found_as=verdict.schedule)]
                return self._broken(self._exploration.failures, error)
            if verdict.word == "not applied":
                where = f"{replay.where}: " if replay.where else ""
                return NotReproduced(
                    f"{where}{schedule}: the run went through no such site, or the fault had nothing to act "
                    "on there; the test or the agent has changed since this line was written"
                )
            return error if self._state.skipped else None

        self._state.told = f"replayed under: {schedule}"
        reports = self._exploration.subject.conclude(schedule, self._nextitem, faulted=faulted)
        self._exploration.complete = True
        self._record(passed=_passed(reports))

    def _conclude_held(self) -> bool:
        def clean() -> BaseException | None:
            # A part that was asked for by --chaos-shard cannot know what the others find.
            whole = self._exploration.complete and self._exploration.options.bounds.shard.is_whole
            if self._expected is None or not whole:
                return None
            return SurvivedUnexpectedly(
                f"expected to break ({self._expected}), and held in all {len(self._exploration.verdicts)} runs; "
                "take expect_failure out of its mark"
            )

        return _passed(self._exploration.subject.conclude(Schedule(), self._nextitem, clean=clean))

    def _conclude_outdated(self, edits: KnownFailuresDiffer, new: list[Failure]) -> bool:
        """The file of known failures has to be changed first; what is new is told with it."""
        text = "\n".join([str(edits), self._text(new)]).strip()
        subject = self._exploration.subject
        return _passed(subject.conclude(Schedule(), self._nextitem, clean=lambda: KnownFailuresDiffer(text)))

    def _conclude_broken(self, failures: list[Failure]) -> bool:
        subject = self._exploration.subject
        first = next((failure.verdict for failure in failures if subject.can_repeat(failure.verdict)), None)
        if first is None:
            return _passed(subject.conclude(Schedule(), self._nextitem, clean=lambda: self._broken(failures, None)))
        # What broke around the test's own function shows there again, in the setup or the teardown of the last run.
        ids = tuple(id_ for id_ in first.ids if id_ != AROUND)

        def faulted(verdict: Verdict, error: BaseException | None) -> BaseException | None:
            if tuple(id_ for id_ in verdict.ids if id_ != AROUND) != ids:
                again = ", ".join(verdict.ids) or verdict.word
                return NotReproduced(
                    f"{first.schedule} failed {', '.join(first.ids)} in the search and {again} when it was run again: "
                    "the agent or a fixture keeps state between runs or is not deterministic"
                )
            return self._broken(failures, error) if ids else None

        self._state.told = self._text(failures)
        return _passed(subject.conclude(Schedule.parse(first.schedule), self._nextitem, faulted=faulted))

    def _broken(self, failures: list[Failure], error: BaseException | None) -> BaseException:
        """The test's own assertion with its locals where that failed; else what an invariant has to say."""
        self._state.broken = True
        text = self._text(failures)
        if isinstance(error, (AssertionError, pytest.fail.Exception)):
            error.add_note(text)
            return error
        violated = InvariantViolated(text)
        if error is not None:
            # A debugger opens where the agent gave up, not in here.
            return violated.with_traceback(error.__traceback__)
        return violated

    def _text(self, failures: list[Failure]) -> str:
        text = short_text(Place.of(self._item), self._found(failures), self._saved)
        known = self._ratchet.to_text() if any(failure.known is None for failure in failures) else ""
        return f"{text}\n{known}" if known else text

    def _found(self, failures: list[Failure]) -> list[dict[str, Any]]:
        return failures_of(Place.of(self._item), failures, self._catalogue)

    def _record(self, *, passed: bool) -> None:
        exploration = self._exploration
        result = test_result(
            Place.of(self._item),
            exploration.verdicts,
            exploration.failures,
            exploration.not_reached,
            self._catalogue,
            expect_failure=self._expected,
            passed=passed,
            complete=exploration.complete,
            cut=exploration.found.cut if exploration.found is not None else "",
            coverage=exploration.coverage(),
            not_deterministic=exploration.not_deterministic,
            known=self._ratchet.to_list(),
            shard=exploration.options.bounds.shard,
        )
        if not explores(self._item.config):
            return
        folder = folder_of(self._item.config)
        for entry, failure in zip(result["failures"], exploration.failures, strict=True):
            trace = map(dump_line, failure.verdict.events)
            entry["trace"] = folder.write_failure(result["test"], failure.verdict.schedule, trace)
        if exploration.elsewhere:
            result["part"] = exploration.shard.number
        folder.append_result(result)


def _passed(reports: list[pytest.TestReport]) -> bool:
    return all(report.outcome != "failed" for report in reports)
