"""The line that runs a test again under the schedule that broke it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

IN_A_CHILD = frozenset({"children", "hang", "memory", "process", "threads"})
"""The ids of what only a supervised run shows: in pytest's own process it would be the end of the session."""


def replay_line(
    test: str,
    schedule: str,
    *,
    seed: int = 0,
    options: str | None = None,
    ids: Iterable[str] = (),
    supervision: Sequence[str] = (),
) -> str:
    """The command to paste into a shell. `options` is the file given with `-c`, if any.

    `supervision` are the words that make a run supervised; they are left out where none of the `ids` of what broke
    needs them.
    """
    words = ["pytest", test, "--chaos-replay", schedule]
    if seed:
        words += ["--chaos-seed", str(seed)]
    if options:
        words += ["-c", options]
    if IN_A_CHILD.intersection(ids):
        words += supervision
    return shlex.join(words)


def supervision_of(config: pytest.Config) -> tuple[str, ...]:
    """The words that make a run supervised, within the limits that this session was given."""
    words = ["--chaos-supervised"]
    for option in ("--chaos-memory", "--chaos-hang"):
        value = config.getoption(option)
        if value is not None:
            words += [option, f"{value:g}"]
    return tuple(words)


def seen_from(folder: Path, root: Path, nodeid: str) -> str:
    """A test's id, which is relative to pytest's root, as the command line wants it in a folder."""
    path, colons, name = nodeid.partition("::")
    return Path(os.path.relpath(root / path, folder)).as_posix() + colons + name
