"""The protocols that the model speaks, and the routes beside them that need no script."""

from __future__ import annotations

import functools

from pytest_agent.llm.anthropic_messages import AnthropicMessages
from pytest_agent.llm.anthropic_tokens import AnthropicTokens
from pytest_agent.llm.gemini import Gemini
from pytest_agent.llm.gemini_services import GeminiModels, GeminiTokens
from pytest_agent.llm.models_list import ModelsList
from pytest_agent.llm.openai_chat import OpenAIChat
from pytest_agent.llm.openai_embeddings import OpenAIEmbeddings
from pytest_agent.llm.openai_responses import OpenAIResponses
from pytest_agent.llm.request import Codec, Service

CODECS: tuple[Codec, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages(), Gemini())
SERVICES: tuple[Service, ...] = (OpenAIEmbeddings(), AnthropicTokens(), GeminiTokens(), GeminiModels(), ModelsList())


@functools.lru_cache(maxsize=500)
def codec_for(method: str, path: str) -> Codec | None:
    """The protocol that a request speaks, or None."""
    return next((codec for codec in CODECS if codec.matches(method, path)), None)


def service_for(method: str, path: str) -> Service | None:
    """The route without a script that a request is for, or None."""
    return next((service for service in SERVICES if service.matches(method, path)), None)
