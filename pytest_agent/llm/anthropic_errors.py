"""How Anthropic words its errors, and the headers that its replies have.

Source: the `anthropic` SDK's error types and the provider's documentation. A spend limit has no `retry-after`, since no
pause helps; its class is told by `error.details.error_code`. Without credit the status is 400 here, not 429.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pytest_agent.llm.reply import Chunk, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, ModelRequest
from pytest_agent.llm.turn import Usage
from pytest_agent.llm.wire import dump, retry_after_header

JSON = ("content-type", "application/json")
Headers = tuple[tuple[str, str], ...]

_ERRORS: dict[ErrorKind, tuple[int, str, str]] = {
    "insufficient_quota": (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade.",
    ),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "server_error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "bad_request": (400, "invalid_request_error", "The request is invalid."),
    "context_length_exceeded": (400, "invalid_request_error", "prompt is too long: 212410 tokens > 200000 maximum"),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "model_not_found": (404, "not_found_error", "model: the requested model was not found"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "not_found": (404, "not_found_error", "Not found"),
    "permission_denied": (
        403,
        "permission_error",
        "Your API key does not have permission to use the specified resource.",
    ),
    "request_too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "service_unavailable": (503, "api_error", "Service unavailable"),
    "spend_limit": (429, "rate_limit_error", "You have reached your specified API usage limits."),
    "timeout": (504, "timeout_error", "Request timed out"),
}
_DETAILS: dict[ErrorKind, dict[str, str]] = {"spend_limit": {"error_code": "enforced_spend_limit_reached"}}
_LIMITS = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}


def error_reply(kind: ErrorKind, request: ModelRequest | None, retry_after: RetryAfter | None) -> Reply:
    """Status, headers and body of an error."""
    status, type_, _ = _ERRORS[kind]
    pause = None if kind == "spend_limit" else retry_after
    limits = _used_up(pause) if kind == "rate_limit" else ()
    id_ = "req_error" if request is None else f"req_{request.body_sha256[:24]}"
    return _reply(status, error_object(kind, request), (*retry_after_header(pause), *limits), id_, type_)


def error_object(kind: ErrorKind, request: ModelRequest | None = None) -> dict[str, Any]:
    """The `error` of a body, or of an event of a stream."""
    _, type_, message = _ERRORS[kind]
    if kind == "model_not_found" and request is not None:
        message = f"model: {request.model}"
    details = {"details": _DETAILS[kind]} if kind in _DETAILS else {}
    return {"type": type_, "message": message, **details}


def refusal(error: BadRequest) -> Reply:
    """400 `invalid_request_error`."""
    said = {"type": "invalid_request_error", "message": str(error)}
    return _reply(400, said, (), "req_refused", "invalid_request_error")


def limit_headers(used: Usage) -> Headers:
    """What is left of each limit after a reply that took this much."""
    took = {
        "requests": 1,
        "tokens": used.input_tokens + used.output_tokens,
        "input-tokens": used.input_tokens,
        "output-tokens": used.output_tokens,
    }
    reset = _rfc3339(1.0)
    return tuple(
        header for name, limit in _LIMITS.items() for header in _limit(name, limit, max(0, limit - took[name]), reset)
    )


def _used_up(pause: RetryAfter | None) -> Headers:
    reset = _rfc3339(60.0 if pause is None else pause.pause_s)
    return tuple(_limit("requests", _LIMITS["requests"], 0, reset))


def _limit(name: str, limit: int, remaining: int, reset: str) -> Headers:
    head = f"anthropic-ratelimit-{name}"
    return (f"{head}-limit", str(limit)), (f"{head}-remaining", str(remaining)), (f"{head}-reset", reset)


def _rfc3339(in_s: float) -> str:
    """A time as the provider says it, `in_s` seconds from now by the clock of the run."""
    return datetime.fromtimestamp(time.time() + in_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reply(status: int, error: dict[str, Any], headers: Headers, id_: str, code: str) -> Reply:
    body = dump({"type": "error", "error": error, "request_id": id_})
    return Reply(status, (JSON, ("request-id", id_), *headers), (Chunk(body),), error_code=code, meant=False)
