"""A model that ends tool loops by itself: for load, where no script could say what each of many agents hears."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_agent.errors import did_you_mean
from pytest_agent.llm.from_schema import value_for
from pytest_agent.llm.pace import Pace
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import ToolCall, Turn
from pytest_agent.llm.wire import wire_name

_TEXT = "the order has been found and all that was asked for is done there is nothing left to do we thank you"


@dataclass(frozen=True)
class Persona:
    """Calls each tool it needs once, then answers: `llm.answers_with(Persona())`.

    It decides from the history alone, so that any number of conversations may be under way. `tools` are those it needs,
    in order; None is every one that the agent declares. A new message of the user begins anew. `parallel` makes all the
    calls in one turn. `arguments` are those of a tool by its name; others are made from its JSON schema, the same for
    one `seed`. `answer` is its last word; where it is not given that is a structured output, if the agent asks for one,
    or as many `words`. `pace` is that of its turns.

    Raises ValueError, which fails the test, for a tool that the agent does not declare and arguments that cannot be
    made.
    """

    tools: Sequence[str] | None = None
    parallel: bool = False
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answer: str | None = None
    words: int = 12
    seed: int = 0
    pace: Pace | None = None

    def __call__(self, request: ModelRequest) -> Turn:
        """What it says to this request."""
        missing = self._missing(request)
        if missing:
            calls = missing if self.parallel and _may_be_parallel(request.data) else missing[:1]
            return Turn(calls=tuple(self._call(name, request) for name in calls), pace=self.pace)
        return Turn(text=self._answer(request), pace=self.pace)

    def _missing(self, request: ModelRequest) -> list[str]:
        """The tools that were not called since the user last spoke."""
        if request.data.get("tool_choice") in ("none", {"type": "none"}):
            return []
        made: set[str] = set()
        before = (None, *request.history)
        for message, previous in zip(reversed(request.history), reversed(before[:-1]), strict=True):
            # Some agents put a word of the user's beside the results of tools; that is no new question.
            if message.role == "user" and (previous is None or previous.role != "tool"):
                break
            made.update(call.name for call in message.calls)
        needed = request.tools if self.tools is None else [self._declared(name, request) for name in self.tools]
        return [name for name in dict.fromkeys(needed) if name not in made]

    @staticmethod
    def _declared(name: str, request: ModelRequest) -> str:
        found = wire_name(name, request.tools)
        if found not in request.tools:
            known = did_you_mean(name, request.tools)
            raise ValueError(f"the persona needs the tool {name!r}, which the agent does not declare.{known}")
        return found

    def _call(self, name: str, request: ModelRequest) -> ToolCall:
        given = next((made for tool, made in self.arguments.items() if wire_name(tool, (name,)) == name), None)
        if given is None:
            try:
                given = value_for(schemas_of(request.data).get(name, {"type": "object"}), f"{self.seed}:{name}")
            except ValueError as error:
                raise ValueError(f"the arguments of {name!r} cannot be made: {error}") from None
        return ToolCall(name, json.dumps(given, ensure_ascii=False))

    def _answer(self, request: ModelRequest) -> str:
        if self.answer is not None:
            return self.answer
        schema = _output_schema(request.data)
        if schema is not None:
            try:
                return json.dumps(value_for(schema, f"{self.seed}:output"), ensure_ascii=False)
            except ValueError as error:
                raise ValueError(f"the structured output cannot be made: {error}") from None
        known = _TEXT.split()
        start = random.Random(f"{self.seed}:{len(request.history)}").randrange(len(known))  # noqa: S311 - no secret
        said = [known[(start + place) % len(known)] for place in range(max(self.words, 1))]
        return f"{' '.join(said).capitalize()}."


def schemas_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of each tool's arguments, as any of the protocols declares them."""
    tools = data.get("tools")
    declared = [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return {name: schema for tool in declared for name, schema in _schemas(tool)}


_OUTPUTS = (
    ("response_format", "json_schema", "schema"),
    ("text", "format", "schema"),
    ("output_config", "format", "schema"),
    ("output_format", "schema"),
    ("generationConfig", "responseSchema"),
    ("generationConfig", "responseJsonSchema"),
)


def _output_schema(data: Mapping[str, Any]) -> Any:
    """The schema of the structured output that the agent asks for, in any of the protocols; None for plain text."""
    for path in _OUTPUTS:
        found: Any = data
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


def _may_be_parallel(data: Mapping[str, Any]) -> bool:
    choice = data.get("tool_choice")
    one_by_one = isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True
    return data.get("parallel_tool_calls") is not False and not one_by_one


def _schemas(tool: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    functions = tool.get("functionDeclarations") or tool.get("function_declarations") or [tool.get("function") or tool]
    for function in functions if isinstance(functions, list) else ():
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            forms = ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema")
            yield function["name"], next((function[form] for form in forms if function.get(form)), {"type": "object"})
