"""An agent that holds under every fault, on nothing but httpx: for `pytest-agent try`."""

import asyncio
import json

import httpx

URL = "https://api.openai.com/v1/chat/completions"
TOOLS = {"orders_lookup": {"order": int}, "payments_refund": {"order": int, "amount": int}}
NAMES = {int: "integer"}
client = httpx.AsyncClient(timeout=20)


class Refused(Exception):
    """It stops and says why."""


def declared(name, arguments):
    properties = {key: {"type": NAMES[kind]} for key, kind in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


async def ask(messages):
    body = {"model": "gpt-5", "messages": messages, "tools": [declared(*tool) for tool in TOOLS.items()]}
    pause_s = 0.0
    for attempt in range(3):
        await asyncio.sleep(pause_s)
        pause_s = 2**attempt
        try:
            async with asyncio.timeout(60):
                reply = await client.post(URL, json=body)
        except (httpx.TransportError, TimeoutError):
            continue
        if reply.status_code >= 500 or (reply.status_code == 429 and "quota" not in reply.text):
            pause_s = float(reply.headers.get("retry-after", pause_s))
            if pause_s > 120:
                raise Refused("too long a wait")
            continue
        try:
            choice = reply.raise_for_status().json()["choices"][0]
            return choice["message"], choice["finish_reason"]
        except (httpx.HTTPStatusError, ValueError, LookupError, TypeError) as error:
            raise Refused("no answer of a model") from error
    raise Refused("the model does not answer")


def checked(message, reason):
    calls = message.get("tool_calls") or []
    if reason != ("tool_calls" if calls else "stop") or len({call["id"] for call in calls}) < len(calls):
        raise Refused("the turn is not complete")
    made = []
    for call in calls:
        name = call["function"]["name"]
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError as error:
            raise Refused("not JSON") from error
        wanted = TOOLS.get(name)
        if wanted is None or not isinstance(arguments, dict) or arguments.keys() != wanted.keys():
            raise Refused("no such tool, or not its arguments")
        if not all(type(arguments[key]) is kind for key, kind in wanted.items()):
            raise Refused("not its arguments")
        made.append((call["id"], name, arguments))
    return made


async def use(tool, key, arguments):
    for _ in range(3):
        try:
            async with asyncio.timeout(20):
                reply = await tool(**arguments, idempotency_key=key)
        except (OSError, TimeoutError):
            continue
        if reply.get("status") != "ok":
            raise Refused("the tool has failed")
        return json.dumps(reply)[:2000]
    raise Refused("the tool does not answer")


async def agent(task, tools):
    messages, done = [{"role": "user", "content": task}], set()
    for _ in range(8):
        message, reason = await ask(messages)
        calls = checked(message, reason)
        if not calls:
            if not message.get("content") or not done:
                raise Refused("the model says nothing, or has done nothing")
            return message["content"]
        messages.append({"role": "assistant", "content": message.get("content"), "tool_calls": message["tool_calls"]})
        for call_id, name, arguments in calls:
            key = json.dumps([task, name, arguments], sort_keys=True)
            if key in done and name != "orders_lookup":
                raise Refused("the model repeats itself")
            done.add(key)
            result = await use(tools[name], key, arguments)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": result})
    raise Refused("no end")
