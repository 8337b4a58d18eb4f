"""The parts of a workflow: stages, roles, what ends it and what it never does. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentfsm.prompts import Prompt
from agentfsm.waits import Business, Wait

Arguments = Mapping[str, Any]


Calls = Sequence[tuple[str, Arguments]]
"""Tools and their arguments."""


@dataclass(frozen=True)
class Stage:
    """One declared stage: the tools it allows, when it is left behind, and what it may have to wait for.

    A branch is a stage that `applies_when` the business state says so (None: always). With `calls` the orchestrator
    itself makes the calls of the stage, all of one list at once, and asks again until the stage is left: no model is
    needed for what is known beforehand; their answers are folded as they come. With `parallel`, pure calls of one turn
    run at once. `role` names who is asked here. `visits` bounds how often the stage may be entered (None: as the budget
    allows), and so every loop through it.
    """

    name: str
    tools: frozenset[str]
    left_when: Callable[[Business], bool]
    wait: Wait | None = None
    applies_when: Callable[[Business], bool] | None = None
    calls: Callable[[Business], Calls] | None = None
    parallel: bool = False
    role: str | None = None
    visits: int | None = None


@dataclass(frozen=True)
class Role:
    """Who the model is in a stage: its own prompt, and no more tools than it needs."""

    prompt: Prompt
    tools: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Never:
    """Something this workflow does under no circumstances, whoever proposes it.

    `forbids` takes the tool, its arguments and the business state.
    """

    name: str
    forbids: Callable[[str, Arguments, Business], bool]


@dataclass(frozen=True)
class Abort:
    """The business rules success out: the task fails with `cause`.

    With `explained` the model is heard first and its text is the answer, else `answer` is.
    """

    cause: str
    explained: bool = False
    answer: str = ""
