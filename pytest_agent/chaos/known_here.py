"""The known failures of this session: read and checked when tests are collected, added to at the end."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.known import ACCEPTED_FOR, KnownFile, NewEntry
from pytest_agent.chaos.mark import refuse
from pytest_agent.chaos.ratchet import Ratchet
from pytest_agent.chaos.search.bounds import Shard
from pytest_agent.chaos.state import test_id
from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.folder import known_folder
from pytest_agent.report.session import NOTES

_FILE = pytest.StashKey[KnownFile]()
_TODAY = pytest.StashKey[datetime.date]()
TODAY = "PYTEST_AGENT_TODAY"
"""In the environment: the day on which the session thinks it is, so that what expires can be tried out."""


def today_of(config: pytest.Config) -> datetime.date:
    """The day of this session, the same in all its workers. Raises UsageError for one that is no day."""
    found = config.stash.get(_TODAY, None)
    if found is None:
        given = getattr(config, "workerinput", {}).get(TODAY) or os.environ.get(TODAY)
        try:
            found = datetime.date.fromisoformat(given) if given else datetime.datetime.now().astimezone().date()
        except ValueError:
            raise UsageError(f"{TODAY}={given!r} is no day; write it as 2027-01-31, or unset it") from None
        config.stash[_TODAY] = found
    return found


def known_file(config: pytest.Config) -> KnownFile:
    """The file, read once. Raises UsageError."""
    file = config.stash.get(_FILE, None)
    if file is None:
        name = str(config.getini("agent_known_failures"))
        file = config.stash[_FILE] = KnownFile.read(config.rootpath / name, Path(name).as_posix())
    return file


def check_known(config: pytest.Config, marked: Sequence[pytest.Item], items: list[pytest.Item]) -> None:
    """Refuse the session where the file cannot be read or added to, or names a test that is not there.

    Raises pytest.UsageError: exit code 4. `items` are all that was collected, before any is taken out.
    """
    if not marked:
        return
    try:
        today_of(config)
        file = known_file(config)
        reason = config.getoption("chaos_accept")
        if reason is not None:
            # What cannot be added to is refused before anything runs.
            file.with_more([NewEntry("a.py::test", "reply-lost@tool:a#1", reason, today_of(config))])
        _check_tests(config, file, marked, items)
    except UsageError as error:
        refuse(config, marked[0], items, pytest.UsageError(str(error)))


def ratchet_of(item: pytest.Item, shard: Shard) -> Ratchet:
    """The ratchet on a collected test. Of the parts that --chaos-shard asks for the first demands edits of the file."""
    config = item.config
    accept, demands = config.getoption("chaos_accept"), shard.number == 1
    return Ratchet(known_file(config).of(test_id(item)), today_of(config), accept=accept, demands=demands)


def accept_at_the_end(session: pytest.Session) -> None:
    """Add what broke and is not known to the file; it fails the session where that cannot be done.

    With xdist the controller does so, for all workers. Nothing is accepted in a session that was cut off.
    """
    config, folder = session.config, known_folder(session.config)
    over = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if folder is None or hasattr(config, "workerinput") or not over:
        return
    try:
        note = _accept(config, folder.read_results())
    except UsageError as error:
        note = str(error)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    config.stash.setdefault(NOTES, []).append(note)


def _accept(config: pytest.Config, results: Sequence[dict[str, Any]]) -> str:
    expires = today_of(config) + ACCEPTED_FOR
    # A test that is expected to break has an entry of its own: its mark.
    found = [
        NewEntry(result["test"], failure["schedule"], config.getoption("chaos_accept"), expires)
        for result in results
        if result["expect_failure"] is None
        for failure in result["failures"]
        if failure["known"] is None
    ]
    name = config.getini("agent_known_failures")
    if not found:
        return f"nothing new to accept into {name}"
    file = known_file(config)
    text = file.with_more(found)
    try:
        with file.path.open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UsageError(f"{name}: cannot be written ({error.strerror}); add these lines to it:\n{text}") from None
    return f"accepted into {name}: {len(found)} new, until {expires.isoformat()}"


def _check_tests(
    config: pytest.Config, file: KnownFile, marked: Sequence[pytest.Item], items: Sequence[pytest.Item]
) -> None:
    """A test that is not there, in a file of tests that was collected as a whole."""
    known_tests = {test_id(item) for item in marked}
    files = {test_id(item).partition("::")[0] for item in items}
    if getattr(config.option, "lf", False):
        # Only what failed the last time was collected.
        return
    partly = {Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args if "::" in arg}
    for entry in file.entries:
        path = entry.test.partition("::")[0]
        if entry.test in known_tests or path not in files or config.rootpath / path in partly:
            continue
        there = any(test_id(item) == entry.test for item in items)
        what = "is there, and is no chaos test" if there else "is not in that file"
        near = did_you_mean(entry.test, (test for test in known_tests if test.partition("::")[0] == path))
        raise UsageError(f"{entry.where}: the test {entry.test!r} {what}; change the name, or remove the entry.{near}")
