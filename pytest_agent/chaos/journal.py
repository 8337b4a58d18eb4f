"""What a search has seen so far, in a file: one that was interrupted goes on, and one that died is told of what.

A line before each run and one after it. A run that was begun and has no end is one that took its process with it:
`os._exit`, SIGKILL, out of memory. It counts as FAILED, and is not run again in the process that searches.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from pytest_agent.chaos.death_verdict import died
from pytest_agent.chaos.search.observed import Observed, Subject
from pytest_agent.errors import UsageError
from pytest_agent.faults.schedule import Schedule


class Journal:
    """The runs of one search on one test. `seen` is what the file tells of earlier ones, by schedule."""

    def __init__(self, path: Path, file: int, fingerprint: str) -> None:
        self._path = path
        self._file = file
        self.seen: dict[str, Observed] = {}
        self._read(fingerprint)

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> Journal | None:
        """Begin one, or go on with the one at `path` if it has this fingerprint. None while another process has it."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Of this process alone: what it forks must not hold it when it is gone.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return cls(path, file, fingerprint)

    def begin(self, schedule: Schedule) -> None:
        """The schedule is about to be run."""
        self._write({"begun": str(schedule)})

    def end(self, schedule: Schedule, seen: Observed | None) -> None:
        """The run is over. None: it showed nothing, and will have to be made again."""
        self._write({"over": str(schedule), "seen": None if seen is None else seen.to_dict()})

    def close(self, *, done: bool) -> None:
        """No more runs. `done`: the search came to its end, and nothing of it is needed any more."""
        if done:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _read(self, fingerprint: str) -> None:
        # Through this descriptor: to close another one of the file would give up the lock.
        *lines, _torn = os.pread(self._file, os.fstat(self._file).st_size, 0).split(b"\n")
        good, begun = 0, None
        for number, line in enumerate(lines):
            try:
                said = json.loads(line)
                if number == 0:
                    if said != {"fingerprint": fingerprint}:
                        break
                elif "begun" in said:
                    begun = Schedule.parse(said["begun"])
                else:
                    begun = None
                    if said["seen"] is not None:
                        self.seen[said["over"]] = Observed.from_dict(said["seen"])
            except (ValueError, KeyError, TypeError, AttributeError, UsageError):
                # A disk that was full, or another's hand: what comes after it is not to be trusted.
                break
            good += len(line) + 1
        os.ftruncate(self._file, good)
        if not good:
            self._write({"fingerprint": fingerprint})
        if begun is not None:
            self.end(begun, died(begun, "in a session that ended with it"))
            self.seen[str(begun)] = died(begun, "in a session that ended with it")

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Journaled:
    """A subject whose runs are in a journal. What is there already is not run again."""

    def __init__(self, subject: Subject, journal: Journal) -> None:
        self._subject = subject
        self._journal = journal

    def observe(self, schedule: Schedule) -> Observed:
        """What the journal knows of the schedule, or else a run of it."""
        known = self._journal.seen.get(str(schedule))
        if known is not None:
            return known
        self._journal.begin(schedule)
        seen = None
        try:
            seen = self._subject.observe(schedule)
        finally:
            # An interrupted run is no deadly one.
            self._journal.end(schedule, seen)
        return seen
