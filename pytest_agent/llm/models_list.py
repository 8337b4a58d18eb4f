"""The list of models, and one of them, as OpenAI says it; as Anthropic does where its version header is sent.

The list names a few; one that is asked for by its name is always there, as the scripted model answers to every name.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from pytest_agent.llm.openai_wire import CREATED, success_headers
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.wire import dump, number

_PATH = re.compile(r"(?:^|/)v1/models(?:/(?P<model>.+?))?/?$")
_OPENAI = ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "o3", "text-embedding-3-large", "text-embedding-3-small")
_ANTHROPIC = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5")
_CREATED_AT = "2026-01-01T00:00:00Z"
_PAGE = 20


class ModelsList:
    """The route. It keeps no state: the same request gives the same bytes."""

    name = "list of models"

    def matches(self, method: str, path: str) -> bool:
        """GET of a path that ends in /v1/models or /v1/models/{model}, on any host."""
        return method == "GET" and _PATH.search(path) is not None

    def answer(self, wire: WireRequest) -> Reply:
        """The list, a page of it on Anthropic's wire; or the one model of the path."""
        found = _PATH.search(wire.path)
        model = found["model"] if found is not None else None
        if wire.headers.get("anthropic-version") is not None:
            headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"), ("request-id", "req_1"))
            body = _anthropic(model) if model else _page(wire.query)
        else:
            headers = success_headers(1, stream=False)
            body = _openai(model) if model else {"object": "list", "data": [_openai(name) for name in _OPENAI]}
        return Reply(200, headers, (Chunk(dump(body), terminal=True),))


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def _anthropic(name: str) -> dict[str, Any]:
    shown = name.replace("-", " ").title()
    return {"type": "model", "id": name, "display_name": shown, "created_at": _CREATED_AT}


def _page(query: str) -> dict[str, Any]:
    """The models after `after_id`, or before `before_id`; at most `limit` of them."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    limit = number(asked.get("limit")) or _PAGE
    names = list(_ANTHROPIC)
    if asked.get("after_id") in names:
        names = names[names.index(asked["after_id"]) + 1 :]
    if asked.get("before_id") in names:
        names = names[: names.index(asked["before_id"])]
        shown = names[-limit:]
    else:
        shown = names[:limit]
    return {
        "data": [_anthropic(name) for name in shown],
        "has_more": len(shown) < len(names),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
