"""A refused connection names who asked, and where to point what cannot be intercepted."""

import asyncio
import contextlib
import http.client
import socket
import urllib.request

import grpc
import grpc._channel
import grpc.aio._channel
import pytest

from pytest_agent.guard import NetworkBlocked, NetworkGuard
from pytest_agent.loopback import grpc_place
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


def told(trace):
    (event,) = trace.of(Unanswered)
    return event.detail


def library(name, source):
    """A function `go` of a library of that name."""
    module = {"__name__": name}
    exec(source, module)  # noqa: S102 - a library of that name need not be there
    return module["go"]


WEBSOCKETS = """
import asyncio
async def connect():
    await asyncio.open_connection("api.example", 443)
def go():
    asyncio.run(connect())
"""


@pytest.mark.parametrize(
    ("go", "names"),
    [
        (lambda: urllib.request.urlopen("https://api.example/"), "tests through urllib.request"),
        (lambda: http.client.HTTPSConnection("api.example").connect(), "tests through http.client"),
        (lambda: socket.create_connection(("api.example", 443)), "tests"),
        (library("websockets.client", WEBSOCKETS), "websockets"),
        (library("pymongo.pool", "import socket\ndef go(): socket.getaddrinfo('api.example', 443)"), "pymongo"),
    ],
)
def test_what_cannot_be_intercepted_is_named_and_sent_to_the_server(guard, trace, go, names):
    with pytest.raises(OSError, match="nothing in this test answers it"):
        go()
    detail = told(trace)
    assert f"connection to api.example:443 by {names}: nothing" in detail
    assert f"{names} is not intercepted in process: for a model point it to the fixture llm_server" in detail
    assert "llm_server.url" in detail


@pytest.mark.parametrize("name", ["httpx", "aiohttp", "urllib3", "requests"])
def test_what_is_intercepted_is_not_sent_there(guard, trace, name):
    with pytest.raises(OSError, match=f"by {name}: nothing"):
        library(name, "import socket\ndef go(): socket.getaddrinfo('api.example', 443)")()
    assert "llm.says(...)" in told(trace)
    assert "llm_server" not in told(trace)


@pytest.mark.parametrize(
    "channel",
    [
        lambda target: grpc.insecure_channel(target),
        lambda target: grpc.secure_channel(target, grpc.ssl_channel_credentials()),
    ],
)
def test_grpc_is_refused_before_its_core_opens_a_socket(guard, trace, channel):
    with pytest.raises(NetworkBlocked, match="by grpc: nothing in this test answers it"):
        channel("api.example:443")
    assert "connection to api.example:443" in told(trace)
    assert "llm_server.url" in told(trace)
    for target in ("127.0.0.1:50051", "localhost:50051", "unix:/tmp/x.sock", "[::1]:50051"):
        channel(target).close()
    assert told(trace)


def test_grpc_aio_is_refused_too(guard, trace):
    async def main():
        async with grpc.aio.insecure_channel("localhost:50051"):
            pass
        with contextlib.suppress(NetworkBlocked):
            grpc.aio.secure_channel("dns:///api.example:443", grpc.ssl_channel_credentials())

    asyncio.run(main())
    assert "connection to api.example:443 by grpc" in told(trace)


def test_grpc_is_given_back(trace):
    kinds = (grpc._channel.Channel, grpc.aio._channel.Channel)
    before = [vars(kind).copy() for kind in kinds]
    guard = NetworkGuard(trace)
    guard.install()
    assert [vars(kind).copy() for kind in kinds] != before
    guard.uninstall()
    assert [vars(kind).copy() for kind in kinds] == before


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("api.example:443", ("api.example", "443")),
        ("api.example", ("api.example", None)),
        ("dns:///api.example:443", ("api.example", "443")),
        ("dns://8.8.8.8/api.example:443", ("api.example", "443")),
        ("dns:api.example:443", ("api.example", "443")),
        ("ipv4:192.0.2.1:443", ("192.0.2.1", "443")),
        ("ipv6:[2001:db8::1]:443", ("2001:db8::1", "443")),
        ("[2001:db8::1]:443", ("2001:db8::1", "443")),
        ("2001:db8::1", ("2001:db8::1", None)),
        (b"xds:///service.example", ("service.example", None)),
        ("unix:/tmp/x.sock", (None, None)),
        ("unix:///tmp/x.sock", (None, None)),
        ("unix-abstract:x", (None, None)),
    ],
)
def test_where_a_grpc_target_leads(target, place):
    assert grpc_place(target) == place


def test_a_run_fails_and_says_so(project, fresh):
    project.makepyfile(
        test_agent="""
        def test_it(llm):
            import grpc
            try:
                grpc.insecure_channel("generativelanguage.example:443")
            except OSError:
                pass
        """
    )
    result = fresh("test_agent.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*connection to generativelanguage.example:443 by grpc: nothing in this test*"])
