"""What the model says once: text and/or tool calls, a stop reason, usage. Independent of any provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pytest_agent.llm.pace import Pace

Stop = Literal["stop", "tool_calls", "length", "content_filter", "refusal", "stop_sequence", "pause", "context_window"]
"""Why the model stops, in the words of no provider; a codec says the nearest that its protocol has.

`pause` is Anthropic's `pause_turn`: the provider wants the turn sent back to go on. `context_window` is a turn that
filled the window before it was complete.
"""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants to call. `arguments` is the raw text on the wire, JSON or not; `id` None is filled in."""

    name: str
    arguments: str = "{}"
    id: str | None = None

    @property
    def has_arguments(self) -> bool:
        """Whether there is anything in the arguments to spoil."""
        return self.arguments.strip() not in ("", "{}")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counts them: `cached_tokens` are part of the input, `reasoning_tokens` of the output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model.

    `stop` None means `refusal` where it refuses, `tool_calls` where there are calls, else `stop`.
    `reasoning` is what it says to itself before, where the protocol shows that. `refusal` stands in place of `text`.
    `pace` is how fast the turn arrives; None is at once.
    """

    text: str | None = None
    calls: tuple[ToolCall, ...] = ()
    stop: Stop | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    refusal: str | None = None
    pace: Pace | None = None

    def __post_init__(self) -> None:
        if type(self.calls) is not tuple:  # a list says the same, but what is remembered by a turn needs its hash
            object.__setattr__(self, "calls", tuple(self.calls))

    @property
    def stop_reason(self) -> Stop:
        """The reason, where none is given the one that fits."""
        return self.stop or ("refusal" if self.refusal else "tool_calls" if self.calls else "stop")

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The turn that `dataclasses.asdict` made into JSON data."""
        usage, pace = data["usage"], data["pace"]
        return cls(
            **{
                **data,
                "calls": tuple(ToolCall(**made) for made in data["calls"]),
                "usage": None if usage is None else Usage(**usage),
                "pace": None if pace is None else Pace(**{**pace, "delays": tuple(pace["delays"])}),
            }
        )


Said = str | ToolCall | Turn | Sequence[ToolCall] | Mapping[str, Any]
"""What the model says in one turn: text, one call, parallel calls, a structured output (a mapping), a whole Turn."""


def call(tool: str, /, **arguments: object) -> ToolCall:
    """A tool call for a script: `call("payments.refund", order=7, amount=20)`.

    Raises TypeError for arguments that JSON cannot say.
    """
    return ToolCall(tool, json.dumps(arguments, ensure_ascii=False))


def to_turn(said: Said) -> Turn:
    """One turn from the short forms; a mapping is said as JSON text. Raises TypeError that names what was given."""
    if isinstance(said, Turn):
        return said
    if isinstance(said, str):
        return Turn(text=said)
    if isinstance(said, ToolCall):
        return Turn(calls=(said,))
    if isinstance(said, Mapping):
        return Turn(text=json.dumps(dict(said), ensure_ascii=False))
    calls = [item for item in said if isinstance(item, ToolCall)] if isinstance(said, Sequence) else []
    if calls and len(calls) == len(said):
        return Turn(calls=tuple(calls))
    raise TypeError(
        f"the model cannot say {said!r} ({type(said).__name__}); "
        "give text, call(...), a list of call(...) for parallel calls, a mapping for structured output, or a Turn"
    )
