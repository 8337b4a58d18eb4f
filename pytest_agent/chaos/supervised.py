"""A test whose runs happen in a process that may die, hang, or eat memory: the search goes on in another one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from _pytest.outcomes import Exit

from pytest_agent.chaos.options import SearchOptions, check_supervised
from pytest_agent.chaos.phases import InvariantViolated
from pytest_agent.chaos.result import Place
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.state import state_of
from pytest_agent.chaos.subject import TestSubject
from pytest_agent.chaos.supervision.runner import Limits, Runner, Stopped
from pytest_agent.chaos.supervision.serving import read_events, serve
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.errors import UsageError
from pytest_agent.faults.schedule import Schedule
from pytest_agent.invariants import Violation
from pytest_agent.trace import Event, OutcomeClaimed

_CLEAN = ""


def observing(subject: TestSubject, item: pytest.Item, *, supervised: bool = False) -> TestSubject | Supervised:
    """The test as the search is to run it: in this process, or, where the session or its mark asks for it, supervised.

    Raises UsageError for options that cannot be.
    """
    options = SearchOptions.of(item.config)
    if not (options.supervised or supervised):
        return subject
    check_supervised(item.config)
    return Supervised(subject, item, Limits(options.memory_mb, options.hang_s))


class Supervised:
    """One test, run in a process forked from this one for each stretch of runs that it survives.

    The wider fixtures of the test are made here before the first fork, so that every process finds the same; what they
    started is never charged to a run. Beside what every run is judged by: `process` (it ended by itself), `memory`,
    `hang`, `children` and `threads` (what it left behind). After any of them there is a new process.
    """

    def __init__(self, subject: TestSubject, item: pytest.Item, limits: Limits) -> None:
        self._subject = subject
        self._item = item
        self._limits = limits
        self._state = state_of(item)
        self._runner: Runner | None = None
        self._usual: Sequence[str] | None = None
        self._stopped: dict[str, Verdict] = {}
        self._safe: set[str] = set()

    def observe_clean(self) -> Observed | None:
        """Run without faults. None where the test does not pass by itself, or does not leave its process as it was."""
        if not self._subject.warm_up():
            return None
        os.truncate(self._state.trace_path, 0)
        self._state.on_close(self.close)
        observed = self._run(None)
        return None if _CLEAN in self._stopped else observed

    def difference_of_clean_runs(self) -> str | None:
        """Run without faults once more. Where that run is not as the first one was, in words; None where it is."""
        offset = self._state.trace_path.stat().st_size
        self._run(Schedule())
        return self._subject.difference_to(read_events(self._state.trace_path, offset))

    def observe(self, schedule: Schedule) -> Observed:
        """Run once under the schedule, in a process of its own if need be."""
        observed = self._run(schedule)
        if observed is None:
            raise RuntimeError(f"{schedule}: the process gave no observation")
        return observed

    def can_repeat(self, verdict: Verdict) -> bool:
        """It may: here a process that does not survive it is one that may die."""
        del verdict
        return True

    def conclude(
        self,
        schedule: Schedule,
        nextitem: pytest.Item | None,
        *,
        faulted: Callable[[Verdict, BaseException | None], BaseException | None] | None = None,
        clean: Callable[[], BaseException | None] | None = None,
    ) -> list[pytest.TestReport]:
        """The test's own reports. What does not leave a process as it was is not run here: it is only told."""
        if schedule.faults and str(schedule) not in self._safe | self._stopped.keys():
            self.observe(schedule)
        self.close()
        stopped = self._stopped.get(str(schedule))
        if stopped is None:
            return self._subject.conclude(schedule, nextitem, faulted=faulted, clean=clean)

        def told() -> BaseException | None:
            if schedule.faults and faulted is not None:
                return faulted(stopped, None)
            lines = [line for found in stopped.violations for line in (str(found), *found.evidence)]
            return InvariantViolated("\n  ".join(lines))

        return self._subject.conclude_unrun(nextitem, told)

    def close(self) -> None:
        """Kill the process and all below it. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.end()

    def _run(self, schedule: Schedule | None) -> Observed | None:
        began = time.perf_counter()
        try:
            return self._judged(schedule)
        except BaseException:
            self.close()
            raise
        finally:
            self._state.explored_s += time.perf_counter() - began

    def _judged(self, schedule: Schedule | None) -> Observed | None:
        offset = self._state.trace_path.stat().st_size
        if self._runner is not None and self._runner.is_gone():
            # Between two runs: of neither can it be said that it ended the process.
            self.close()
        if self._runner is None:
            self._runner = Runner(self._serve, self._limits)
        text = None if schedule is None else str(schedule)
        answer = self._runner.ask({"schedule": text, "usual": self._usual})
        if isinstance(answer, Stopped):
            found = [Violation(answer.kind, "of the run", _under(answer.headline, schedule), answer.evidence)]
            observed: Observed | None = None
        else:
            _raise_what_it_says(answer)
            found = _remains(answer, schedule)
            observed = Observed.from_dict(answer["observed"]) if answer["observed"] is not None else None
        # Read after the process is gone, where it has to go: whatever it wrote until then.
        if isinstance(answer, Stopped) or found or self._runner.is_spent(answer):
            self.close()
        if found:
            return self._broken(schedule or Schedule(), observed, found, read_events(self._state.trace_path, offset))
        if schedule is None and observed is not None and not isinstance(answer, Stopped):
            self._subject.adopt(read_events(self._state.trace_path, offset))
            self._usual = answer["usual"]
        self._safe.add(text or _CLEAN)
        return observed

    def _broken(
        self, schedule: Schedule, observed: Observed | None, found: list[Violation], events: Sequence[Event]
    ) -> Observed:
        claims = [event.outcome for event in events if isinstance(event, OutcomeClaimed)]
        verdict = (
            observed.verdict
            if observed is not None
            else Verdict(
                schedule=str(schedule),
                faults=tuple(fault.id for fault in schedule.faults),
                word="FAILED",
                outcome=claims[-1] if claims else "none",
                violations=(),
                not_judged=(),
                events=(),
            )
        )
        plain = Place.of(self._item).plain
        shown = [Violation(one.id, one.name, plain(one.headline), tuple(plain(one.evidence))) for one in found]
        broken = replace(verdict, word="FAILED", violations=(*verdict.violations, *shown), events=tuple(events))
        self._stopped[str(schedule)] = broken
        return Observed.of(schedule, broken, events)

    def _serve(self, work: Any, files: Any) -> None:
        serve(self._item.config, self._subject, self._state.trace_path, work, files)


def _raise_what_it_says(answer: dict[str, Any]) -> None:
    if "refused" in answer:
        raise UsageError(answer["refused"])
    if "exit" in answer:
        raise Exit(answer["exit"], answer["code"])


def _remains(answer: dict[str, Any], schedule: Schedule | None) -> list[Violation]:
    found = []
    for kind, name in (("processes", "process"), ("threads", "thread")):
        left = answer[kind]
        if left:
            number = f"{len(left)} {name if len(left) == 1 else kind}"
            id_ = "children" if kind == "processes" else kind
            headline = f"left {number}: {', '.join(dict.fromkeys(left))}"
            found.append(Violation(id_, "of the run", _under(headline, schedule)))
    return found


def _under(headline: str, schedule: Schedule | None) -> str:
    return f"{headline}, under this schedule" if schedule is not None else f"{headline}, without any fault"
