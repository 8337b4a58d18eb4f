"""Scripts as YAML and JSON."""

import json
from pathlib import Path

import pytest

from pytest_agent import Turn, Usage, UsageError
from pytest_agent.faults.seams import Seams
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.pace import Pace
from pytest_agent.llm.server.script_file import parse_script, read_script
from pytest_agent.llm.turn import ToolCall
from pytest_agent.trace import Trace

WHOLE = """
says:
  - Hello.
  - {call: orders.lookup, arguments: {id: 7}}
  - {calls: [{call: a}, {call: b, arguments: {x: 1}, id: mine}]}
  - {text: Cut, stop: length, usage: {input_tokens: 10, output_tokens: 2}, pace: {first_s: 0.5}}
  - {refusal: No., reasoning: Hm.}
rules:
  - {when: {last: refund, turn: 2}, says: [Refunded., Done.], times: 1}
  - {when: {model: '/^gpt-[45]$/'}, says: [Matched.]}
persona: {words: 3}
pace: {gap_s: 0.02}
conversations:
  agent-1: [Only for you.]
  agent-2: {persona: {answer: Always this.}}
"""


class StandingClock:
    elapsed_s = 0.0


def model_of(text):
    model = ScriptedModel(Seams(Trace(StandingClock())))
    parse_script(text, "script.yaml").apply(model)
    return model


def test_a_script_says_what_a_test_could_say():
    model = model_of(WHOLE)
    default = next(iter(model._scripts))
    assert default.turns == [
        Turn(text="Hello."),
        Turn(calls=(ToolCall("orders.lookup", '{"id": 7}'),)),
        Turn(calls=(ToolCall("a"), ToolCall("b", '{"x": 1}', "mine"))),
        Turn(text="Cut", stop="length", usage=Usage(10, 2), pace=Pace(first_s=0.5)),
        Turn(refusal="No.", reasoning="Hm."),
    ]
    assert [str(rule) for rule in model.rules] == [
        "llm.when(last='refund', turn=2, times=1)",
        "llm.when(model=re.compile('^gpt-[45]$'))",
    ]
    assert all(rule.optional for rule in model.rules)
    assert model.function.words == 3
    assert model._pace == Pace(gap_s=0.02)
    assert model.conversation("agent-1").turns == [Turn(text="Only for you.")]
    assert model.conversation("agent-2").function.answer == "Always this."


def test_json_is_yaml_too():
    assert parse_script(json.dumps({"says": ["Hello."]}), "x").says[0].turn() == Turn(text="Hello.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sayz: []", "script.yaml:1 sayz: unknown key 'sayz'. Did you mean 'says'?"),
        ("says: Hello", "script.yaml:1 says: expected a list, found 'Hello'; put it into a list"),
        ("says:\n  - {txet: Hello}", "script.yaml:2 says[0].txet: unknown key 'txet'. Did you mean 'text'?"),
        ("says:\n  - {stop: length}", "says[0]: a turn says 'text', 'call', 'calls' or 'refusal'"),
        ("says:\n  - {call: a, calls: [{call: b}]}", "put all of them into 'calls'"),
        ("says:\n  - {text: a, arguments: {x: 1}}", "'arguments' belong to a 'call'"),
        ("says:\n  - {text: a, stop: lenght}", "did you mean 'length'?"),
        ("rules:\n  - {when: {}, says: [a]}", "a rule asks for nothing"),
        ("rules:\n  - {when: {last: a}, says: []}", "at least 1 in the list"),
        ("rules:\n  - {when: {last: '/(/'}, says: [a]}", "not a regular expression"),
        ("pace: {gap_s: -1}", "script.yaml:1 pace.gap_s: expected 0 or more, found -1"),
        ("says: &a [x]\nrules: *a", "alias"),
        ("- a", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, said):
    with pytest.raises(UsageError) as error:
        parse_script(text, "script.yaml")
    assert said in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_script(Path(tmp_path) / "none.yaml")
