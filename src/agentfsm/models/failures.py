"""Provider errors into ModelError: what may be repeated, what may not, and how long to wait."""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx

from agentfsm.errors import ModelError

_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_BY_CODE = {
    "rate_limit_exceeded": ("rate_limit", True),
    "rate_limit_error": ("rate_limit", True),
    "overloaded_error": ("overloaded", True),
    "server_is_overloaded": ("overloaded", True),
    "slow_down": ("overloaded", True),
    "service_unavailable_error": ("server_error", True),
    "server_error": ("server_error", True),
    "api_error": ("server_error", True),
    "context_length_exceeded": ("context_length_exceeded", False),
    "content_filter": ("content_filter", False),
    "invalid_api_key": ("authentication", False),
    "authentication_error": ("authentication", False),
    "permission_error": ("permission", False),
    "model_not_found": ("not_found", False),
    "invalid_request_error": ("bad_request", False),
}
_BY_STATUS = {
    401: ("authentication", False),
    403: ("permission", False),
    404: ("not_found", False),
    408: ("timeout", True),
    409: ("conflict", True),
    429: ("rate_limit", True),
    503: ("overloaded", True),
    529: ("overloaded", True),
}


def from_response(status: int, headers: Mapping[str, str], body: Any) -> ModelError:
    """Return the error of a response that is not 200. `body` is parsed JSON, or None where it was none."""
    names = _names(body.get("error") if isinstance(body, Mapping) else None)
    fallback = ("server_error", True) if status >= 500 else ("bad_request", False)
    code, transient = _BY_STATUS.get(status, fallback)
    if status == 400:
        code = next((_BY_CODE[n][0] for n in names if n in _BY_CODE), code)
    if names & _QUOTA:
        code, transient = "insufficient_quota", False
    after = retry_after(headers) if transient else None
    return ModelError(f"HTTP {status} {code}", code=code, transient=transient, retry_after_s=after, status=status)


def from_body(error: Any) -> ModelError:
    """Return the error that came inside a 200, in its body or in its stream."""
    names = _names(error)
    if names & _QUOTA:
        return ModelError("error body insufficient_quota", code="insufficient_quota", transient=False)
    number = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    if str(number).isdigit() and 400 <= int(str(number)) < 600:
        return from_response(int(str(number)), {}, {"error": error})
    known = [_BY_CODE[name] for name in sorted(names) if name in _BY_CODE]
    code, transient = min(known, key=lambda pair: pair[0] == "bad_request", default=("server_error", True))
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
        except ValueError:
            return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _names(error: Any) -> set[str]:
    if isinstance(error, str):
        return {error}
    found = (error.get(name) for name in ("code", "type", "status")) if isinstance(error, Mapping) else ()
    return {name.lower() for name in found if isinstance(name, str)}
