"""Provider errors into ModelError: what may be repeated, what may not, and how long to wait."""

from __future__ import annotations

import email.utils
import re
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx

from agentfsm.errors import ModelError

_QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "linked_organization_spend_limit_reached",
}
_BY_CODE = {
    "rate_limit_exceeded": ("rate_limit", True),
    "rate_limit_error": ("rate_limit", True),
    "overloaded_error": ("overloaded", True),
    "server_is_overloaded": ("overloaded", True),
    "slow_down": ("overloaded", True),
    "service_unavailable_error": ("server_error", True),
    "server_error": ("server_error", True),
    "api_error": ("server_error", True),
    "timeout_error": ("timeout", True),
    "conflict_error": ("conflict", True),
    "context_length_exceeded": ("context_length_exceeded", False),
    "content_filter": ("content_filter", False),
    "invalid_api_key": ("authentication", False),
    "authentication_error": ("authentication", False),
    "permission_error": ("permission", False),
    "model_not_found": ("not_found", False),
    "not_found_error": ("not_found", False),
    "request_too_large": ("request_too_large", False),
    "invalid_request_error": ("bad_request", False),
}
# What some providers tell apart by the words of their message alone.
_BY_WORDS = (
    (re.compile(r"credit balance is too low", re.I), "insufficient_quota"),
    (
        re.compile(r"prompt is too long|maximum context length|exceed\w* (the )?context (limit|window|length)", re.I),
        "context_length_exceeded",
    ),
)
_BY_STATUS = {
    401: ("authentication", False),
    402: ("insufficient_quota", False),
    403: ("permission", False),
    404: ("not_found", False),
    408: ("timeout", True),
    409: ("conflict", True),
    413: ("request_too_large", False),
    429: ("rate_limit", True),
    503: ("overloaded", True),
    529: ("overloaded", True),
}


def from_response(status: int, headers: Mapping[str, str], body: Any) -> ModelError:
    """Return the error of a response that is not 200. `body` is parsed JSON, or None where it was none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    fallback = ("server_error", True) if status >= 500 else ("bad_request", False)
    code, transient = _BY_STATUS.get(status, fallback)
    if status == 400:
        code, _ = _known(error) or (code, False)
    if (final := _final(error, status)) is not None:
        code, transient = final, False
    after = retry_after(headers) if transient else None
    return ModelError(f"HTTP {status} {code}", code=code, transient=transient, retry_after_s=after, status=status)


def from_body(error: Any) -> ModelError:
    """Return the error that came inside a 200, in its body or in its stream."""
    if (final := _final(error, 400)) is not None:
        return ModelError(f"error body {final}", code=final, transient=False)
    number = str(error.get("code", error.get("status"))) if isinstance(error, Mapping) else ""
    if re.fullmatch(r"[45][0-9]{2}", number):
        return from_response(int(number), {}, {"error": error})
    code, transient = _known(error) or ("server_error", True)
    return ModelError(f"error body {code}", code=code, transient=transient)


def from_transport(error: httpx.HTTPError) -> ModelError:
    """Return the error of a connection. A certificate that does not hold is for good."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return ModelError("the server's certificate does not hold", code="certificate", transient=False)
        cause = cause.__cause__ or cause.__context__
    return ModelError(f"connection: {type(error).__name__}", code="connection", transient=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause named: `retry-after-ms`, seconds, or an HTTP date; None where unreadable."""
    millis, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        seconds = float(millis) / 1000 if millis else float(value) if value else None
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value or "").timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _final(error: Any, status: int) -> str | None:
    """Return the code of what no later attempt can mend, whatever the status says."""
    if _names(error) & _QUOTA:
        return "insufficient_quota"
    message = str(error.get("message", ""))[:2_000] if isinstance(error, Mapping) else ""
    found = (code for words, code in _BY_WORDS if words.search(message))
    return next(found, None) if 400 <= status < 429 else None


def _known(error: Any) -> tuple[str, bool] | None:
    """Return what the most telling name of the error stands for, or None."""
    known = sorted(_BY_CODE[name] for name in _names(error) if name in _BY_CODE)
    return min(known, key=lambda pair: pair[0] == "bad_request", default=None)


def _names(error: Any) -> set[str]:
    if not isinstance(error, Mapping):
        return {error.lower()} if isinstance(error, str) else set()
    details = error.get("details")
    found = [error.get(name) for name in ("code", "type", "status")]
    found += [details.get("error_code")] if isinstance(details, Mapping) else []
    return {name.lower() for name in found if isinstance(name, str)}
