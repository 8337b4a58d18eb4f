"""Small agents for the tests of the plugin, copied into their projects as `agents.py`. No SDK: httpx and SSE."""

import json

import httpx

from pytest_agent import call

URL = "http://model.test/v1/chat/completions"
# Without TLS the clients cost nothing to make, and there is a new process or module for nearly every test.
client = httpx.Client(verify=False)  # noqa: S501
aclient = httpx.AsyncClient(verify=False)  # noqa: S501


# By name: the catalogue grows, and what these agents do under what they were not written for is another matter.
FAULTS = [
    "arguments-malformed",
    "crash-around-commit",
    "insufficient-quota",
    "reply-lost",
    "stream-clean-eof",
    "stream-stall",
]
_REFUND = {"order": int, "amount": int}


class Incomplete(Exception):
    """The stream ended before its finish reason."""


class Refused(Exception):
    """The provider said no, for good."""


def body_of(messages, *, stream=True):
    return {"model": "m", "messages": messages, "stream": stream}


def careless(messages):
    """What arrived is the answer, whatever it is. One attempt."""
    with client.stream("POST", URL, json=body_of(messages), timeout=5) as response:
        response.raise_for_status()
        text, calls, _ = read(response.iter_lines())
    return text, calls


def careful(messages, attempts=4):
    """A turn counts when it has its finish reason; what is transient is tried again, what is permanent is not."""
    for attempt in range(attempts):
        try:
            with client.stream("POST", URL, json=body_of(messages), timeout=5) as response:
                if response.status_code != 200:
                    refuse(response, response.read())
                return whole(read(response.iter_lines()))
        except (Incomplete, httpx.TransportError):
            if attempt == attempts - 1:
                raise
    raise AssertionError("not reached")


async def acareful(messages, attempts=4):
    """The same, async."""
    for attempt in range(attempts):
        try:
            async with aclient.stream("POST", URL, json=body_of(messages), timeout=5) as response:
                if response.status_code != 200:
                    refuse(response, await response.aread())
                return whole(read([line async for line in response.aiter_lines()]))
        except (Incomplete, httpx.TransportError):
            if attempt == attempts - 1:
                raise
    raise AssertionError("not reached")


def refuse(response, body):
    """Raise for a status: for good where trying again cannot help."""
    if json.loads(body)["error"]["code"] == "insufficient_quota":
        raise Refused("insufficient_quota")
    raise Incomplete(str(response.status_code))


def whole(turn):
    """The turn without its finish reason, which it must have."""
    text, calls, finished = turn
    if not finished:
        raise Incomplete("no finish reason")
    return text, calls


def read(lines):
    """Text, calls and finish reason of an SSE stream."""
    text, calls, finished = "", {}, None
    for line in lines:
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        choice = json.loads(line[6:])["choices"][0]
        finished = choice["finish_reason"] or finished
        text += choice["delta"].get("content") or ""
        for piece in choice["delta"].get("tool_calls") or []:
            entry = calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
            entry["id"] += piece.get("id") or ""
            entry["name"] += piece["function"].get("name") or ""
            entry["arguments"] += piece["function"].get("arguments") or ""
    return text, list(calls.values()), finished


def run(task, tools, ask=careful, keys=True, attempts=3):
    """Ask, do, ask again, until the model only talks."""
    messages = [{"role": "user", "content": task}]
    for _ in range(12):
        text, calls = ask(messages)
        if not calls:
            return text
        messages.append(said(text, calls))
        messages += [result_of(entry, do(entry, tools, keys, attempts)) for entry in calls]
    raise Refused("too many turns")


async def arun(task, tools, attempts=3):
    """The same, async, with sync tools."""
    messages = [{"role": "user", "content": task}]
    for _ in range(12):
        text, calls = await acareful(messages)
        if not calls:
            return text
        messages.append(said(text, calls))
        messages += [result_of(entry, do(entry, tools, True, attempts)) for entry in calls]
    raise Refused("too many turns")


def do(entry, tools, keys, attempts):
    """Call a tool; a lost reply is asked for again under the same key."""
    try:
        arguments = json.loads(entry["arguments"])
    except ValueError as error:
        return f"invalid arguments: {error}"
    if not isinstance(arguments, dict) or {key: type(value) for key, value in arguments.items()} != _REFUND:
        return "invalid arguments: order and amount are required, and are numbers"
    for attempt in range(attempts):
        try:
            return tools[entry["name"]](**arguments, **({"idempotency_key": "refund-7"} if keys else {}))
        except OSError:
            if attempt == attempts - 1:
                raise
    raise AssertionError("not reached")


def said(text, calls):
    asked = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": asked}


def result_of(entry, value):
    return {"role": "tool", "tool_call_id": entry["id"], "content": str(value)}


def stock(llm, sandbox, idempotent=True):
    """The script and the tool that the agents above are asked to use."""

    @sandbox.tool("refund", effect=True, idempotent=idempotent)
    def refund(order: int, amount: int):
        return "done"

    llm.says(call("refund", order=7, amount=20), "Refunded.")
    return sandbox.tools
