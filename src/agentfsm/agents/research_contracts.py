"""What the tools of the research agent look like. None of them changes anything."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentfsm.contracts import Effect, ToolContract

PLAN, DRAFT, VERDICT = "research.plan", "research.draft", "research.verdict"
WEB, PAPERS, INTERNAL = "search.web", "search.papers", "search.internal"
READ = "sources.read"

Question = Annotated[str, Field(min_length=3, max_length=200)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlanInput(_Input):
    """The questions that together answer what the user asks."""

    questions: list[Question] = Field(min_length=1, max_length=3)


class Noted(BaseModel):
    """That it was taken down."""

    noted: Literal[True]


class SearchInput(_Input):
    """One question."""

    query: Question


class Hit(BaseModel):
    """One source that may help."""

    id: str = Field(min_length=1, max_length=200)
    title: str = Field(max_length=500)


class SearchOutput(BaseModel):
    """What was found, the best first."""

    hits: list[Hit] = Field(max_length=20)


class DraftInput(_Input):
    """The answer, and the ids of the sources it rests on."""

    text: str = Field(min_length=1, max_length=5_000)
    citations: list[str] = Field(min_length=1, max_length=20)


class ReadInput(_Input):
    """Which source to read."""

    id: str


class ReadOutput(BaseModel):
    """What it says."""

    text: str


class VerdictInput(_Input):
    """Whether every claim of the draft stands in a source it cites; if not, what is to be asked."""

    holds: bool
    missing: list[Question] = Field(default_factory=list, max_length=2)


def _pure(name: str, given: type[BaseModel], answer: type[BaseModel], description: str) -> ToolContract:
    return ToolContract(name=name, version=1, input=given, output=answer, effect=Effect.PURE, description=description)


CONTRACTS = (
    _pure(PLAN, PlanInput, Noted, "Write down what has to be found out."),
    _pure(WEB, SearchInput, SearchOutput, "Search the web."),
    _pure(PAPERS, SearchInput, SearchOutput, "Search scientific papers."),
    _pure(INTERNAL, SearchInput, SearchOutput, "Search the company's own documents."),
    _pure(DRAFT, DraftInput, Noted, "Write the answer down."),
    _pure(READ, ReadInput, ReadOutput, "Read one of the sources that were found."),
    _pure(VERDICT, VerdictInput, Noted, "Say whether the draft holds."),
)
