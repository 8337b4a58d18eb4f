"""The record of a request that the provider would refuse."""

from __future__ import annotations

import hashlib
import json
import re

from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import BadRequest, Codec, WireRequest
from pytest_agent.trace import ModelRefused

_MESSAGE = re.compile(r"(messages|contents|input)(?:\.|\[)(\d+)")
_MOST = 200


def refused(codec: Codec, error: BadRequest, reply: Reply, wire: WireRequest) -> ModelRefused:
    """What the provider said of the request, and the message at fault in one line where it names one."""
    return ModelRefused(
        codec=codec.name,
        status=reply.status,
        param=error.param,
        message=str(error).strip(),
        about=error.about,
        body_sha256=hashlib.sha256(wire.path.encode() + b"\n" + wire.body).hexdigest(),
        at_fault=_at_fault(wire.body, f"{error.param} {error}"),
    )


def _at_fault(body: bytes, said: str) -> str:
    found = _MESSAGE.search(said)
    if found is None:
        return ""
    try:
        message = json.loads(body)[found[1]][int(found[2])]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    text = json.dumps(message, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
