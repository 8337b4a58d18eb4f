"""Incidents: what an operator has to look at, taken down with the task as it was, masked and bounded. Pure.

Which end is one, `causes` says for each cause, with the reason at its head. An effect that nobody can account for is
one whatever the end. A dry run and a shadow are none: nothing happened to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentfsm.explaining import Explained, explain
from agentfsm.masking import Bounds, Masker, mask
from agentfsm.records import Incident, Step, Task
from agentfsm.reporting import for_operator
from agentfsm.results import claim
from agentfsm.workflow import Workflow

BOUNDS = Bounds(text=1_000, items=40, depth=10, total=12_000)
"""The bounds of an incident's data."""
UNKNOWN_EFFECT, CRASHED = "unknown_effect", "crashed"
"""Classes of incidents beside those of errors; where neither fits, the class is whose fault it was."""


def incident_of(
    task: Task, steps: Sequence[Step], workflow: Workflow, now: float, masker: Masker = mask
) -> Incident | None:
    """Return the incident that the end of a task is, or its wait for somebody who knows; None where it is none."""
    if task.outcome is None or task.mode != "live":
        return None
    said = explain(task.cause, task.outcome, steps)
    result = claim(workflow, task, steps)
    if not result.unknown and (not said.cause.incident or task.outcome in {"success", "partial"}):
        return None
    found = UNKNOWN_EFFECT if result.unknown or task.outcome == "unknown" else _class(said)
    tool = None if said.step is None else said.step.tool
    data = for_operator(result, task, steps, masker, BOUNDS)
    contract = workflow.contract(tool or "")
    return _incident(
        task.cause or task.outcome,
        found,
        tool=contract.label if contract is not None else tool,
        about=(task.request_id, task.workflow, _prompt(steps)),
        now=now,
        data={**data, "incident": True},
        masker=masker,
    )


def notice(
    code: str,
    *,
    about: Task | str,
    now: float,
    facts: Mapping[str, Any],
    tool: str | None = None,
    fault: str = "system",
    masker: Masker = mask,
) -> Incident:
    """Return an incident that is no end of a task: a history that cannot be read, a breaker that opened, a canary.

    `about` is the task it was noticed at, or the label of the workflow. `facts` are plain data; they are masked here.
    """
    name, workflow = (about.request_id, about.workflow) if isinstance(about, Task) else ("", about)
    data = masker({"cause": code, "fault": fault, **facts}, BOUNDS)
    return _incident(code, fault, tool=tool, about=(name, workflow, None), now=now, data=data, masker=masker)


def group(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """Count incidents of one class, code, workflow and prompt version; the most frequent group first."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for incident in incidents:
        key = (incident.error_class, incident.code, incident.workflow, incident.prompt or "")
        names = ("error_class", "code", "workflow", "prompt")
        found = groups.setdefault(
            key, {**dict(zip(names, key, strict=True)), "count": 0, "first": incident.at, "last": incident.at}
        )
        found["count"] += 1
        found["first"] = min(found["first"], incident.at)
        if "last_task" not in found or incident.at > found["last"]:
            found["last"], found["last_task"] = incident.at, incident.request_id
    return sorted(groups.values(), key=lambda found: (-found["count"], found["error_class"], found["code"]))


def _incident(
    code: str,
    error_class: str,
    *,
    tool: str | None,
    about: tuple[str, str, str | None],
    now: float,
    data: dict[str, Any],
    masker: Masker,
) -> Incident:
    request_id, workflow, prompt = about
    code = masker.text(code, 100)
    key = "|".join((error_class, code, tool or "-", workflow, prompt or "-"))
    return Incident(request_id, key, code, error_class, workflow, now, prompt, data)


def _class(said: Explained) -> str:
    if said.step is None or not said.step.error_class:
        return said.fault
    return CRASHED if str(said.step.error_code).endswith("_crashed") else said.step.error_class


def _prompt(steps: Sequence[Step]) -> str | None:
    return next((step.prompt for step in reversed(steps) if step.prompt), None)
