"""What all routes of OpenAI share: headers, errors in the provider's own words, and how a body is read.

Source: the types of the `openai` SDK, the provider's guide to error codes, and errors as their users report them. The
content filter's body is Azure's, which alone refuses a prompt with a status.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from pytest_agent.llm.reply import Chunk, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Codec, ModelRequest, WireRequest
from pytest_agent.llm.turn import Turn
from pytest_agent.llm.wire import dump, number, retry_after_header

CREATED = 1_767_225_600  # a fixed second: replies are the same bytes on every run
JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream; charset=utf-8")
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)
_REASONING = re.compile(r"(?:^|[/.])(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
_OWN = re.compile(r"(?:^|/)(?:o\d|gpt-\d|chatgpt|codex)")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_REQUESTS, _TOKENS = 10_000, 2_000_000


@dataclass(frozen=True, slots=True)
class _Error:
    """One documented error; `{model}` in the message is the model that was asked."""

    status: int
    type: str | None
    code: str | None
    message: str
    param: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


_FILTER = {
    name: {"filtered": name == "violence", "severity": "medium" if name == "violence" else "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
ERRORS: dict[ErrorKind, _Error] = {
    "insufficient_quota": _Error(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    ),
    "rate_limit": _Error(
        429,
        "requests",
        "rate_limit_exceeded",
        f"Rate limit reached for {{model}} on requests per min (RPM): Limit {_REQUESTS}, Used {_REQUESTS}, "
        "Requested 1.",
    ),
    "server_error": _Error(500, "server_error", None, "The server had an error while processing your request."),
    "overloaded": _Error(503, "service_unavailable_error", "server_is_overloaded", "The server is overloaded."),
    "bad_request": _Error(400, "invalid_request_error", None, "The request is invalid."),
    "context_length_exceeded": _Error(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "messages",
    ),
    "authentication": _Error(
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    "model_not_found": _Error(
        404,
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "content_filter": _Error(
        400,
        None,
        "content_filter",
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
        "modify your prompt and retry.",
        "prompt",
        {
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _FILTER},
        },
    ),
    "not_found": _Error(404, "invalid_request_error", "unknown_url", "Invalid URL"),
    "permission_denied": _Error(
        403,
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    "request_too_large": _Error(413, "invalid_request_error", None, "Request body is too large."),
    "service_unavailable": _Error(503, "server_error", None, "The server is temporarily unavailable."),
    "spend_limit": _Error(
        429,
        "insufficient_quota",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
    "timeout": _Error(408, "invalid_request_error", None, "Request timed out."),
}


def error_body(kind: ErrorKind, model: str | None = None, history: str = "messages") -> dict[str, Any]:
    """The object that says what is wrong, as it stands under `error`. `history` is the field with the messages."""
    said = ERRORS[kind]
    param = history if said.param == "messages" else said.param
    message = said.message.replace("{model}", model or "the model")
    return {"message": message, "type": said.type, "param": param, "code": said.code, **said.more}


def error_reply(
    kind: ErrorKind, request: ModelRequest | None, retry_after: RetryAfter | None, history: str = "messages"
) -> Reply:
    """Status, headers and body of a documented error; a rate limit says in its headers when it is over."""
    said, model = ERRORS[kind], None if request is None else request.model
    body = dump({"error": error_body(kind, model, history)})
    limits: tuple[tuple[str, str], ...] = ()
    if kind == "rate_limit":
        limits = _limits(0, 1.0 if retry_after is None else retry_after.pause_s)
    about = "" if request is None else request.body_sha256
    headers = (JSON, _request_id(about + kind), *limits, *retry_after_header(retry_after))
    return Reply(said.status, headers, (Chunk(body),), error_code=said.code or said.type, meant=False)


def refusal(error: BadRequest) -> Reply:
    """400 `invalid_request_error`."""
    type_ = "invalid_request_error"
    body = {"message": str(error), "type": type_, "param": error.param, "code": error.code}
    headers = (JSON, _request_id(str(error)))
    return Reply(400, headers, (Chunk(dump({"error": body})),), error_code=error.code or type_, meant=False)


def success_headers(n: int, *, stream: bool) -> tuple[tuple[str, str], ...]:
    """What comes with a good reply: what it is, its id, and that plenty is left of the rate limit."""
    return (SSE if stream else JSON, ("x-request-id", f"req_{n}"), *_PLENTY)


def read_body(wire: WireRequest, history: str) -> dict[str, Any]:
    """The JSON object of a request. Raises BadRequest where it is none, or not Unicode.

    `history` is the field that holds the messages: half of a surrogate pair in it is a fault of the history.
    """
    try:
        # Not the bytes themselves: json takes encodings, and halves of pairs, that are no UTF-8.
        text = wire.body.decode("utf-8", "surrogatepass")
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(NOT_JSON) from error
    if not isinstance(data, dict):
        raise BadRequest(NOT_JSON)
    # Half of a pair is there as three bytes or as `\ud83d`: a body with neither need not be looked through.
    if (not wire.body.isascii() or _ESCAPED.search(wire.body)) and not _is_unicode(data):
        raise BadRequest(NOT_JSON, about="request" if _is_unicode(data.get(history)) else "history")
    deployment = _DEPLOYMENT.search(wire.path)
    # Azure has the model in the path, and asks for no other.
    return data if deployment is None or "model" in data else {**data, "model": deployment[1]}


def decoded(codec: Codec, wire: WireRequest, data: dict[str, Any], messages: list[dict[str, Any]]) -> ModelRequest:
    """A body that was checked, as a request."""
    options = data.get("stream_options")
    return ModelRequest(
        codec=codec,
        model=data["model"],
        messages=messages,
        tools=tuple(declared(data.get("tools"))),
        stream=data.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        body_sha256=hashlib.sha256(wire.body).hexdigest(),
        retry_count=number(wire.headers.get("x-stainless-retry-count")),
        idempotency_key=wire.headers.get("idempotency-key"),
        data=data,
    )


def declared(tools: object) -> list[str]:
    """The names of the functions among the tools, in the form of either protocol."""
    found = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            found.append(name)
    return found


def is_reasoning(model: str) -> bool:
    """Whether a model thinks before it answers: the o-series and GPT-5 on, but for their `-chat` variants."""
    return _REASONING.search(model) is not None


def shows_reasoning(model: str) -> bool:
    """Whether Chat Completions tells what a model thinks: OpenAI's own does not, other hosts' do."""
    return _OWN.search(model) is None


def call_ids(turn: Turn, n: int, choice: int = 0) -> list[str]:
    """The ids of the calls of a turn: those that it names, and made ones for the others."""
    made = f"call_{n}" if choice == 0 else f"call_{n}_choice{choice}"
    return [f"{made}_{index}" if call.id is None else call.id for index, call in enumerate(turn.calls)]


def _is_unicode(data: object) -> bool:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _request_id(seed: str) -> tuple[str, str]:
    return "x-request-id", "req_" + hashlib.sha256(seed.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _limits(left: int, reset_s: float) -> tuple[tuple[str, str], ...]:
    tokens = _TOKENS if left else 0
    return (
        ("x-ratelimit-limit-requests", str(_REQUESTS)),
        ("x-ratelimit-limit-tokens", str(_TOKENS)),
        ("x-ratelimit-remaining-requests", str(left)),
        ("x-ratelimit-remaining-tokens", str(tokens)),
        ("x-ratelimit-reset-requests", duration(reset_s)),
        ("x-ratelimit-reset-tokens", duration(0.0 if tokens else reset_s)),
    )


def duration(seconds: float) -> str:
    """A time as the provider's headers write it: `20ms`, `1s`, `6m0s`, `1h0m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{rest:g}s"


_PLENTY = _limits(_REQUESTS - 1, 0.006)
