"""A run under a schedule, without the plugin around it."""

import pytest

from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.run import Run


@pytest.fixture
def run_under(tmp_path):
    """`run_under("reply-lost@tool:refund#1")`: a Run; `with run.inside(): ...`."""

    def make(text=""):
        schedule = Schedule.parse(text) if text else Schedule()
        return Run(
            "test",
            schedule=schedule,
            armed=load_catalogue().arm(schedule),
            seed=0,
            trace_file=None,
            ledger=tmp_path / "ledger.jsonl",
        )

    return make
