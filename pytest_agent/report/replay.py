"""The line that runs a test again under the schedule that broke it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

COMMAND = pytest.StashKey[tuple[str, ...]]()
"""In the stash of a session that another command than pytest has begun: its words, to which `--replay` is added."""


def replay_line(
    test: str, schedule: str, *, seed: int = 0, options: str | None = None, command: Sequence[str] | None = None
) -> str:
    """The command to paste into a shell. `options` is the file given with `-c`, if any; `command` that of `COMMAND`."""
    if command is not None:
        return shlex.join([*command, "--replay", schedule, *(["--seed", str(seed)] if seed else [])])
    words = ["pytest", test, "--chaos-replay", schedule]
    if seed:
        words += ["--chaos-seed", str(seed)]
    if options:
        words += ["-c", options]
    return shlex.join(words)


def seen_from(folder: Path, root: Path, nodeid: str) -> str:
    """A test's id, which is relative to pytest's root, as the command line wants it in a folder."""
    path, colons, name = nodeid.partition("::")
    return Path(os.path.relpath(root / path, folder)).as_posix() + colons + name
