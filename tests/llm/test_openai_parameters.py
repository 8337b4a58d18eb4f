"""What OpenAI refuses in the parameters of a request, on both of its wires."""

import openai
import pytest

CLIENT = openai.OpenAI(api_key="test", max_retries=0)
USER = [{"role": "user", "content": "hello"}]
STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def tool(name="lookup", **more):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}, **more}}


def flat(name="lookup", **more):
    return {"type": "function", "name": name, "parameters": {"type": "object"}, **more}


def within(inner):
    return {**STRICT, "properties": {"a": {"type": "array", "items": inner}}}


def schema(**changes):
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {**STRICT, **changes}}}


# The bad request, what is said of it, `param`, `code`, and the request that is right.
CHAT = {
    "temperature is text": (
        {"temperature": "hot"},
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
        "temperature",
        "invalid_type",
        {"temperature": 0.5},
    ),
    "temperature is too high": (
        {"temperature": 3},
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        "temperature",
        "decimal_above_max_value",
        {"temperature": 2},
    ),
    "stream is text": (
        {"stream": "yes"},
        "Invalid type for 'stream': expected a boolean, but got a string instead.",
        "stream",
        "invalid_type",
        {"stream": False},
    ),
    "n is nothing": (
        {"n": 0},
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        "n",
        "integer_below_min_value",
        {"n": 2},
    ),
    "n is true": (
        {"n": True},
        "Invalid type for 'n': expected an integer, but got a boolean instead.",
        "n",
        "invalid_type",
        {"n": None},
    ),
    "max_tokens is no whole number": (
        {"max_tokens": 1.5},
        "Invalid type for 'max_tokens': expected an integer, but got a decimal instead.",
        "max_tokens",
        "invalid_type",
        {"max_tokens": 1},
    ),
    "tools are an object": (
        {"tools": {}},
        "Invalid type for 'tools': expected an array of objects, but got an object instead.",
        "tools",
        "invalid_type",
        {"tools": [tool()]},
    ),
    "no tools": (
        {"tools": []},
        "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "tools",
        "empty_array",
        {"tools": None},
    ),
    "a tool in the flat form": (
        {"tools": [flat()]},
        "Missing required parameter: 'tools[0].function'.",
        "tools[0].function",
        "missing_required_parameter",
        {"tools": [tool(), tool("other")]},
    ),
    "a name with a dot": (
        {"tools": [tool(), tool("orders.lookup")]},
        "Invalid 'tools[1].function.name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "tools[1].function.name",
        "invalid_value",
        {"tools": [tool("orders_lookup-2")]},
    ),
    "a long name": (
        {"tools": [tool("x" * 65)]},
        "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, "
        "but got a string with length 65 instead.",
        "tools[0].function.name",
        "string_above_max_length",
        {"tools": [tool("x" * 64)]},
    ),
    "a strict tool that is open inside": (
        {"tools": [tool(strict=True, parameters=within({**STRICT, "additionalProperties": True}))]},
        "Invalid schema for function 'lookup': In context=('properties', 'a', 'items'), 'additionalProperties' is "
        "required to be supplied and to be false.",
        "tools[0].function.parameters",
        "invalid_function_parameters",
        {"tools": [tool(strict=True, parameters=within(STRICT))]},
    ),
    "a choice that is no tool": (
        {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        "Tool choice 'function' not found in 'tools' parameter.",
        "tool_choice",
        None,
        {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "lookup"}}},
    ),
    "a choice that is no word of it": (
        {"tools": [tool()], "tool_choice": "any"},
        "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
        "tool_choice",
        "invalid_value",
        {"tools": [tool()], "tool_choice": "required"},
    ),
    "a choice without tools": (
        {"tool_choice": "auto"},
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        "tool_choice",
        None,
        {"tools": [tool()], "tool_choice": "auto"},
    ),
    "parallel calls of no tools": (
        {"parallel_tool_calls": False},
        "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.",
        "parallel_tool_calls",
        None,
        {"tools": [tool()], "parallel_tool_calls": False},
    ),
    "options of no stream": (
        {"stream_options": {"include_usage": True}},
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        None,
        {"stream_options": None},
    ),
    "JSON of which nobody spoke": (
        {"response_format": {"type": "json_object"}},
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        "messages",
        None,
        {"response_format": {"type": "text"}},
    ),
    "a strict schema that is open": (
        {"response_format": schema(additionalProperties=True)},
        "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required to be "
        "supplied and to be false.",
        "response_format",
        None,
        {"response_format": schema()},
    ),
    "a strict schema with an option": (
        {"response_format": schema(required=[])},
        "Invalid schema for response_format 'answer': In context=(), 'required' is required to be supplied and to be "
        "an array including every key in properties. Missing 'a'.",
        "response_format",
        None,
        {"response_format": schema(properties={}, required=[])},
    ),
    "an effort of a model that has none": (
        {"reasoning_effort": "low"},
        "Unrecognized request argument supplied: reasoning_effort",
        None,
        None,
        {"model": "gpt-5", "reasoning_effort": "low"},
    ),
    "a limit that a model which reasons does not know": (
        {"model": "o3", "max_tokens": 5},
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
        {"model": "o3", "max_completion_tokens": 5},
    ),
    "a temperature of a model that reasons": (
        {"model": "gpt-5", "temperature": 0.2},
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
        "supported.",
        "temperature",
        "unsupported_value",
        {"model": "gpt-5", "temperature": 1},
    ),
    "words to stop at": (
        {"model": "openai/o4-mini", "stop": ["x"]},
        "Unsupported parameter: 'stop' is not supported with this model.",
        "stop",
        "unsupported_parameter",
        {"model": "gpt-5-chat-latest", "stop": ["x"], "temperature": 0, "max_tokens": 5},
    ),
    "a temperature of a model that is told not to reason": (
        {"model": "gpt-5", "temperature": 0, "reasoning_effort": "none"},
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        "temperature",
        "unsupported_value",
        {"model": "gpt-5.2", "temperature": 0, "reasoning_effort": "none"},
    ),
    "no model": ({"model": ""}, "you must provide a model parameter", None, None, {"model": "m"}),
}
RESPONSES = {
    "messages": (
        {"extra_body": {"messages": USER}},
        "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. Try again with "
        "the new parameter. See the API documentation for more information: "
        "https://platform.openai.com/docs/api-reference/responses/create.",
        "messages",
        "unsupported_parameter",
        {},
    ),
    "a tool in the nested form": (
        {"tools": [tool()]},
        "Missing required parameter: 'tools[0].name'.",
        "tools[0].name",
        "missing_required_parameter",
        {"tools": [flat(), {"type": "web_search"}], "tool_choice": {"type": "function", "name": "lookup"}},
    ),
    "a choice that is no tool": (
        {"tools": [flat()], "tool_choice": {"type": "function", "name": "other"}},
        "Tool choice 'function' not found in 'tools' parameter.",
        "tool_choice",
        None,
        {"tool_choice": "auto"},
    ),
    "a choice without tools": (
        {"tool_choice": "required"},
        "Tool choice 'required' must be specified with 'tools' parameter.",
        "tool_choice",
        None,
        {"tools": [flat()], "tool_choice": "required"},
    ),
    "a limit that is too small": (
        {"max_output_tokens": 15},
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
        "max_output_tokens",
        "integer_below_min_value",
        {"max_output_tokens": 16},
    ),
    "a temperature of a model that reasons": (
        {"model": "gpt-5", "temperature": 0.2},
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "temperature",
        None,
        {"model": "gpt-5.2", "temperature": 0.2, "reasoning": {"effort": "none"}},
    ),
    "a format without a name": (
        {"text": {"format": {"type": "json_schema", "schema": STRICT}}},
        "Missing required parameter: 'text.format.name'.",
        "text.format.name",
        "missing_required_parameter",
        {"text": {"format": {"type": "json_schema", "name": "answer", "schema": STRICT, "strict": True}}},
    ),
    "a format that there is not": (
        {"text": {"format": {"type": "yaml"}}},
        "Invalid value: 'yaml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        "text.format.type",
        "invalid_value",
        {"text": {"verbosity": "low"}},
    ),
    "instructions that are none": (
        {"instructions": 7},
        "Invalid type for 'instructions': expected a string, but got an integer instead.",
        "instructions",
        "invalid_type",
        {"instructions": "Be brief."},
    ),
}


def check(llm, case, ask):
    bad, said, param, code, good = case
    llm.says("Hi.")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**{"model": "gpt-4o", **bad})
    assert (caught.value.body["message"], caught.value.param, caught.value.code) == (said, param, code)
    ask(**{"model": "gpt-4o", **good})
    assert llm.calls == 1


@pytest.mark.parametrize("case", CHAT.values(), ids=CHAT)
def test_chat_completions_refuses_it_and_takes_its_twin(llm, case):
    check(llm, case, lambda **asked: CLIENT.chat.completions.create(messages=USER, **asked))


@pytest.mark.parametrize("case", RESPONSES.values(), ids=RESPONSES)
def test_responses_refuses_it_and_takes_its_twin(llm, case):
    check(llm, case, lambda **asked: CLIENT.responses.create(input="hello", **asked))


def test_two_tools_of_one_name_are_taken(llm):
    llm.says("Hi.")
    CLIENT.chat.completions.create(model="gpt-4o", messages=USER, tools=[tool(), tool()])
