"""A script as YAML or JSON: what `pytest-agent serve` reads, and what is put to /__/script.

says:                              # turns in order, as llm.says takes them
  - Hello.
  - {call: orders.lookup, arguments: {id: 7}}
  - {calls: [{call: a}, {call: b}]}
  - {text: Done., stop: length, usage: {input_tokens: 10, output_tokens: 2}}
rules:                             # as llm.when
  - {when: {last: refund}, says: [Refunded.], times: 1}
persona: {words: 12}               # as llm.answers_with(Persona(...)), after rules and turns
pace: {first_s: 0.2, gap_s: 0.02}
conversations:                     # each with says, rules and persona of its own
  agent-1: [Hello, agent 1.]
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.persona import Persona
from pytest_agent.llm.rules import Matcher
from pytest_agent.llm.script import Script
from pytest_agent.llm.told import Told
from pytest_agent.llm.turn import ToolCall, Turn
from pytest_agent.llm.turn_part import PacePart, SaidPart
from pytest_agent.yaml_file import parse_yaml, read_yaml


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CallPart(_Part):
    """One tool call."""

    call: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None

    def tool_call(self) -> ToolCall:
        """The same for the model."""
        return ToolCall(self.call, json.dumps(self.arguments, ensure_ascii=False), self.id)


class TurnPart(SaidPart):
    """One turn: text alone, or a mapping with what else belongs to it."""

    call: str | None = Field(default=None, min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    calls: list[CallPart] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, data: Any) -> Any:
        return {"text": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.call is not None and self.calls:
            raise ValueError("a turn has 'call' or 'calls', not both; put all of them into 'calls'")
        if self.arguments and self.call is None:
            raise ValueError("'arguments' belong to a 'call'; add it")
        if self.text is None and self.call is None and not self.calls and self.refusal is None:
            raise ValueError("a turn says 'text', 'call', 'calls' or 'refusal'; add one")
        return self

    def turn(self) -> Turn:
        """The same for the model."""
        one = [CallPart(call=self.call, arguments=self.arguments)] if self.call is not None else self.calls
        return self.said([part.tool_call() for part in one])


class WhenPart(_Part):
    """What a rule asks: a text is a part of what is found, `/between slashes/` is a regular expression."""

    last: str | None = None
    tool_result: str | None = None
    model: str | None = None
    turn: int | None = Field(default=None, ge=1)
    conversation: str | None = None
    system: str | None = None

    @field_validator("last", "tool_result", "model", "conversation", "system")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        if value is not None and _is_pattern(value):
            try:
                re.compile(value[1:-1])
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}; correct what is between the slashes") from None
        return value

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a rule asks for nothing; give 'last', 'model', 'turn' or the like, or use 'says'")
        return self

    def wanted(self) -> dict[str, Any]:
        """The arguments of `when`."""
        return {name: _matcher(value) for name, value in self.model_dump(exclude_none=True).items()}


class RulePart(_Part):
    """What is said when a request fits."""

    when: WhenPart
    says: list[TurnPart] = Field(min_length=1)
    times: int | None = Field(default=None, ge=1)


class PersonaPart(_Part):
    """As `Persona`."""

    tools: list[str] | None = None
    parallel: bool = False
    arguments: dict[str, dict[str, Any]] = Field(default_factory=dict)
    answer: str | None = None
    words: int = Field(default=12, ge=1, le=100_000)
    seed: int = 0
    pace: PacePart | None = None

    def persona(self) -> Persona:
        """The same for the model."""
        return Persona(**{**self.model_dump(), "pace": None if self.pace is None else self.pace.pace()})


class ConversationPart(_Part):
    """What one conversation hears."""

    says: list[TurnPart] = Field(default_factory=list)
    rules: list[RulePart] = Field(default_factory=list)
    persona: PersonaPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _turns_alone(cls, data: Any) -> Any:
        return {"says": data} if isinstance(data, list) else data

    def tell(self, told: Told) -> None:
        """Give the rules and the persona to a conversation, or to all."""
        for rule in self.rules:
            made = told.when(**rule.when.wanted(), times=rule.times, optional=True)
            made.says(*(part.turn() for part in rule.says))
        if self.persona is not None:
            told.answers_with(self.persona.persona())


class ScriptFile(ConversationPart):
    """The whole file."""

    pace: PacePart | None = None
    conversations: dict[str, ConversationPart] = Field(default_factory=dict)

    def apply(self, model: ScriptedModel) -> None:
        """Have a new model say this."""
        self.tell(model)
        model.says(*(part.turn() for part in self.says))
        if self.pace is not None:
            model.pace(self.pace.pace())
        for name, part in self.conversations.items():
            script: Script = model.conversation(name)
            part.tell(script)
            script.says(*(turn.turn() for turn in part.says))


def read_script(path: Path) -> ScriptFile:
    """The script in a file. Raises UsageError with file, line and the edit to make."""
    return read_yaml(path).validate(ScriptFile)


def parse_script(text: str, shown: str) -> ScriptFile:
    """The script in a text, YAML or JSON; `shown` is the name messages use."""
    return parse_yaml(text, Path(shown), shown).validate(ScriptFile)


def _is_pattern(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == "/"


def _matcher(value: Any) -> Matcher | int:
    if isinstance(value, str) and _is_pattern(value):
        return re.compile(value[1:-1])
    made: Matcher | int = value
    return made
