"""Noticing: what an operator has to look at, written into one draft beside what it is about."""

from __future__ import annotations

from agentfsm.breaker import OPEN
from agentfsm.draft import Draft
from agentfsm.incidents import incident_of, notice
from agentfsm.parts import Parts
from agentfsm.records import Step


def report(parts: Parts, draft: Draft) -> None:
    """Add the incident where this end, or this doubt, is one."""
    incident = incident_of(draft.task, draft.steps, parts.workflow, draft.now, parts.masker)
    if incident is not None:
        draft.incidents.append(incident)
        draft.note("incident", code=incident.code, error_class=incident.error_class, key=incident.key)


def breaker_turned(parts: Parts, draft: Draft, step: Step, state: str) -> None:
    """Note that a breaker has opened, which somebody should know of, let a probe through, or closed again."""
    draft.note("breaker", step=step.step_id, tool=step.tool, state=state)
    if state == OPEN:
        facts, masker = {"step": step.key}, parts.masker
        draft.incidents.append(
            notice(
                "breaker_opened",
                about=draft.task,
                now=draft.now,
                facts=facts,
                tool=step.tool,
                fault="tool",
                masker=masker,
            )
        )
