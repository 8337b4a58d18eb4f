"""The faults of the catalogue on OpenAI Responses: each that acts on a model either strikes or says that it has not."""

import json

import httpx
import openai
import pytest

from pytest_agent import Turn, call
from pytest_agent.errors import RunAbort
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.trace import FaultApplied, ModelReplied

URL = "https://llm.example/v1/responses"
BODY = {"model": "gpt-5", "input": "hello", "stream": True}
TURN = Turn("Looking.", calls=(call("lookup", order=7, note="as soon as may be"),))
CATALOGUE = load_catalogue()
ON_MODELS = sorted(named.id for named in CATALOGUE if named.effect.seam == "llm")
# What says nothing on this wire, or needs a history with a call in it.
NOT_HERE = {"stream-without-done", "empty-delta", "model-repeats-call", "lookup-repeated-once"}


def ask(run, turn=TURN, **more):
    run.llm.says(turn)
    with run.inside(), httpx.Client(timeout=60) as http:
        return http.post(URL, json={**BODY, **more})


def events(raw):
    lines = [line for line in raw.content.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ON_MODELS)
def test_each_strikes_or_says_that_it_has_not(run_under, fault, stream):
    run, calm = run_under(f"{fault}@llm"), run_under()
    clean = ask(calm, stream=stream)
    try:
        raw = ask(run, stream=stream)
    except (httpx.HTTPError, RunAbort):
        raw = None
    struck = bool(list(run.trace.of(FaultApplied)))
    (reply,), (meant,) = run.trace.of(ModelReplied), calm.trace.of(ModelReplied)
    same = raw is not None and (raw.content, raw.headers) == (clean.content, clean.headers)
    same = same and (reply.events, reply.error_code) == (meant.events, None) and not run.clock.elapsed_s
    assert struck is not same, "on record is what happened"
    if stream:
        assert struck is (fault not in NOT_HERE)


def test_the_list_of_what_does_not_apply_is_of_faults_that_there_are():
    assert set(ON_MODELS) >= NOT_HERE


@pytest.mark.parametrize("fault", ["arguments-by-character", "call-in-one-piece"])
def test_other_pieces_of_the_arguments_are_numbered_in_order(run_under, fault):
    run = run_under(f"{fault}@llm")
    run.llm.says(TURN)
    with run.inside(), openai.OpenAI(api_key="test").responses.stream(model="gpt-5", input="hello") as stream:
        said = list(stream)
        final = stream.get_final_response()
    assert list(run.trace.of(FaultApplied))
    assert [event.sequence_number for event in said] == list(range(len(said)))
    pieces = [event.delta for event in said if event.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == final.output[1].arguments == TURN.calls[0].arguments


def test_an_error_in_the_stream_fails_the_response(run_under):
    run = run_under("rate-limit-in-stream(after=4)@llm")
    *before, error, failed = events(ask(run))
    assert len(before) == 4
    assert (error["type"], error["code"], error["param"]) == ("error", "rate_limit_exceeded", None)
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["id"] == before[0]["response"]["id"]
    assert failed["response"]["error"]["code"] == "rate_limit_exceeded"
    assert [event["sequence_number"] for event in (*before, error, failed)] == [0, 1, 2, 3, 4, 5]
    assert next(run.trace.of(ModelReplied)).heard is False


def test_a_stream_that_ends_early_has_no_final_response(run_under):
    run = run_under("stream-clean-eof(after=5)@llm")
    run.llm.says(TURN)
    with run.inside(), openai.OpenAI(api_key="test").responses.stream(model="gpt-5", input="hello") as stream:
        assert len(list(stream)) == 5
        with pytest.raises(RuntimeError, match=r"response.completed"):
            stream.get_final_response()


def test_a_model_that_repeats_its_call_repeats_the_one_of_the_items(run_under):
    run = run_under("model-repeats-call@llm")
    made = {"type": "function_call", "call_id": "a", "name": "lookup", "arguments": '{"order": 7}'}
    items = [{"role": "user", "content": "x"}, made, {"type": "function_call_output", "call_id": "a", "output": "7"}]
    (item,) = ask(run, stream=False, input=items).json()["output"]
    assert (item["name"], item["arguments"], item["call_id"] != "a") == ("lookup", '{"order": 7}', True)
    assert list(run.trace.of(FaultApplied))
