"""Lines for a person out of a test's result: the fewest faults that break it, and what was not explored."""

from __future__ import annotations

from typing import Any


def fewest(failure: dict[str, Any]) -> str:
    """The faults of a failure: `a at x; b at y (shrunk from 3)`."""
    text = "; ".join(failure["fewest"])
    return f"{text} (shrunk from {failure['shrunk_from']})" if failure["shrunk_from"] > len(failure["fewest"]) else text


def not_explored(coverage: dict[str, Any]) -> str:
    """What is missing in the coverage of a search, on one line; empty where nothing is."""
    missing = [
        (len(coverage["alone"]["not_run"]), coverage["alone"]["all"], "single faults"),
        (len(coverage["places"]["not_run"]), coverage["places"]["all"], "(fault, site)"),
        (len(coverage["states"]["not_seen"]), coverage["states"]["all"], "states"),
        (len(coverage["transitions"]["not_seen"]), coverage["transitions"]["all"], "transitions"),
    ]
    return ", ".join(f"{count} of {whole} {what}" for count, whole, what in missing if count)
