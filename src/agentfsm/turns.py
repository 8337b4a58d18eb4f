"""What goes to a model and what comes back, free of any provider's wire format."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class ToolCall(_Frozen):
    """A tool call as the model wrote it. `arguments` stays raw text until a contract has checked it."""

    id: str
    name: str
    arguments: str


class Usage(_Frozen):
    """Tokens as the provider counted them. `cached_tokens` are those of the input it had seen before, where it says."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None


class Opaque(_Frozen):
    """What a model wants back unread and unharmed with its own turn, such as signed thinking; `model` is its name."""

    model: str
    blocks: tuple[dict[str, Any], ...]


class Turn(_Frozen):
    """One complete reply. `finish` is `length` where the provider cut it; `usage` None means not reported."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "tool_calls", "length"] = "stop"
    usage: Usage | None = None
    opaque: Opaque | None = None


class Message(_Frozen):
    """One entry of the conversation. `call_id` names the call that a `tool` message answers."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    opaque: Opaque | None = None


class ModelRequest(_Frozen):
    """One logical model call: the same for all its attempts, and so is `key`."""

    key: str
    messages: tuple[Message, ...]
    answer: dict[str, Any] | None = None
    """The JSON schema that a final text has to satisfy; None: any text."""
    tools: tuple[dict[str, Any], ...] = ()
    """Each `{"name", "description", "parameters"}`, the last a JSON schema."""
