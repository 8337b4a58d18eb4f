"""No network by surprise: refused, recorded, and the test fails whatever the agent swallows."""

import asyncio
import contextlib
import errno
import os
import socket
import threading
import urllib.request

import pytest

from pytest_agent.errors import RunAbort, UnansweredCall
from pytest_agent.guard import NetworkGuard, is_loopback
from pytest_agent.trace import Trace, Unanswered


class Still:
    elapsed_s = 0.0


@pytest.fixture
def trace():
    return Trace(Still())


@pytest.fixture
def guard(trace):
    made = NetworkGuard(trace)
    made.install()
    yield made
    made.uninstall()


def using(method, *kind):
    def call(*args):
        with socket.socket(*kind) as sock:
            return getattr(sock, method)(*args)

    return call


def told(trace):
    return [event.detail for event in trace.of(Unanswered)]


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        b"",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "api.localhost",
        "127.0.0.1",
        "127.8.8.8",
        b"127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",  # noqa: S104
        "::",
        "fe80::1%lo".replace("fe80", "0"),
    ],
)
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "notlocalhost",
        "8.8.8.8",
        "10.0.0.1",
        "::ffff:8.8.8.8",
        "2001:db8::1",
        "127.0.0.1.example.com",
    ],
)
def test_other_machines(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "connect",
    [
        lambda: socket.getaddrinfo("api.example.com", 443),
        lambda: socket.getaddrinfo(host="api.example.com", port=443),
        lambda: socket.gethostbyname("api.example.com"),
        lambda: socket.gethostbyname_ex("api.example.com"),
        lambda: socket.create_connection(("api.example.com", 443), timeout=1),
        lambda: socket.create_connection(("192.0.2.1", 443), timeout=1),
        lambda: using("connect")(("192.0.2.1", 443)),
        lambda: using("connect", socket.AF_INET6)(("2001:db8::1", 443)),
        lambda: using("sendto", socket.AF_INET, socket.SOCK_DGRAM)(b"x", ("192.0.2.1", 53)),
        lambda: using("sendto", socket.AF_INET, socket.SOCK_DGRAM)(b"x", 0, ("192.0.2.1", 53)),
        lambda: using("sendmsg", socket.AF_INET, socket.SOCK_DGRAM)([b"x"], [], 0, ("192.0.2.1", 53)),
        lambda: urllib.request.urlopen("http://api.example.com/"),
        lambda: asyncio.run(asyncio.open_connection("api.example.com", 443)),
        lambda: asyncio.run(asyncio.open_connection("192.0.2.1", 443)),
    ],
)
def test_every_way_out_is_refused_and_recorded(guard, trace, connect):
    with pytest.raises(OSError, match="nothing in this test answers it"):
        connect()
    (detail,) = told(trace)
    assert "api.example.com" in detail or "192.0.2.1" in detail or "2001:db8::1" in detail
    assert "127.0.0.1" in detail


def test_it_looks_like_a_refused_connection(guard):
    with pytest.raises(ConnectionRefusedError) as caught:
        socket.create_connection(("192.0.2.1", 443))
    assert caught.value.errno == errno.ECONNREFUSED
    with socket.socket() as sock:
        assert sock.connect_ex(("192.0.2.1", 443)) == errno.ECONNREFUSED


def test_loopback_and_files_are_allowed(guard, trace, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
        with socket.socket() as sock:
            assert sock.connect_ex(server.getsockname()) == 0
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as sock:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        sock.connect(str(tmp_path / "socket"))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        two.bind(("127.0.0.1", 0))
        one.sendto(b"x", two.getsockname())
        assert two.recv(1) == b"x"
    left, right = socket.socketpair()
    with left, right:
        left.sendmsg([b"x"])
        assert right.recv(1) == b"x"
    socket.getaddrinfo(socket.gethostname(), None)
    assert told(trace) == []


def test_a_malformed_address_is_the_socket_modules_to_refuse(guard):
    with socket.socket() as sock:
        for address in (None, "x", (), ("127.0.0.1",)):
            with pytest.raises((TypeError, OSError)) as caught:
                sock.connect(address)
            assert "nothing in this test" not in str(caught.value)


def test_the_library_is_named(guard, trace):
    code = compile("def go(connect):\n    connect()", "requests.py", "exec")
    library = {"__name__": "requests.adapters"}
    exec(code, library)  # noqa: S102 - a library of that name need not be there
    with pytest.raises(OSError, match="by requests: nothing"):
        library["go"](lambda: None or socket_of(library))


def socket_of(library):
    exec(compile("import socket\nsocket.create_connection(('192.0.2.1', 80))", "requests.py", "exec"), library)  # noqa: S102


def test_a_thread_is_guarded_too(guard, trace):
    def work():
        with contextlib.suppress(OSError):
            urllib.request.urlopen("http://192.0.2.1/")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(told(trace)) == 1


def test_an_agent_that_never_gives_up_is_ended(guard, trace):
    def agent():
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("192.0.2.1", 80))

    with pytest.raises(RunAbort, match="more than 200 requests that nothing answers"):
        agent()


def state():
    names = ("connect", "connect_ex", "sendto", "sendmsg")
    functions = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")
    methods = {name: vars(socket.socket).get(name, "inherited") for name in names}
    return methods, {name: vars(socket)[name] for name in functions}, dict(os.environ)


def test_everything_is_given_back_exactly(trace, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ftp_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    before = state()
    guard = NetworkGuard(trace)
    for _ in range(3):
        guard.install()
        assert state() != before
        assert "HTTPS_PROXY" not in os.environ
        assert "ftp_proxy" not in os.environ
        assert os.environ["NO_PROXY"] == "example.org"
        guard.uninstall()
        assert state() == before


def test_a_proxy_that_the_test_sets_is_its_own(trace, monkeypatch):
    """Set in the first phase, seen in the second, undone in the third: nothing of it stays."""
    monkeypatch.setenv("HTTPS_PROXY", "http://outer.example")
    before = dict(os.environ)
    guard = NetworkGuard(trace)
    own = pytest.MonkeyPatch()

    guard.install()
    own.setenv("HTTPS_PROXY", "http://127.0.0.1:8080")
    own.setenv("ALL_PROXY", "http://127.0.0.1:8080")
    guard.uninstall()
    assert dict(os.environ) == before
    guard.install()
    assert os.environ["HTTPS_PROXY"] == os.environ["ALL_PROXY"] == "http://127.0.0.1:8080"
    guard.uninstall()
    guard.install()
    own.undo()
    guard.uninstall()
    assert dict(os.environ) == before


def test_a_run_fails_whatever_the_agent_swallows(pytester):
    pytester.makepyfile(
        """
        import urllib.request

        def test_it(llm):
            try:
                urllib.request.urlopen("http://api.example.com/")
            except Exception:
                pass

        async def test_async(llm):
            import asyncio
            try:
                await asyncio.open_connection("api.example.com", 80)
            except Exception:
                pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*connection to api.example.com:80 by test_a_run_fails*nothing in this test answers*"])


def test_unanswered_call_is_a_failed_assertion():
    assert issubclass(UnansweredCall, AssertionError)
