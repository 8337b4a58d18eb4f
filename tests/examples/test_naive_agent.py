"""The agent that breaks: fifty lines straight on the openai SDK, as in every tutorial. It is broken on purpose."""

import json

import pytest
from openai import OpenAI

from pytest_agent import call

client = OpenAI(api_key="test")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "payments_refund",
            "description": "Pay an order back",
            "parameters": {
                "type": "object",
                "properties": {"order": {"type": "integer"}, "amount": {"type": "integer"}},
                "required": ["order", "amount"],
            },
        },
    }
]


def ask(messages: list) -> tuple[str, list]:
    """One turn of the model, put together from its stream."""
    text, calls = "", {}
    for chunk in client.chat.completions.create(model="gpt-5", messages=messages, tools=TOOLS, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for piece in delta.tool_calls or []:
            entry = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            entry["id"] += piece.id or ""
            entry["name"] += piece.function.name or ""
            entry["arguments"] += piece.function.arguments or ""
    return text, list(calls.values())


def ask_three_times(messages: list) -> tuple[str, list]:
    """To be on the safe side, whatever went wrong. The SDK tries three times as well."""
    for attempt in range(3):
        try:
            return ask(messages)
        except Exception:
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def naive_agent(task: str, tools: dict) -> str:
    """Ask the model, run what it says, ask again, until it says something that is not a tool call."""
    messages = [{"role": "user", "content": task}]
    while True:
        text, calls = ask_three_times(messages)
        if not calls:
            return text
        asked = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls
        ]
        messages.append({"role": "assistant", "content": text or None, "tool_calls": asked})
        for entry in calls:
            try:
                arguments = json.loads(entry["arguments"])
            except ValueError:
                arguments = {}
            try:
                result = tools[entry["name"]](**arguments)
            except Exception as error:  # noqa: BLE001 - naive on purpose
                result = f"error: {error}"
            messages.append({"role": "tool", "tool_call_id": entry["id"], "content": str(result)})


@pytest.mark.chaos(expect_failure="the naive agent trusts every reply and retries without a key")
def test_naive_agent(llm, sandbox):
    @sandbox.tool("payments_refund", effect=True)
    def refund(order: int, amount: int):
        return {"refunded": amount}

    llm.says(call("payments_refund", order=7, amount=20), "Order 7 is refunded.")

    naive_agent("Please refund order 7, it was 20 EUR", sandbox.tools)
