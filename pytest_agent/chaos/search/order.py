"""The order in which the runs of a search are put on record, whoever made them and when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.schedule import Schedule

_NUMBER = re.compile(r"\d+")


class CanonicalOrder:
    """Fewest faults first; single faults as the first step of every search takes them; then by site and setting.

    It follows from the clean run and the faults asked for. Its keys are JSON data that compare with each other.
    """

    def __init__(self, faults: Sequence[Named], sites: Sequence[SeenSite]) -> None:
        self._numbers = {str(single): number for number, single in enumerate(single_faults(faults, sites))}

    def key(self, schedule: str) -> list[Any]:
        """The sort key of a schedule in text form."""
        faults = [self._of_fault(str(fault)) for fault in Schedule.parse(schedule).faults] if schedule else []
        return [len(faults), *faults]

    def _of_fault(self, fault: str) -> list[Any]:
        # `llm#10` comes after `llm#9`.
        return [self._numbers.get(fault, len(self._numbers)), _NUMBER.sub(lambda found: found[0].zfill(9), fault)]
