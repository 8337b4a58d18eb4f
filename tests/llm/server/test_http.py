"""HTTP/1.1 as clients speak it, by hand."""

import json
import threading

import pytest

from pytest_agent import Turn
from pytest_agent.llm.pace import Pace
from pytest_agent.llm.server.limits import Limits

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**ASK, "stream": True}


def asked(n):
    return {**ASK, "messages": [{"role": "user", "content": f"question {n}"}]}


def test_one_connection_serves_many_requests(start, connect):
    server = start()
    server.says("one", "two")
    client = connect(server)
    assert client.ask(asked(1)).text() == "one"
    assert client.ask(asked(2)).text() == "two"


def test_pipelined_requests_are_answered_in_order(start, connect):
    server = start(limits=Limits(pipelined=4))
    server.says(*(f"answer {n}" for n in range(40)))
    client = connect(server)
    for n in range(40):
        client.ask(asked(n))
    assert [client.text() for _ in range(40)] == [f"answer {n}" for n in range(40)]


def test_a_request_waits_for_the_stream_before_it(start, connect):
    server = start()
    server.says(Turn(text="a b c", pace=Pace(first_s=0.01, gap_s=0.01)), "two")
    client = connect(server).ask({**asked(1), "stream": True}).ask(asked(2))
    status, body = client.reply()
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n")
    assert client.text() == "two"


def test_a_chunked_request_that_comes_byte_by_byte(start, connect):
    server = start()
    server.says("Hello.")
    body = json.dumps(ASK).encode()
    half = len(body) // 2
    pieces = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (half, body[:half], len(body) - half, body[half:])
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    client = connect(server)
    for byte in head + pieces:
        client.send(bytes([byte]))
    assert client.text() == "Hello."


def test_the_client_that_asks_is_told_to_continue(start, connect):
    server = start()
    server.says("Hello.")
    body = json.dumps(ASK).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
    )
    client = connect(server).send(head.encode())
    assert client.head() == (100, {})
    client.send(body)
    assert client.text() == "Hello."


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_wants_to_close_is_closed(start, connect, version):
    server = start()
    server.says("Hello.")
    body = json.dumps(STREAM).encode()
    line = f"POST /v1/chat/completions HTTP/{version}"
    head = f"{line}\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    found, end = connect(server).send(head.encode() + body).rest()
    assert b"data: [DONE]" in found
    assert (b"transfer-encoding: chunked" in found) is (version == "1.1")
    assert end == "closed"


def test_a_whole_url_as_target(start, connect):
    server = start()
    server.says("Hello.")
    assert connect(server).ask(path="http://api.openai.com/v1/chat/completions").text() == "Hello."


def test_every_event_is_a_piece_of_its_own(start, connect):
    server = start()
    server.says("one two three")
    client = connect(server).ask(STREAM)
    client.head()
    pieces = list(client.pieces())
    assert len(pieces) == 6
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)


def test_every_event_leaves_by_itself_unless_it_may_be_coalesced(start, connect, monkeypatch):
    import asyncio.selector_events as events

    writes = []
    write = events._SelectorSocketTransport.write
    monkeypatch.setattr(
        events._SelectorSocketTransport, "write", lambda self, data: (writes.append(data), write(self, data))[1]
    )
    for coalesce, expected in ((False, 51), (True, 1)):
        server = start(coalesce=coalesce)
        server.says(" ".join(["word"] * 47))
        writes.clear()
        _, body = connect(server).ask(STREAM).reply()
        assert body.count(b"data: ") == 50
        assert len(writes) == expected  # the last is the end of the body


def test_a_slow_reader_gets_everything(start, connect):
    server = start()
    text = "word " * 20_000
    server.says(text)
    client = connect(server).ask(STREAM)
    client.head()
    said = b"".join(client.pieces())
    assert said.count(b'"content":"word "') == 20_000


def test_many_clients_at_once(start, connect):
    server = start()
    server._model.answers_with(lambda request: request.last_message)
    heard = []

    def ask(n):
        client = connect(server)
        heard.extend((n, i) for i in range(5) if f"question {n * 100 + i}" in client.ask(asked(n * 100 + i)).text())

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard) == [(n, i) for n in range(20) for i in range(5)]


def test_a_server_can_be_started_and_stopped_many_times(start):
    before = threading.active_count()
    for _ in range(20):
        server = start()
        server.stop()
        server.stop()
    assert threading.active_count() <= before
