"""The tools of a test for agents in other processes: `POST /__/tools/<name>`, and what they say of their commits.

The arguments are a JSON object, the key is the header `Idempotency-Key`. The sandbox answers: its ledger is the truth,
in whatever language the agent is written. A reply that a fault loses is a connection that breaks, at once: the socket
is in real time.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pytest_agent.errors import ProcessDied, UsageError, did_you_mean
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.strict_json import read_json
from pytest_agent.trace import plain

Tools = Mapping[str, Callable[..., Any]]
Committing = Callable[[dict[str, Any]], dict[str, Any]]
_JSON = (("content-type", "application/json"),)


def call_tool(tools: Tools, name: str, wire: WireRequest) -> Reply:
    """What the tool says: 200 and its value, or 500 and its error. Raises UsageError for a call that is none."""
    name = unquote(name)
    if name not in tools:
        raise UsageError(f"there is no tool {name!r}.{did_you_mean(name, tools)}")
    tool = tools[name]
    if inspect.iscoroutinefunction(tool):
        raise UsageError(f"tool {name!r} is async; over HTTP a tool is a plain function: write `def` for `async def`")
    key = wire.headers.get("idempotency-key")
    arguments = object_of(wire)
    try:
        value = tool(**arguments, **({"idempotency_key": key} if key is not None else {}))
    except OSError as error:
        raise ProcessDied(f"the reply is lost: {error}") from None  # the connection breaks; nobody dies of it
    except Exception as error:  # noqa: BLE001 - whatever the author's tool raises is its reply
        return said(500, {"error": f"{type(error).__name__}: {error}"})
    return said(200, value)


def object_of(wire: WireRequest) -> dict[str, Any]:
    """The JSON object in the body. Raises UsageError."""
    try:
        data = read_json(wire.body or b"{}")
    except ValueError as error:
        raise UsageError(f"the body is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"the body is {type(data).__name__}; expected a JSON object of the arguments")
    return data


def said(status: int, value: object) -> Reply:
    """A reply of JSON."""
    text = json.dumps(plain(value), ensure_ascii=False)
    return Reply(status, _JSON, (Chunk(text.encode("utf-8", "backslashreplace")),))
