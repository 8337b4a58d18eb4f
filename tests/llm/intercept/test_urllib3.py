"""urllib3 and requests: their own sessions, retries, timeouts and exceptions, in virtual time."""

import io
import json

import pytest
import requests
import urllib3

from pytest_agent.trace import ModelReplied, Unanswered

URL = "https://llm.example/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
STREAM = {**BODY, "stream": True}


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


def lines(run, timeout=30):
    """What requests reads of a stream."""
    with run.inside(), requests.Session() as http:
        run.llm.says("one two three four")
        with http.post(URL, json=STREAM, stream=True, timeout=timeout) as reply:
            return [line for line in reply.iter_lines() if line]


def test_a_plain_reply_is_a_response_of_the_library(llm):
    llm.says("one", "two")
    with requests.Session() as http:
        reply = http.post(URL, json=BODY)
        assert (said(reply), reply.status_code, reply.reason) == ("one", 200, "OK")
        assert int(reply.headers["content-length"]) == len(reply.content)
        assert said(http.post(URL, json={**BODY, "seed": 1})) == "two"
    assert type(reply) is requests.Response


def test_a_pool_manager_of_urllib3(llm):
    llm.says("one", "two three")
    http = urllib3.PoolManager()
    assert http.request("POST", URL, json=BODY).json()["choices"][0]["message"]["content"] == "one"
    reply = http.request("POST", URL, json=STREAM, preload_content=False)
    pieces = list(reply.stream())
    assert pieces[-1] == b"data: [DONE]\n\n"
    assert all(piece.startswith(b"data: ") for piece in pieces)
    reply.release_conn()


def body_in_pieces():
    text = json.dumps(BODY).encode()
    yield text[:10]
    yield text[10:]


@pytest.mark.parametrize(
    "body", [json.dumps(BODY), json.dumps(BODY).encode(), io.BytesIO(json.dumps(BODY).encode()), body_in_pieces()]
)
def test_a_body_of_any_kind(llm, body):
    llm.says("Hi.")
    assert said(requests.post(URL, data=body)) == "Hi."


@pytest.mark.parametrize(
    ("fault", "error", "cause"),
    [
        ("stream-reset(after=2,how=reset)@llm", requests.exceptions.ChunkedEncodingError, "Connection reset by peer"),
        ("stream-reset(after=2)@llm", requests.exceptions.ChunkedEncodingError, "IncompleteRead|prematurely"),
        ("stream-stall(after=2)@llm", requests.ConnectionError, "Read timed out"),
        ("no-first-byte@llm", requests.ReadTimeout, "Read timed out"),
    ],
)
def test_every_end_is_the_librarys_own_error(run_under, fault, error, cause):
    run = run_under(fault)
    with pytest.raises(error, match=cause):
        lines(run)
    (told,) = run.trace.of(ModelReplied)
    timed_out = "timed out" in cause
    assert told.end == ("timeout" if timed_out else "cut")
    assert run.clock.elapsed_s == (30 if timed_out else 0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("stream-reset(after=2,how=reset)@llm", urllib3.exceptions.ProtocolError),
        ("stream-reset(after=2)@llm", urllib3.exceptions.ProtocolError),
        ("stream-stall(after=2)@llm", urllib3.exceptions.ReadTimeoutError),
    ],
)
def test_every_end_is_urllib3s_own_error(run_under, fault, error):
    run = run_under(fault)
    with run.inside():
        run.llm.says("one two three four")
        reply = urllib3.PoolManager(timeout=30).request("POST", URL, json=STREAM, preload_content=False)
        with pytest.raises(error):
            list(reply.stream())


@pytest.mark.parametrize("harmless", ["", "stream-bytewise@llm", "first-byte-late@llm", "stream-pause(for_s=20)@llm"])
def test_the_harmless_twins_are_read_to_the_end(run_under, harmless):
    run = run_under(harmless)
    assert lines(run)[-1] == b"data: [DONE]"
    assert [told.end for told in run.trace.of(ModelReplied)] == ["complete"]


@pytest.mark.parametrize("fault", ["stream-stall(after=2)@llm", "no-first-byte@llm"])
def test_who_waits_without_a_limit_is_ended(run_under, fault):
    run = run_under(fault)
    with pytest.raises(BaseException, match=r"hung: llm#1: the client (reads|waits) for ever"):
        lines(run, timeout=None)


def test_its_own_retries_see_the_status_and_obey_the_pause(run_under):
    run = run_under("rate-limit@llm")
    retry = urllib3.Retry(3, status_forcelist=[429], allowed_methods=None, backoff_factor=1)
    with run.inside(), requests.Session() as http:
        run.llm.says("after a pause")
        http.mount("https://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert said(http.post(URL, json=BODY)) == "after a pause"
    assert [told.status for told in run.trace.of(ModelReplied)] == [429, 200]
    assert run.clock.elapsed_s > 0


def test_without_retries_the_429_is_the_callers(run_under):
    run = run_under("rate-limit@llm")
    with run.inside():
        run.llm.says("never heard")
        reply = requests.post(URL, json=BODY)
    with pytest.raises(requests.HTTPError, match="429"):
        reply.raise_for_status()


@pytest.mark.parametrize("url", [URL, URL.replace("https", "http")])
@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "https://proxy.example:3128"])
def test_no_proxy_is_contacted(llm, run, url, proxy):
    llm.says("Hi.")
    assert said(requests.post(url, json=BODY, proxies={"https": proxy, "http": proxy})) == "Hi."
    assert not list(run.trace.of(Unanswered))


def test_certificates_are_nobodys(llm, recwarn):
    llm.says("Hi.")
    assert said(requests.post(URL, json=BODY, verify=False)) == "Hi."  # noqa: S501 - that is the point
    assert not recwarn.list


def test_a_stream_that_nobody_reads_is_closed_on_record(llm, run):
    llm.says("one two")
    with requests.post(URL, json=STREAM, stream=True):
        pass
    (told,) = run.trace.of(ModelReplied)
    assert (told.end, told.delivered) == ("closed", 0)


def test_loopback_goes_through_and_its_connection_is_not_used_for_the_model(llm, server):
    with requests.Session() as http:
        assert http.get(server).content == b"real"
        assert http.post(f"{server}/v1/chat/completions", json=BODY).content == b"real"
        llm.says("scripted")
        assert said(http.post(f"{server}/v1/chat/completions", json=BODY)) == "scripted"
        assert http.get(server).content == b"real"


def test_a_proxy_on_this_machine_is_a_server_on_this_machine(llm, server):
    assert requests.get("http://shop.example/orders", proxies={"http": server}).content == b"real"


def test_what_nothing_answers_is_refused_and_recorded_without_its_key(run_under):
    run = run_under()
    with run.inside(), pytest.raises(requests.ConnectionError, match="no script or loopback server answers it"):
        requests.get("https://user:pw@api.example/x?key=canary")
    (told,) = run.trace.of(Unanswered)
    assert "GET https://api.example" in told.detail
    assert "(urllib3)" in told.detail
    assert "canary" not in told.detail
    assert "pw" not in told.detail


def test_a_call_too_many_is_the_tests_failure(run_under):
    run = run_under()
    with run.inside(), pytest.raises(AssertionError, match="model call 1 has no turn in the script"):
        requests.post(URL, json=BODY)
