"""Errors in what the author of a test wrote: predicates and functions that say what the model says."""

from __future__ import annotations

import traceback
from pathlib import Path

_OURS = Path(__file__).resolve().parents[1]


def problem_of(error: Exception) -> str:
    """The error and the line of the test that raised it. It fails the test, whatever the agent makes of it."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not Path(frame.filename).resolve().is_relative_to(_OURS)]
    place = f" at {Path(theirs[-1].filename).name}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else ""
    return f"{type(error).__name__}: {error}{place}"
