"""An agent that answers a question from several sources, and says from which.

PLAN -> SEARCH -> DRAFT -> VERIFY, once more from SEARCH where the check found a claim without a source. Every question
goes to every source at the same time; a source that is down is replaced, and the answer is then partial. A role of its
own checks the draft: it can read sources and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentfsm.agents.research_contracts import CONTRACTS, DRAFT, INTERNAL, PAPERS, PLAN, READ, VERDICT, WEB
from agentfsm.budgets import Limits
from agentfsm.contracts import canonical
from agentfsm.fallbacks import Cached, Degraded
from agentfsm.ports import Model, Store
from agentfsm.prompts import load_prompts
from agentfsm.runtime import Runtime
from agentfsm.stages import Abort, Arguments, Calls, Role, Stage
from agentfsm.tools import callable_tools
from agentfsm.waits import Business
from agentfsm.workflow import Workflow

SOURCES = (WEB, PAPERS, INTERNAL)
ROUNDS = 2
"""How often a draft is written at most."""
LIMITS = Limits(steps=60, tool_calls=60, no_progress=12)
_NOTHING: Mapping[str, Any] = {"hits": []}


def _key(tool: str, query: str) -> str:
    return f"{tool} {query}"


def _fold(business: Business, tool: str, arguments: Arguments, output: Mapping[str, Any]) -> Business:
    if tool == PLAN:
        return {**business, "questions": list(arguments["questions"])}
    if tool in SOURCES:
        found = {hit["id"]: hit["title"] for hit in output["hits"]}
        asked = [*business["asked"], _key(tool, arguments["query"])]
        return {**business, "asked": asked, "sources": {**business["sources"], **found}}
    if tool == DRAFT:
        return {**business, "draft": dict(arguments), "rounds": business["rounds"] + 1}
    if tool == VERDICT:
        return _judged(business, holds=bool(arguments["holds"]), missing=list(arguments["missing"]))
    return business  # reading a source changes nothing


def _judged(business: Business, *, holds: bool, missing: list[str]) -> Business:
    """Return what is known after the check; a draft that does not hold sends its open questions to the sources."""
    if holds:
        return {**business, "holds": True}
    known = {**business, "holds": False, "questions": [*business["questions"], *missing]}
    known.pop("draft", None)
    return known


def _searches(business: Business) -> Calls:
    wanted = ((tool, question) for question in business.get("questions", ()) for tool in SOURCES)
    return [(tool, {"query": query}) for tool, query in wanted if _key(tool, query) not in business["asked"]]


def _aborted(business: Business) -> Abort | None:
    if business.get("holds") is False and business["rounds"] >= ROUNDS:
        return Abort("not_supported", answer="The sources do not support an answer.")
    if "questions" in business and not _searches(business) and not business["sources"]:
        return Abort("nothing_found", answer="No source knows anything about this.")
    return None


def _cites_what_was_found(business: Business, arguments: Arguments) -> str | None:
    unknown = sorted(set(arguments["citations"]) - set(business["sources"]))
    return f"No source {unknown} was found. Found: {sorted(business['sources'])}." if unknown else None


def _was_found(business: Business, arguments: Arguments) -> str | None:
    return None if arguments["id"] in business["sources"] else f"There is no source {arguments['id']!r}."


PROMPTS = load_prompts(Path(__file__).parent / "prompts")

WORKFLOW = Workflow(
    name="research",
    version=1,
    instructions="",
    prompt=PROMPTS["research_planner", 1],
    goal="a draft whose every claim has a source was checked",
    contracts=CONTRACTS,
    stages=(
        Stage("PLAN", frozenset({PLAN}), lambda b: "questions" in b, role="planner"),
        Stage("SEARCH", frozenset(SOURCES), lambda b: not _searches(b), calls=_searches, visits=ROUNDS),
        Stage("DRAFT", frozenset({DRAFT}), lambda b: "draft" in b, role="writer"),
        Stage("VERIFY", frozenset({READ, VERDICT}), lambda b: bool(b.get("holds")), role="verifier", parallel=True),
    ),
    begin=lambda _text: {"asked": [], "sources": {}, "rounds": 0},
    fold=_fold,
    done_when=lambda business: bool(business.get("holds")) and "draft" in business,
    aborted_when=_aborted,
    answers=lambda business: canonical(business["draft"]),
    roles={
        "planner": Role(PROMPTS["research_planner", 1], frozenset({PLAN})),
        "writer": Role(PROMPTS["research_writer", 1], frozenset({DRAFT})),
        "verifier": Role(PROMPTS["research_verifier", 1], frozenset({READ, VERDICT})),
    },
    guards={DRAFT: _cites_what_was_found, READ: _was_found},
    fallbacks={
        WEB: (Cached(max_age_s=86_400.0), Degraded(_NOTHING)),
        PAPERS: (Cached(max_age_s=86_400.0), Degraded(_NOTHING)),
    },
)


def build(
    *,
    store: Store,
    model: Model,
    tools: Mapping[str, Callable[..., Any]],
    limits: Limits | None = None,
    **settings: Any,
) -> Runtime:
    """Return the agent. `tools` maps the names of the seven contracts to functions, sync or async.

    They are called with keyword arguments and answer a dict; none of them has an effect. The answer of a task is JSON:
    `{"citations": [...], "text": ...}`. `settings` are those of Runtime.
    """
    return Runtime(
        workflow=WORKFLOW,
        model=model,
        tools=callable_tools(CONTRACTS, tools),
        store=store,
        limits=limits or LIMITS,
        **settings,
    )
