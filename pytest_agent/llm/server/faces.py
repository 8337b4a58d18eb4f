"""Which provider a request was meant for, and how that provider refuses what is no request to its model."""

from __future__ import annotations

import dataclasses

from pytest_agent.llm.protocols import CODECS, codec_for
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import BadRequest, Codec, WireRequest


def face_of(wire: WireRequest) -> Codec:
    """The protocol whose errors the client understands: by the path, else by the headers of its SDK, else OpenAI's."""
    codec = codec_for("POST", wire.path)
    if codec is not None:
        return codec
    if "anthropic-version" in wire.headers:
        return _named("Anthropic")
    if "x-goog-api-key" in wire.headers or "/v1beta/" in wire.path:
        return _named("Gemini")
    return _named("OpenAI")


def unknown_path(wire: WireRequest) -> Reply:
    """The provider's own 404."""
    face = face_of(wire)
    if face.name.startswith("OpenAI"):
        return dataclasses.replace(face.refuse(BadRequest(f"Invalid URL ({wire.method} {wire.path})")), status=404)
    return face.error("not_found", None)


def wrong_method(wire: WireRequest) -> Reply:
    """405 with the method that is taken."""
    face = face_of(wire)
    code = "method_not_supported" if face.name.startswith("OpenAI") else None
    reply = face.refuse(BadRequest("Only POST requests are accepted.", code=code))
    return dataclasses.replace(reply, status=405, headers=(*reply.headers, ("allow", "POST")))


def wrong_content_type(wire: WireRequest) -> Reply:
    """400 that says what came."""
    found = wire.headers.get("content-type", "")
    message = (
        f"Unsupported content type: '{found}'. This API method only accepts 'application/json' requests, but you "
        f"specified the header 'Content-Type: {found}'. Please try again with a supported content type."
    )
    return face_of(wire).refuse(BadRequest(message, code="unsupported_content_type"))


def is_json(wire: WireRequest) -> bool:
    """Whether the client says that its body is JSON, or says nothing of it."""
    kind = wire.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _named(provider: str) -> Codec:
    return next((codec for codec in CODECS if codec.name.startswith(provider)), CODECS[0])
