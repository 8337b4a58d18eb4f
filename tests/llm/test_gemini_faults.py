"""Every fault of the model's side on Gemini's wire: it strikes and is on record, or it leaves the reply as it was."""

import json

import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors

from pytest_agent import Turn, Usage, call
from pytest_agent.errors import RunAbort
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.trace import FaultApplied, ModelReplied

MODEL = "gemini-3-pro"
BASE = f"https://llm.example/v1beta/models/{MODEL}"
CLIENT = genai.Client(api_key="test")
CATALOGUE = load_catalogue()
OF_THE_MODEL = sorted(named.id for named in CATALOGUE if named.effect.seam == "llm")
METHODS = ("generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent")
TURN = Turn("I look.", calls=(call("orders", id=7, note="für"), call("refund", order=7)), usage=Usage(9, 5))
BODY = {
    "contents": [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "lookup", "args": {"id": 7}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "lookup", "response": {"result": "ok"}}}]},
    ]
}


def reply_to(run, method):
    """Body and kind of error, of which the connection may have one."""
    run.llm.says(TURN)
    with run.inside(), httpx.Client(timeout=30) as http:
        try:
            return http.post(f"{BASE}:{method}", json=BODY).content
        except (httpx.HTTPError, RunAbort) as error:
            return type(error).__name__.encode()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", OF_THE_MODEL)
def test_it_strikes_or_changes_nothing(run_under, fault, method):
    clean, run = reply_to(run_under(), method), run_under(f"{fault}@llm")
    got = reply_to(run, method)
    struck = list(run.trace.of(FaultApplied))
    # Headers and waits are not in the body.
    assert struck or got == clean
    replies = list(run.trace.of(ModelReplied))
    assert len(replies) == 1
    if got == clean and replies[0].status == 200 and replies[0].error_code is None:
        assert replies[0].end == "complete"


@pytest.mark.parametrize("fault", OF_THE_MODEL)
def test_a_list_is_never_given_what_only_events_have(run_under, fault):
    """A stream that is no SSE has no comments, no keep-alives and no error events; what ends as a list is JSON."""
    run = run_under(f"{fault}@llm")
    got = reply_to(run, METHODS[2])
    assert b"data:" not in got
    assert b"retry:" not in got
    if got.endswith(b"]\r\n"):
        assert isinstance(json.loads(got), list)


def streamed(run):
    with run.inside():
        return list(CLIENT.models.generate_content_stream(model=MODEL, contents="hello"))


def calls_of(chunks):
    return [(one.name, one.args) for chunk in chunks for one in chunk.function_calls or []]


MADE = [("orders", {"id": 7, "note": "für"}), ("refund", {"order": 7})]
CONTROLS = sorted(named.id for named in CATALOGUE if named.is_control and named.effect.seam == "llm")
NOT_FOR_THIS_SDK = {"stream-other-fields"}


@pytest.mark.parametrize("control", [name for name in CONTROLS if name not in NOT_FOR_THIS_SDK])
def test_the_sdk_hears_the_same_under_a_control(run_under, control):
    run = run_under(f"{control}@llm")
    run.llm.says(TURN)
    assert calls_of(streamed(run)) == MADE


def test_the_sdk_takes_no_comments(run_under):
    run = run_under("stream-other-fields@llm")
    run.llm.says(TURN)
    with pytest.raises((errors.UnknownApiResponseError, ValueError)):
        streamed(run)


def test_a_cut_stream_raises_nothing(run_under):
    run = run_under("stream-clean-eof(after=2)@llm")
    run.llm.says(TURN)
    chunks = streamed(run)
    assert [chunk.candidates[0].finish_reason for chunk in chunks] == [None, None]
    assert next(run.trace.of(ModelReplied)).end == "cut"


def test_the_last_chunk_is_the_terminal_one(run_under):
    for after, struck in ((4, True), (5, False)):
        run = run_under(f"stream-clean-eof(after={after})@llm")
        run.llm.says(TURN)
        assert calls_of(streamed(run)) == MADE
        assert (next(run.trace.of(ModelReplied)).end == "cut") is struck
        assert bool(list(run.trace.of(FaultApplied))) is struck


def test_a_reset_is_the_error_of_the_library(run_under):
    run = run_under("stream-reset(after=2)@llm")
    run.llm.says(TURN)
    with pytest.raises(httpx2.RemoteProtocolError, match="peer closed connection"):
        streamed(run)


def test_the_last_call_is_made_again(run_under):
    run = run_under("model-repeats-call@llm")
    reply = json.loads(reply_to(run, METHODS[0]))
    (part,) = reply["candidates"][0]["content"]["parts"]
    assert (part["functionCall"]["name"], part["functionCall"]["args"]) == ("lookup", {"id": 7})
