"""What no server should fall over: the provider's own 4xx or a clean close, and never a hang."""

import json
import resource
import socket

import pytest

from pytest_agent.llm.server.limits import Limits

ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
QUICK = Limits(head_s=0.03, body_s=0.03, idle_s=0.03, unread_s=0.05, linger_s=0.03)


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"model": 1e999}'])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_malformed_json_is_the_providers_own_400(start, connect, path, body):
    status, said = connect(start()).ask(body, path).json()
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"


def test_an_unknown_path_is_openais_404(start, connect):
    assert connect(start()).ask(path="/v1/foo").json() == (
        404,
        {
            "error": {
                "message": "Invalid URL (POST /v1/foo)",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
    )


def test_an_unknown_path_is_anthropics_404_where_its_sdk_asks(start, connect):
    status, said = connect(start()).ask(path="/v1/foo", anthropic_version="2023-06-01").json()
    assert (status, said["type"], said["error"]["type"]) == (404, "error", "not_found_error")


def test_the_wrong_method_is_405(start, connect):
    client = connect(start()).ask(b"", method="GET")
    status, headers = client.head()
    assert (status, headers["allow"]) == (405, "POST")


def test_the_wrong_content_type_is_told(start, connect):
    status, said = connect(start()).ask(content_type="text/plain").json()
    assert status == 400
    assert "Unsupported content type: 'text/plain'" in said["error"]["message"]


@pytest.mark.parametrize(("path", "kind"), [(CHAT, "invalid_request_error"), (MESSAGES, "request_too_large")])
def test_a_body_of_100_mb_is_the_providers_413(start, connect, path, kind):
    client = connect(start()).ask(b"x" * 100_000_000, path)
    status, said = client.json()
    assert (status, said["error"]["type"]) == (413, kind)
    assert client.rest() == (b"", "closed")


def test_a_body_in_pieces_that_never_ends_is_413(start, connect):
    client = connect(start(limits=Limits(body_bytes=1000, linger_s=5)))
    client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    for _ in range(20):
        client.send(b"64\r\n" + b"x" * 100 + b"\r\n")
    assert client.json()[0] == 413


def test_a_client_that_was_refused_may_not_send_for_ever(start, connect):
    client = connect(start(limits=QUICK))
    client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n".encode())
    assert client.json()[0] == 413
    found, end = client.rest()
    assert (found, end) in [(b"", "closed"), (b"", "reset")]
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        client.send(b"x" * 1_000_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nbad header\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_malformed_http_is_400_and_the_end(start, connect, data):
    found, end = connect(start(limits=QUICK)).send(data).rest()
    assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in found
    assert end == "closed"


@pytest.mark.parametrize(
    "head", [b"x: " + b"y" * 200_000, b"".join(b"h%d: 1\r\n" % n for n in range(20_000)), b"\r\n" * 40_000]
)
def test_a_head_without_end_is_431(start, connect, head):
    begun = b"" if head.startswith(b"\r\n") else f"POST {CHAT} HTTP/1.1\r\n".encode()
    client = connect(start())
    client.send(begun + head)
    assert client.head()[0] == 431


def test_a_target_without_end_is_431(start, connect):
    client = connect(start())
    client.send(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n")
    assert client.head()[0] == 431


@pytest.mark.parametrize(
    "begun",
    [
        b"P",
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-slow: ".encode(),
        f"POST {CHAT} HTTP/1.1\r\ncontent-length: 9\r\n\r\n{{".encode(),
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_408(start, connect, begun):
    found, end = connect(start(limits=QUICK)).send(begun).rest()
    assert found.startswith(b"HTTP/1.1 408 ")
    assert end == "closed"


def test_a_head_that_trickles_is_cut_off_however_lively(start, connect):
    client = connect(start(limits=Limits(head_s=0.05)))
    client.sock.settimeout(0.002)
    client.send(f"POST {CHAT} HTTP/1.1\r\n".encode())
    found = b""
    for _ in range(2_000):
        try:
            client.send(b"a: b\r\n")
            found += client.sock.recv(1000)
        except TimeoutError:
            continue
        except OSError:
            break
        if found:
            break
    assert found.startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_asks_nothing_is_closed(start, connect):
    assert connect(start(limits=QUICK)).rest() == (b"", "closed")


def test_a_connection_is_closed_after_its_last_request(start, connect):
    server = start(limits=QUICK)
    server.says("Hello.")
    client = connect(server).ask()
    assert client.text() == "Hello."
    assert client.rest() == (b"", "closed")


def test_a_client_that_does_not_read_is_cut_off(start, connect, eventually):
    server = start(limits=QUICK)
    server.says("word " * 50_000)
    client = connect(server)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.ask({**ASK, "stream": True})
    assert eventually(lambda: server.requests and server.requests[0].end) == "closed"
    assert client.rest()[1] in ("reset", "closed")


def test_a_half_closed_client_gets_its_answer(start, connect):
    server = start()
    server.says("Hello.")
    client = connect(server).ask()
    client.sock.shutdown(socket.SHUT_WR)
    assert client.text() == "Hello."
    assert client.rest() == (b"", "closed")


def test_a_half_closed_client_with_half_a_request_is_closed(start, connect):
    client = connect(start()).send(b"POST / HTTP/1.1\r\nhost")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == (b"", "closed")


def test_another_protocol_is_not_spoken(start, connect):
    server = start()
    server.says("Hello.")
    client = connect(server).ask(connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="AAMAAABk")
    assert client.text() == "Hello."
    assert client.ask(b"", "/__/health", "GET").json() == (200, {"status": "ok"})
    assert connect(server).send(b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n").head()[0] == 404


def test_5000_connections(start, connect):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 12_000:
        pytest.skip(f"needs 12,000 descriptors in one process, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 12_000), hard))
    try:
        server = start()
        server._model.answers_with(lambda request: "Hello.")
        clients = [connect(server) for _ in range(5_000)]
        for client in clients:
            client.ask()
        assert {client.text() for client in clients} == {"Hello."}
        assert server.requests[-1].n == 5_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_error_inside_is_answered_and_fails_the_test(start, connect, monkeypatch):
    from pytest_agent import ServerFailed
    from pytest_agent.llm.server.app import App

    server = start()
    monkeypatch.setattr(App, "_route", lambda self, wire: 1 / 0)
    status, body = connect(server).ask().reply()
    assert status == 500
    assert b"the model server of pytest-agent has failed: ZeroDivisionError" in body
    with pytest.raises(ServerFailed, match="ZeroDivisionError"):
        server.check()
    server._app.problems.clear()


def test_hostile_names_stay_data(start, connect):
    server = start()
    server._model.answers_with(lambda request: "Hello.")
    client = connect(server)
    client.ask({**ASK, "model": "x\r\nx-evil: 1"}, x_conversation_id="<script>;DROP")
    status, headers = client.head()
    assert (status, "x-evil" in headers) == (200, False)
    client.file.read(int(headers["content-length"]))
    client.ask(b"", "/__/requests", "GET")
    said = client.json()[1]["requests"][0]
    assert said["conversation"] == "<script>;DROP"
    assert json.dumps(said)
