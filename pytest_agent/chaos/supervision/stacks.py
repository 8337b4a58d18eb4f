"""Where threads are: their stacks, from inside or out of a dump, and the one place in them that an author knows."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

_LINE = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_HEAD = "(most recent call first):"
_LIBRARIES = (*{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}, str(Path(__file__).parents[2]))
_POOLS = {("concurrent/futures/thread.py", "_worker"), ("anyio/_backends/_asyncio.py", "run")}
_WAITING = {("queue.py", "get"), ("threading.py", "wait")}


@dataclass(frozen=True, slots=True)
class Place:
    """One frame. `line` is 0 where the thread moves on inside the function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" if self.line else f"{self.file} in {self.function}"

    @property
    def is_library(self) -> bool:
        """Whether it is of the standard library, an installed package, or of this one."""
        return self.file.startswith(_LIBRARIES) or self.file.startswith("<")

    def is_one_of(self, known: set[tuple[str, str]]) -> bool:
        """Whether it is one of these functions, each with the end of its file."""
        return any(self.function == function and self.file.endswith(f"/{file}") for file, function in known)


@dataclass(frozen=True, slots=True)
class Stack:
    """The places of one thread, outermost first."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, frame: FrameType | None) -> Self:
        """The stack that ends in this frame."""
        places = []
        while frame is not None:
            places.append(Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        return cls(tuple(reversed(places)))

    @property
    def authors(self) -> Place | None:
        """The innermost place in the author's own code."""
        return next((place for place in reversed(self.places) if not place.is_library), None)

    @property
    def entry(self) -> str:
        """The author's function in which the thread began, with its file."""
        first = next((place for place in self.places if not place.is_library), None)
        return f"{first.file} in {first.function}" if first is not None else ""

    @property
    def where(self) -> str:
        """The author's place, and in which call of a library the thread is there, if it is in one."""
        if not self.places:
            return "an unknown place"
        deepest, authors = self.places[-1], self.authors
        if authors is None or authors is deepest:
            return str(authors or deepest)
        return f"{authors} ({Path(deepest.file).name} {deepest.function})"

    @property
    def is_idle_worker(self) -> bool:
        """Whether it is a thread of a pool that waits for work."""
        places = list(self.places)
        while places and places[-1].is_one_of(_WAITING):
            places.pop()
        return bool(places) and places[-1].is_one_of(_POOLS)

    def steady(self, later: Stack) -> Stack:
        """What is the same a moment later: of a thread that runs, the function and not the line."""
        same: list[Place] = []
        for one, other in zip(self.places, later.places, strict=False):
            if one == other:
                same.append(one)
                continue
            if (one.file, one.function) == (other.file, other.function):
                same.append(Place(one.file, 0, one.function))
            break
        return Stack(tuple(same))


def read_dumps(text: str, start: str = "") -> list[Stack]:
    """The stacks of a dump of `faulthandler`, thread by thread: of those whose line begins like this."""
    stacks: list[list[Place]] = []
    wanted: list[bool] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None and stacks:
            stacks[-1].append(Place(found[1], int(found[2]) if found[2].isdecimal() else 0, found[3]))
        elif line.endswith(_HEAD):
            stacks.append([])
            wanted.append(line.startswith(start))
    stacks = [places for places, is_wanted in zip(stacks, wanted, strict=True) if is_wanted]
    return [Stack(tuple(reversed(places))) for places in stacks]


def without_dumps(text: str) -> str:
    """The text without what `read_dumps` reads, and without the list of modules that follows it."""
    lines = [line for line in text.splitlines() if not _LINE.fullmatch(line) and not line.endswith(_HEAD)]
    return "\n".join(line for line in lines if not line.startswith("Extension modules:"))


def steady_places(first: str, second: str) -> list[str]:
    """Where the threads of two dumps of one process stay, the author's own only, each once and sorted."""
    pairs = zip(read_dumps(first), read_dumps(second), strict=False)
    return _once([one.steady(other) for one, other in pairs])


def _once(stacks: Sequence[Stack]) -> list[str]:
    return sorted({stack.where for stack in stacks if stack.authors is not None})
