"""Hold the clean run of one task to what its scenario says of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_agent.errors import PytestAgentError
from pytest_agent.scenarios.model import TaskPart
from pytest_agent.trace import AgentEvent, Event, StoreCommitted
from pytest_agent.yaml_file import Place, YamlFile

if TYPE_CHECKING:
    from pytest_agent.sandbox.ledger import Ledger


class EndedOtherwise(PytestAgentError, AssertionError):
    """The agent's clean run did not end as its scenario says."""


def check_ending(
    task: TaskPart, file: YamlFile, place: Place, result: Any, events: Sequence[Event], ledger: Ledger
) -> None:
    """Compare the task at `place` with its result, its events and the ledger. Raises EndedOtherwise for the first."""

    def differs(where: Place, text: str) -> EndedOtherwise:
        return EndedOtherwise(str(file.error((*place, *where), text)))

    if result.outcome != task.expect:
        raise differs(
            ("expect",),
            f"the agent ended as {result.outcome!r} (cause {result.cause!r}), expected {task.expect!r}",
        )
    if task.cause is not None and result.cause != task.cause:
        raise differs(
            ("cause",),
            f"the agent ended as {result.outcome!r} because of {result.cause!r}, expected {task.cause!r}; "
            "correct the cause, or the agent",
        )
    commits = [event for event in events if isinstance(event, StoreCommitted)]
    on = commits[0].workflow if commits else None
    if task.workflow is not None and on != task.workflow:
        raise differs(
            ("workflow",), f"the task is on {on!r}, expected {task.workflow!r}; correct the version, or the rollout"
        )
    path = [stage for stage, _ in itertools.groupby(event.stage for event in commits)]
    if task.path and path != task.path:
        raise differs(
            ("path",),
            f"the agent went {' -> '.join(path)}, expected {' -> '.join(task.path)}; correct the path, or the agent",
        )
    _check_reports(task, events, differs)
    for index, world in enumerate(task.world):
        found = ledger.count(world.tool, **world.arguments)
        if found != world.count:
            raise differs(
                ("world", index), f"found {found} time(s) on the ledger, expected {world}; correct it, or the agent"
            )


def _check_reports(task: TaskPart, events: Sequence[Event], differs: Callable[[Place, str], EndedOtherwise]) -> None:
    kinds = {row["kind"] for row in task.reports}
    told = [event.data for event in events if isinstance(event, AgentEvent) and event.data.get("kind") in kinds]
    for index, (expected, found) in enumerate(itertools.zip_longest(task.reports, told)):
        if expected is None:
            raise differs(("reports",), f"the agent reported {found} besides; add it, or correct the agent")
        if found is None:
            raise differs(("reports", index), f"the agent reported no more, expected {expected}; correct it")
        if any(found.get(name) != value for name, value in expected.items()):
            raise differs(
                ("reports", index), f"the agent reported {found}, expected {expected}; correct it, or the agent"
            )
