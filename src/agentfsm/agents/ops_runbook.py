"""An agent that works through a runbook when a service is ill: look, act with approval, look again.

DIAGNOSE -> REMEDY -> VERIFY, back to REMEDY once where it did not help. Reading is done by the orchestrator, all at
once; which remedy to take is the model's to propose; what destroys anything needs a person's approval of the very call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentfsm.agents.ops_contracts import (
    CONTRACTS,
    HEALTH,
    PAGE,
    READ,
    RESTART,
    ROLL_BACK,
    SCALE,
    UNSCALE,
)
from agentfsm.ports import Model, Store
from agentfsm.prompts import load_prompts
from agentfsm.runtime import Runtime
from agentfsm.stages import Abort, Arguments, Calls, Never, Role, Stage
from agentfsm.tools import callable_tools
from agentfsm.waits import Business
from agentfsm.workflow import Workflow

TRIES = 2
"""How many remedies are tried."""
APPROVAL_S = 3600.0
"""How long an approval is waited for."""
REMEDIES = frozenset({RESTART, ROLL_BACK, SCALE})
_TASK = re.compile(r"\bservice (?P<service>[a-z][a-z0-9-]*).*?\bregion (?P<region>[a-z][a-z0-9-]*)", re.DOTALL)


def _begin(text: str) -> Business:
    named = _TASK.search(text)
    where = {"service": "", "region": ""} if named is None else named.groupdict()
    return {**where, "tried": 0, "added": 0}


def _where(business: Business) -> Arguments:
    return {"service": business["service"], "region": business["region"]}


def _fold(business: Business, tool: str, arguments: Arguments, output: Mapping[str, Any]) -> Business:
    if tool in REMEDIES:
        added = business["added"] + arguments.get("add", 0)
        known = {**business, "acted": tool, "tried": business["tried"] + 1, "added": added}
        known.pop("healthy", None)
        return known
    if tool == HEALTH:
        return _checked(business, healthy=bool(output["healthy"]))
    if tool == PAGE:
        return {**business, "paged": True}
    if tool == UNSCALE:
        return business
    return {**business, tool: dict(output)}


def _checked(business: Business, *, healthy: bool) -> Business:
    """Return what is known after a check; an ill service goes back to its remedy."""
    known = {**business, "healthy": healthy}
    if not healthy:
        known.pop("acted", None)
    return known


def _diagnosis(business: Business) -> Calls:
    return [(contract.name, _where(business)) for contract in READ if contract.name not in business]


def _aborted(business: Business) -> Abort | None:
    if not business["service"]:
        return Abort("no_service", answer="Say it as: service NAME in region NAME.")
    if business["tried"] >= TRIES and business.get("healthy") is False:
        return Abort("still_ill", answer=f"{business['service']} is still ill after {TRIES} remedies.")
    return None


def _of_this_task(business: Business, arguments: Arguments) -> str | None:
    for name, value in _where(business).items():
        if arguments[name] != value:
            return f"This is about {name} {value!r} alone."
    return None


def _known_version(business: Business, arguments: Arguments) -> str | None:
    previous = business["deployments.list"]["previous"]
    if arguments["to"] != previous:
        return f"The version that ran before is {previous!r}; go back to no other."
    return _of_this_task(business, arguments)


PROMPTS = load_prompts(Path(__file__).parent / "prompts")

WORKFLOW = Workflow(
    name="ops_runbook",
    version=1,
    instructions="",
    prompt=PROMPTS["ops_runbook", 1],
    goal="the service is well",
    contracts=CONTRACTS,
    stages=(
        Stage("DIAGNOSE", frozenset(c.name for c in READ), lambda b: not _diagnosis(b), calls=_diagnosis),
        Stage(
            "REMEDY",
            REMEDIES | {PAGE},
            lambda b: "acted" in b or b.get("healthy") is True,
            role="operator",
            visits=TRIES,
        ),
        Stage(
            "VERIFY",
            frozenset({HEALTH}),
            lambda b: b.get("healthy") is True,
            calls=lambda b: [(HEALTH, _where(b))] if "healthy" not in b else (),
        ),
    ),
    begin=_begin,
    fold=_fold,
    done_when=lambda business: business.get("healthy") is True,
    aborted_when=_aborted,
    answers=lambda b: f"{b['service']} in {b['region']} is well again after {b['acted']}.",
    roles={"operator": Role(PROMPTS["ops_operator", 1], REMEDIES | {PAGE})},
    guards={
        RESTART: _of_this_task,
        ROLL_BACK: _known_version,
        SCALE: _of_this_task,
        PAGE: _of_this_task,
    },
    never=(
        Never("touching a primary database", lambda _t, args, _b: "primary" in str(args.get("service", ""))),
        Never(
            "adding more than ten replicas for one incident",
            lambda tool, args, b: tool == SCALE and args["add"] + b["added"] > 10,
        ),
    ),
    compensations={SCALE: lambda _arguments, output: {"change_id": output["change_id"]}},
)


def build(
    *,
    store: Store,
    model: Model,
    tools: Mapping[str, Callable[..., Any]],
    approval_s: float = APPROVAL_S,
    **settings: Any,
) -> Runtime:
    """Return the agent. `tools` maps the names of the nine contracts to functions, sync or async.

    They are called with keyword arguments and answer a dict; those with an effect also get `idempotency_key`. Where
    `tools` has `service.restart.query`, that function is asked whether a restart under a key has happened. `settings`
    are those of Runtime.
    """
    return Runtime(
        workflow=WORKFLOW,
        model=model,
        tools=callable_tools(CONTRACTS, tools),
        store=store,
        approval_s=approval_s,
        **settings,
    )
