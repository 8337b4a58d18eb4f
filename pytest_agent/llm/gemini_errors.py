"""How Gemini words its errors.

Source: the `google-genai` SDK, `google.rpc` and bodies that users have reported. A pause stands in the body, as a
`RetryInfo` whose delay is in seconds: this provider sends no `retry-after`, so the form of a pause makes no difference.
A wrong key is a 400 here, not a 401, and so is a body that is too large; a spent quota and a spent budget are 429s.
A prompt that the filter stops is no error: it is a 200 without candidates, see `Gemini.error`.
"""

from __future__ import annotations

from typing import Any

from pytest_agent.llm.gemini_wire import JSON, Framing
from pytest_agent.llm.reply import Chunk, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, ModelRequest
from pytest_agent.llm.wire import dump

_RPC = "type.googleapis.com/google.rpc."
_HELP = {
    "@type": f"{_RPC}Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}
_QUOTA = {
    "@type": f"{_RPC}QuotaFailure",
    "violations": [
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count",
            "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute",
        }
    ],
}
_KEY = {
    "@type": f"{_RPC}ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
_ERRORS: dict[ErrorKind, tuple[int, str, str, tuple[dict[str, Any], ...]]] = {
    "authentication": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", (_KEY,)),
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", ()),
    "context_length_exceeded": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1212410) exceeds the maximum number of tokens allowed (1048576).",
        (),
    ),
    "insufficient_quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
        (_HELP,),
    ),
    "model_not_found": (404, "NOT_FOUND", "", ()),
    "not_found": (404, "NOT_FOUND", "Requested entity was not found.", ()),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", ()),
    "permission_denied": (403, "PERMISSION_DENIED", "The caller does not have permission", ()),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", (_QUOTA, _HELP)),
    "request_too_large": (
        400,
        "INVALID_ARGUMENT",
        "Request payload size exceeds the limit: 20971520 bytes.",
        (),
    ),
    "server_error": (
        500,
        "INTERNAL",
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
        (),
    ),
    "service_unavailable": (503, "UNAVAILABLE", "The service is currently unavailable.", ()),
    "spend_limit": (
        429,
        "RESOURCE_EXHAUSTED",
        "Your project has exceeded its monthly spending cap. Please raise the cap or wait for the next billing cycle.",
        (_HELP,),
    ),
    "timeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", ()),
}


def error_reply(
    kind: ErrorKind, request: ModelRequest | None, version: str, framing: Framing, pause: RetryAfter | None
) -> Reply:
    """Status and body of an error; where the reply is a list, a list of one."""
    return _reply(error_object(kind, request, version, pause), framing)


def error_object(
    kind: ErrorKind, request: ModelRequest | None = None, version: str = "v1", pause: RetryAfter | None = None
) -> dict[str, Any]:
    """The `error` of a body."""
    code, status, message, details = _ERRORS.get(kind, _ERRORS["bad_request"])
    if kind == "model_not_found":
        name = "models/unknown" if request is None else f"models/{request.model}"
        message = (
            f"{name} is not found for API version {version}, or is not supported for generateContent. "
            "Call ListModels to see the list of available models and their supported methods."
        )
    if pause is not None:
        details = (*details, {"@type": f"{_RPC}RetryInfo", "retryDelay": f"{pause.pause_s:g}s"})
    return {"code": code, "message": message, "status": status} | ({"details": list(details)} if details else {})


def refusal(error: BadRequest, framing: Framing) -> Reply:
    """400 `INVALID_ARGUMENT`, with the field at fault where the provider's JSON reader names it."""
    said: dict[str, Any] = {"code": 400, "message": str(error), "status": "INVALID_ARGUMENT"}
    if str(error).startswith("Invalid "):
        place = {"field": error.param} if error.param else {}
        violation = {**place, "description": str(error)}
        said["details"] = [{"@type": f"{_RPC}BadRequest", "fieldViolations": [violation]}]
    return _reply(said, framing)


def _reply(error: dict[str, Any], framing: Framing) -> Reply:
    body: Any = {"error": error}
    data = dump([body] if framing == "array" else body)
    return Reply(error["code"], (JSON,), (Chunk(data),), error_code=error["status"], meant=False)
