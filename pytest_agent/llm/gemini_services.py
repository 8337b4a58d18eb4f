"""Gemini's routes that need no script: counting tokens, and the list of models."""

from __future__ import annotations

import re
from typing import Any

from pytest_agent.llm.gemini import Gemini
from pytest_agent.llm.gemini_checks import check, check_contents, read_json_object
from pytest_agent.llm.gemini_wire import asked, field, listed, whole
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.llm.wire import dump

MODELS = ("gemini-3.1-pro-preview", "gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash")
_LIST = re.compile(r"/v1beta/models(?:/([^/:]+))?/?\Z")


class GeminiTokens:
    """POST models/{model}:countTokens. The count is the prompt that a turn of no given usage is billed with."""

    name = "Gemini token counting"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in models/{model}:countTokens, on any host."""
        found = asked(path) if method == "POST" else None
        return found is not None and found[1] == "countTokens"

    def answer(self, wire: WireRequest) -> Reply:
        """The count, or the 400 that the request itself would get."""
        try:
            data = read_json_object(wire)
            inner = field(data, "generateContentRequest")
            if isinstance(inner, dict):
                check(inner)
                data = inner
            else:
                check_contents(listed(field(data, "contents")))
        except BadRequest as error:
            return Gemini().refuse(error)
        count = max(1, len(dump(listed(field(data, "contents")))) // 4)
        details = [{"modality": "TEXT", "tokenCount": count}]
        return whole({"totalTokens": count, "promptTokensDetails": details})


class GeminiModels:
    """GET /v1beta/models and /v1beta/models/{model}. Any model may be asked for by its name, as in a request.

    Under `v1` the same path is the list of another provider.
    """

    name = "Gemini models"

    def matches(self, method: str, path: str) -> bool:
        """GET of either path, on any host."""
        return method == "GET" and _LIST.search(path) is not None

    def answer(self, wire: WireRequest) -> Reply:
        """The list in one page, or the one model."""
        found = _LIST.search(wire.path)
        name = found[1] if found else None
        return whole(_model(name) if name else {"models": [_model(each) for each in MODELS]})


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
