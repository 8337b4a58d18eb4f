"""The questions that one pytest process puts to a fresh one, and its answers: files in a folder of their own.

`questions.json` lists schedules to be run in this order; `answers.jsonl` gets a line before each run and one after it,
so that a run which ends the process is known. Traces of the fresh process go into the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_agent.chaos.search.observed import Subject
from pytest_agent.faults.schedule import Schedule

_QUESTIONS, _ANSWERS = "questions.json", "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a process has answered before it ended: the ids of what did not hold, run by run.

    `died` says that it ended in the middle of the run after these, `broke` why it gave up in good order.
    """

    ids: tuple[tuple[str, ...], ...] = ()
    died: bool = False
    broke: str = ""


def ask(folder: Path, schedules: Sequence[str]) -> None:
    """Put the questions."""
    (folder / _QUESTIONS).write_text(json.dumps(list(schedules)))
    (folder / _ANSWERS).write_bytes(b"")


def answer(folder: Path, subject: Subject, *, holds: bool) -> None:
    """Run what is asked for. `holds`: whether the test passes without faults."""
    with (folder / _ANSWERS).open("a", buffering=1) as file:

        def say(**line: Any) -> None:
            file.write(json.dumps(line) + "\n")

        if not holds:
            say(broke="the test does not pass there without faults")
            return
        for text in json.loads((folder / _QUESTIONS).read_text()):
            say(begun=text)
            try:
                verdict = subject.observe(Schedule.parse(text)).verdict
            except BaseException as error:
                say(broke=f"{type(error).__name__}: {error}")
                raise
            say(ids=verdict.ids if verdict.failed else ())


def read_answers(folder: Path) -> Answers:
    """What was answered so far. A line that is not whole was never said."""
    found: list[tuple[str, ...]] = []
    begun, broke = 0, ""
    for text in (folder / _ANSWERS).read_text(errors="replace").split("\n")[:-1]:
        line = json.loads(text)
        begun += "begun" in line
        broke = line.get("broke", broke)
        if "ids" in line:
            found.append(tuple(line["ids"]))
    return Answers(tuple(found), begun > len(found) and not broke, broke)
