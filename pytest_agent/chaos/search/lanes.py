"""Which lane of a search a schedule is in. It depends on the schedule alone, and not on who runs it."""

from __future__ import annotations

import hashlib

from pytest_agent.chaos.search.bounds import LANES
from pytest_agent.faults.schedule import Schedule


def lane_of(schedule: Schedule) -> int:
    """The lane, counted from 0: that of the earliest fault, so that what begins alike stays together."""
    text = str(schedule.faults[0]) if schedule.faults else ""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % LANES
