"""What OpenAI Responses takes and refuses as its input: each planted fault beside the correct twin."""

import json

import openai
import pytest

from pytest_agent import call
from pytest_agent.llm.openai_responses import OpenAIResponses
from pytest_agent.llm.request import BadRequest, WireRequest

CLIENT = openai.OpenAI(api_key="test", max_retries=0)
USER = {"role": "user", "content": "hello"}


def called(id_, **more):
    return {"type": "function_call", "call_id": id_, "name": "lookup", "arguments": '{"order": 7}', **more}


def output(id_, **more):
    return {"type": "function_call_output", "call_id": id_, "output": "7", **more}


def thought(**more):
    return {"type": "reasoning", "id": "rs_1", "summary": [], **more}


def decode(**body):
    data = json.dumps({"model": "gpt-5", **body}).encode()
    return OpenAIResponses().decode(WireRequest("POST", "/v1/responses", {}, data))


# The bad input, what is said of it, `param`, `code`, and the input that is right.
CASES = {
    "a call without its output": (
        [USER, called("call_x"), called("call_y"), output("call_x")],
        "No tool output found for function call call_y.",
        "input",
        None,
        [USER, called("call_x"), called("call_y"), output("call_y"), output("call_x")],
    ),
    "an output of no call": (
        [USER, output("call_x")],
        "No tool call found for function call output with call_id call_x.",
        "input",
        None,
        [USER, called("call_x"), output("call_x")],
    ),
    "an output before its call": (
        [USER, output("call_x"), called("call_x")],
        "No tool call found for function call output with call_id call_x.",
        "input",
        None,
        [USER, called("call_x"), USER, output("call_x")],
    ),
    "two calls of one id": (
        [called("a"), called("a"), output("a")],
        "Duplicate value for 'call_id' of 'a' in input[1]",
        "input",
        None,
        [called("a"), called("b"), output("a"), output("b")],
    ),
    "a thought of which nothing came": (
        [USER, thought()],
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        "input",
        None,
        [USER, thought(), called("a"), output("a")],
    ),
    "a thought before the user speaks": (
        [thought(), USER],
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        "input",
        None,
        [thought(), {"role": "assistant", "content": "Hi."}, USER],
    ),
    "a role of the other protocol": (
        [{"role": "tool", "content": "7"}],
        "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
        "input[0].role",
        "invalid_value",
        [{"role": "developer", "content": "7"}],
    ),
    "a part of the other protocol": (
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "Invalid value: 'text'. Supported values are: 'input_text', 'input_image', 'output_text', 'refusal', "
        "'input_file', 'computer_screenshot', and 'summary_text'.",
        "input[0].content[0]",
        "invalid_value",
        [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
    ),
    "the user's part in the model's message": (
        [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}],
        "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
        "input[0].content[0]",
        "invalid_value",
        [{"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}],
    ),
    "a message without content": (
        [{"role": "user"}],
        "Missing required parameter: 'input[0].content'.",
        "input[0].content",
        "missing_required_parameter",
        [USER],
    ),
    "a call without an id": (
        [called(None), output("a")],
        "Missing required parameter: 'input[0].call_id'.",
        "input[0].call_id",
        "missing_required_parameter",
        [called("a"), output("a")],
    ),
    "a call with an empty id": (
        [called(""), output("")],
        "Invalid 'input[0].call_id': empty string. Expected a string with minimum length 1, but got an empty string "
        "instead.",
        "input[0].call_id",
        "empty_string",
        [called("a"), output("a", output=[{"type": "input_text", "text": "7"}])],
    ),
    "arguments that are no text": (
        [called("a", arguments={}), output("a")],
        "Invalid type for 'input[0].arguments': expected a string, but got an object instead.",
        "input[0].arguments",
        "invalid_type",
        [called("a", arguments="{"), output("a")],
    ),
    "an output of nothing": (
        [called("a"), output("a", output=None)],
        "Missing required parameter: 'input[1].output'.",
        "input[1].output",
        "missing_required_parameter",
        [called("a"), output("a", output="")],
    ),
    "nothing": (
        [],
        "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "input",
        "empty_array",
        "",
    ),
    "a number": (
        7,
        "Invalid type for 'input': expected one of a string or array of input items, but got an integer instead.",
        "input",
        "invalid_type",
        "7",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_input_that_cannot_be_sent_is_refused_and_its_twin_is_not(llm, case):
    bad, said, param, code, good = case
    llm.says("Hi.")
    with pytest.raises(openai.BadRequestError) as caught:
        CLIENT.responses.create(model="gpt-5", input=bad)
    assert (caught.value.body["message"], caught.value.param, caught.value.code) == (said, param, code)
    assert CLIENT.responses.create(model="gpt-5", input=good).output_text == "Hi."
    with pytest.raises(BadRequest) as refused:
        decode(input=bad)
    assert refused.value.about == "history"


def test_an_item_of_no_known_type():
    with pytest.raises(
        BadRequest, match=r"Invalid value: 'tool_call'. Supported values are: 'additional_tools'"
    ) as bad:
        decode(input=[{"type": "tool_call"}])
    assert bad.value.param == "input[0].type"
    assert decode(input=[{"type": "item_reference", "id": "msg_1"}, {"type": "web_search_call", "id": "ws_1"}])


def test_no_input_at_all():
    with pytest.raises(BadRequest, match='One of "input" or "previous_response_id"') as bad:
        decode()
    assert (bad.value.param, bad.value.code) == ("input", "missing_required_parameter")
    assert decode(previous_response_id="resp_1").messages == []


def test_what_an_earlier_response_has_said_may_be_answered(llm):
    """The history is what is sent: nothing is kept of the earlier one."""
    llm.says(call("lookup", order=7), "Done.")
    first = CLIENT.responses.create(model="gpt-5", input="hello")
    made = first.output[0]
    second = CLIENT.responses.create(model="gpt-5", previous_response_id=first.id, input=[output(made.call_id)])
    assert (second.output_text, second.previous_response_id) == ("Done.", first.id)
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        CLIENT.responses.create(model="gpt-5", input=[output(made.call_id)])


def test_the_models_own_items_go_back_as_they_came(llm):
    llm.says([call("lookup", order=1), call("lookup", order=2)], "Both are there.")
    first = CLIENT.responses.create(model="gpt-5", input=[USER])
    history = [USER, *first.output, *(output(item.call_id) for item in first.output)]
    assert CLIENT.responses.create(model="gpt-5", input=history).output_text == "Both are there."
    assert [item.get("type") for item in llm.requests[1].messages[1:]] == ["function_call"] * 2 + [
        "function_call_output"
    ] * 2


def test_text_is_one_message_of_the_user_on_record(llm):
    llm.says("Hi.")
    CLIENT.responses.create(model="gpt-5", input="hello")
    assert llm.requests[0].messages == [USER]


def test_the_history_in_the_words_of_no_provider():
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "x"}]},
        thought(),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
        called("a"),
        called("b"),
        output("a"),
        output("b", output=[{"type": "input_text", "text": "8"}]),
        called("c"),
        output("c"),
        {"role": "assistant", "content": "Done."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    said = decode(input=items, instructions="Be brief.").history
    assert [(message.role, message.text, [made.id for made in message.calls]) for message in said] == [
        ("system", "Be brief.", []),
        ("system", "Be kind.", []),
        ("user", "a", []),
        ("assistant", "Looking.", ["a", "b"]),
        ("tool", "7", []),
        ("tool", "8", []),
        ("assistant", "", ["c"]),
        ("tool", "7", []),
        ("assistant", "Done.", []),
        ("assistant", "No.", []),
    ]
    assert [message.call_id for message in said if message.role == "tool"] == ["a", "b", "c"]


def test_the_last_item_in_one_line():
    request = decode(input=[USER, called("a"), output("a")])
    assert request.last_message == "function_call_output: 7"
