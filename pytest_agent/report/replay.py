"""The line that runs a test again under the schedule that broke it."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

COMMAND = pytest.StashKey[tuple[str, ...]]()
"""In the stash of a session that another command than pytest has begun: its words, to which `--replay` is added."""
IN_A_CHILD = frozenset({"children", "hang", "memory", "process", "threads"})
"""The ids of what only a supervised run shows: in pytest's own process it would be the end of the session."""


@dataclass(frozen=True, slots=True)
class Begun:
    """How a session was begun, as far as a replay has to do it again.

    `options` is the file given with `-c`. `supervision` are the words that make a run supervised, within the same
    limits. `command` is that of `COMMAND`.
    """

    seed: int = 0
    options: str | None = None
    supervision: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None

    @classmethod
    def of(cls, config: pytest.Config) -> Self:
        """Read it off a session."""
        return cls(
            seed=int(config.getoption("chaos_seed")),
            options=config.getoption("inifilename"),
            supervision=_supervision(config),
            command=config.stash.get(COMMAND, None),
        )

    def anywhere(self) -> Self:
        """Without what depends on the folder in which it was begun."""
        return dataclasses.replace(self, options=None)


_PLAINLY = Begun()


def replay_line(test: str, schedule: str, begun: Begun = _PLAINLY, *, ids: Iterable[str] = ()) -> str:
    """The command to paste into a shell. It is supervised only where one of the `ids` of what broke needs that."""
    seed = str(begun.seed)
    if begun.command is not None:
        return shlex.join([*begun.command, "--replay", schedule, *(["--seed", seed] if begun.seed else [])])
    words = ["pytest", test, "--chaos-replay", schedule]
    if begun.seed:
        words += ["--chaos-seed", seed]
    if begun.options:
        words += ["-c", begun.options]
    if IN_A_CHILD.intersection(ids):
        words += begun.supervision
    return shlex.join(words)


def seen_from(folder: Path, root: Path, nodeid: str) -> str:
    """A test's id, which is relative to pytest's root, as the command line wants it in a folder."""
    path, colons, name = nodeid.partition("::")
    return Path(os.path.relpath(root / path, folder)).as_posix() + colons + name


def _supervision(config: pytest.Config) -> tuple[str, ...]:
    words = ["--chaos-supervised"]
    for option in ("--chaos-memory", "--chaos-hang"):
        value = config.getoption(option)
        if value is not None:
            words += [option, f"{value:g}"]
    return tuple(words)
