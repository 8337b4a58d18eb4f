"""The file of known failures: what breaks today, why that is put up with, and until when.

A list of `{test, schedule, reason, expires}`. An entry is there for as long as its schedule breaks its test: known ones
do not fail a session, new ones do, and what is fixed or has expired must be removed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.yaml_file import YamlFile, parse_yaml, read_yaml

ACCEPTED_FOR = datetime.timedelta(days=90)
_ROOT = "known"


def _day(value: object) -> datetime.date:
    try:
        if isinstance(value, str) and len(value) == 10:
            return datetime.date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("expected a day; write it as 2027-01-31")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    test: str = Field(min_length=1)
    schedule: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    expires: Annotated[datetime.date, BeforeValidator(_day)]


class _Entries(BaseModel):
    known: list[_Entry]


@dataclass(frozen=True, slots=True)
class Known:
    """One known failure. `expires` is the last day on which it is put up with; `file` and `lines` are its place."""

    test: str
    schedule: Schedule
    reason: str
    expires: datetime.date
    file: str
    lines: tuple[int, int]

    @property
    def where(self) -> str:
        """`known_failures.yaml, lines 3 to 6`."""
        first, last = self.lines
        return f"{self.file}, line {first}" if first == last else f"{self.file}, lines {first} to {last}"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A failure that is to be known from now on."""

    test: str
    schedule: str
    reason: str
    expires: datetime.date

    def to_text(self, indent: str = "") -> str:
        """Its lines in the file."""
        data = {"test": self.test, "schedule": self.schedule, "reason": self.reason}
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1_000_000)
        lines = [*text.splitlines(), f"expires: {self.expires.isoformat()}"]
        return "".join(f"{indent}{'  ' if number else '- '}{line}\n" for number, line in enumerate(lines))


class KnownFile:
    """What the file says. One that is not there says nothing."""

    def __init__(self, path: Path, text: str, entries: Sequence[Known]) -> None:
        self.path = path
        self.entries = tuple(entries)
        self._text = text

    @classmethod
    def read(cls, path: Path, shown: str) -> KnownFile:
        """Read and check it. Raises UsageError with file, line and the edit to make."""
        if not path.exists():
            return cls(path, "", ())
        file = read_yaml(path, shown, list_as=_ROOT)
        text = path.read_text("utf-8")
        return cls(path, text, _entries(file, text))

    def of(self, test: str) -> tuple[Known, ...]:
        """The known failures of a test, in the order of the file."""
        return tuple(entry for entry in self.entries if entry.test == test)

    def with_more(self, entries: Sequence[NewEntry]) -> str:
        """The text to append so that the file has these too. What is there stays as it is.

        Raises UsageError where nothing can be appended to the list as it is written.
        """
        indent = self._indent()
        more = "" if not self._text or self._text.endswith("\n") else "\n"
        more += "".join(entry.to_text(indent) for entry in entries)
        shown = str(self.path)
        try:
            found = parse_yaml(self._text + more, self.path, shown, list_as=_ROOT).data[_ROOT]
        except UsageError:
            found = []
        if len(found) != len(self.entries) + len(entries):
            raise UsageError(
                f"{shown}: cannot be added to; write the list with '- ' before each entry, not in brackets"
            )
        return more

    def _indent(self) -> str:
        lines = [line for line in self._text.split("\n") if line.lstrip().startswith("- ")]
        return lines[0][: len(lines[0]) - len(lines[0].lstrip())] if lines else ""


def _entries(file: YamlFile, text: str) -> list[Known]:
    rows = file.validate(_Entries).known
    catalogue = load_catalogue()
    lines = text.split("\n")
    seen: dict[tuple[str, str], str] = {}
    found = []
    for index, row in enumerate(rows):
        place: tuple[Any, ...] = (_ROOT, index)
        try:
            schedule = Schedule.parse(row.schedule)
            catalogue.arm(schedule)
        except UsageError as error:
            raise file.error((*place, "schedule"), str(error)) from None
        key = row.test, str(schedule)
        if key in seen:
            raise file.error(place, f"the same test and schedule are at {seen[key]} already; remove one of them")
        seen[key] = file.where(place)
        first = file.lines[place]
        last = file.lines.get((_ROOT, index + 1), len(lines) + 1) - 1
        while last > first and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
            last -= 1
        found.append(Known(row.test, schedule, row.reason, row.expires, file.shown, (first, last)))
    return found
