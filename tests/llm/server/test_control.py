"""The routes under /__/: what arrived, what it used, and the script."""

import pytest

from pytest_agent import Turn, Usage
from pytest_agent.llm.server import journal as journal_module
from pytest_agent.llm.server.journal import Journal, name_of

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}


def get(client, path):
    return client.ask(b"", path, "GET").json()


def asked(n, model="gpt-5"):
    return {"model": model, "messages": [{"role": "user", "content": f"question {n}"}]}


def test_requests_say_what_arrived_with_secrets_masked(start, connect):
    server = start()
    server.says("Hello.")
    client = connect(server)
    client.ask(
        ASK, "/v1/chat/completions?key=AIza-secret&alt=sse", authorization="Bearer sk-secret", x_api_key="sk-2"
    ).text()
    status, said = get(client, "/__/requests")
    (request,) = said["requests"]
    assert (status, said["arrived"]) == (200, 1)
    assert (request["path"], request["query"]) == ("/v1/chat/completions", "key=***&alt=sse")
    assert request["body"] == ASK
    assert request["headers"]["authorization"] == request["headers"]["x-api-key"] == "***"
    assert (request["site"], request["attempt"], request["status"], request["end"]) == ("llm#1", 1, 200, "complete")
    assert "secret" not in str(said)
    assert request["conversation"].startswith("key-")


def test_requests_can_be_chosen(start, connect):
    server = start()
    server.says("one", "two", "three")
    client = connect(server)
    for n, name in enumerate(("a", "b", "a")):
        client.ask(asked(n), x_conversation_id=name).text()
    assert [request["n"] for request in get(client, "/__/requests?conversation=a")[1]["requests"]] == [1, 3]
    assert [request["n"] for request in get(client, "/__/requests?conversation=a&after=1")[1]["requests"]] == [3]
    assert [request["n"] for request in get(client, "/__/requests?limit=1")[1]["requests"]] == [1]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        (
            "GET",
            "/__/request",
            404,
            "no route '/__/request'. Did you mean 'requests'? Known: commits, health,",
        ),
        ("GET", "/__/reset", 405, "/__/reset takes POST, not GET"),
        ("GET", "/__/requests?conversatoin=a", 400, "unknown parameter 'conversatoin'. Did you mean 'conversation'?"),
        ("GET", "/__/requests?after=x", 400, "after='x': expected a whole number, 0 or more"),
        ("PUT", "/__/script", 409, "the script belongs to a test; say it there with llm.says(...)"),
    ],
)
def test_a_wrong_question_is_told(start, connect, method, path, status, said):
    found, answer = connect(start()).ask(b"", path, method).json()
    assert found == status
    assert said in answer["error"]


def test_usage_counts_calls_attempts_tokens_and_cost(start, connect):
    server = start()
    server.says(*(Turn(text="Hello.", usage=Usage(1_000_000, 100_000)) for _ in range(3)))
    client = connect(server)
    client.ask(asked(1), x_conversation_id="a").text()
    client.ask(asked(1), x_conversation_id="a", x_stainless_retry_count="1").text()
    client.ask(asked(2), x_conversation_id="b").text()
    client.ask(asked(3, "my-own-model"), x_conversation_id="b").text()
    client.ask(b"{", x_conversation_id="b").reply()
    client.ask(asked(4), x_conversation_id="b").reply()
    status, usage = get(client, "/__/usage")
    assert status == 200
    assert (usage["total"]["calls"], usage["total"]["requests"]) == (3, 4)
    assert usage["total"]["cost_usd"] is None  # one of the models has no known price, and that is not nothing
    assert usage["conversations"]["a"]["cost_usd"] == pytest.approx(2 * (1.25 + 1.0))
    assert (usage["conversations"]["a"]["calls"], usage["conversations"]["a"]["requests"]) == (1, 2)
    assert usage["models"]["gpt-5"]["input_tokens"] == 3_000_000
    assert usage["conversations"]["b"]["models"]["my-own-model"]["cost_usd"] is None
    assert (usage["refused"], usage["unanswered"]) == (1, 1)


def test_reset_begins_to_count_anew(start, connect):
    server = start()
    server.says("one", "two")
    client = connect(server)
    client.ask(asked(1)).text()
    assert client.ask(b"", "/__/reset", "POST").json() == (200, {"status": "reset"})
    assert get(client, "/__/usage")[1]["total"]["requests"] == 0
    assert client.ask(asked(2)).text() == "two"
    assert [request["n"] for request in get(client, "/__/requests")[1]["requests"]] == [1]


@pytest.mark.parametrize(
    "header", [{"origin": "http://evil.example"}, {"host": "evil.example"}, {"host": "evil.example:80"}]
)
def test_a_page_in_a_browser_gets_nothing(start, connect, header):
    client = connect(start())
    client.send(
        "GET /__/requests HTTP/1.1\r\n{}: {}\r\n{}\r\n".format(
            *next(iter(header.items())), "" if "host" in header else "host: 127.0.0.1\r\n"
        ).encode()
    )
    assert client.json()[0] == 403


def test_two_conversations_hear_their_own_script(start, connect):
    server = start()
    server.conversation("a").says("a1", "a2")
    server.conversation("b").says("b1", "b2")
    first, second = connect(server), connect(server)
    assert first.ask(asked(1), x_conversation_id="a").text() == "a1"
    assert second.ask(asked(1), authorization="Bearer b").text() == "b1"
    assert second.ask(asked(2), x_api_key="b").text() == "b2"
    assert first.ask(asked(2), x_conversation_id="a").text() == "a2"
    usage = get(first, "/__/usage")[1]["conversations"]
    assert {name: spent["calls"] for name, spent in usage.items()} == {"a": 2, "b": 2}


def test_a_trace_names_a_conversation(start, connect):
    trace = "0af7651916cd43dd8448eb211c80319c"
    server = start()
    server.conversation(trace).says("Traced.")
    client = connect(server)
    assert client.ask(traceparent=f"00-{trace}-b7ad6b7169203331-01").text() == "Traced."
    assert get(client, f"/__/requests?conversation={trace}")[1]["requests"][0]["site"] == f"llm[{trace}]#1"


def test_the_journal_is_bounded(monkeypatch):
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 10)
    monkeypatch.setattr(journal_module, "MOST_BYTES", 5_000)
    monkeypatch.setattr(journal_module, "MOST_CONVERSATIONS", 5)
    from pytest_agent.faults.site import Site
    from pytest_agent.llm.record import Delivery
    from pytest_agent.llm.reply import Reply
    from pytest_agent.llm.request import WireRequest

    journal, reply = Journal(), Reply(200, (), ())
    for n in range(100):
        wire = WireRequest("POST", "/", {"x-conversation-id": f"c{n}"}, b"x" * 1_000)
        delivery = Delivery(None, Site("llm"), "llm#1", None, reply, "gpt-5", Usage(1, 1), None)
        journal.note(wire, reply, delivery, answered=True)
    assert [entry.n for entry in journal.entries()] == [96, 97, 98, 99, 100]
    usage = journal.usage()
    assert len(usage["conversations"]) <= 6
    assert usage["total"]["requests"] == usage["total"]["input_tokens"] == 100
    assert usage["conversations"]["c99"]["requests"] == 1


def test_a_key_is_never_shown_as_a_name():
    assert name_of({"authorization": "Bearer short"}).startswith("key-")
    assert name_of({"x-conversation-id": "mine", "authorization": "Bearer short"}) == "mine"
    assert name_of({}) == ""
