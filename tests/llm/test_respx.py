"""The author's own respx routes, beside the script: asked first, counted right, for both libraries."""

import gzip

import httpx
import httpx2
import openai
import pytest
import respx

from pytest_agent.errors import UnansweredCall
from pytest_agent.trace import Unanswered

CHAT = "https://llm.example/v1/chat/completions"
ORDERS = "https://shop.example/orders/7"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
both = pytest.mark.parametrize("lib", [httpx, httpx2])


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


@both
def test_a_route_beside_the_script(llm, respx_mock, lib):
    route = respx_mock.get(ORDERS).respond(json={"order": 7}, headers={"x-of": "respx"})
    llm.says("Hi.")
    with lib.Client() as http:
        reply = http.get(ORDERS, params={})
        assert isinstance(reply, lib.Response)
        assert reply.json() == {"order": 7}
        assert reply.headers["x-of"] == "respx"
        assert said(http.post(CHAT, json=BODY)) == "Hi."
    assert route.call_count == 1
    assert str(route.calls.last.request.url) == ORDERS


@both
async def test_a_route_beside_the_script_async(llm, respx_mock, lib):
    route = respx_mock.get(ORDERS).respond(json={"order": 7})
    llm.says("Hi.")
    async with lib.AsyncClient() as http:
        assert (await http.get(ORDERS)).json() == {"order": 7}
        assert said(await http.post(CHAT, json=BODY)) == "Hi."
    assert route.call_count == 1


@both
def test_a_route_for_the_model_comes_before_the_script(llm, respx_mock, lib):
    llm.says("from the script")
    route = respx_mock.post(CHAT).mock(side_effect=[httpx.Response(500), httpx.Response(200, text="from the route")])
    with lib.Client() as http:
        assert http.post(CHAT, json=BODY).status_code == 500
        assert http.post(CHAT, json=BODY).text == "from the route"
        respx_mock.pop(None, None)
        respx_mock.clear()
        assert said(http.post(CHAT, json=BODY)) == "from the script"
    assert route.call_count == 2


@both
def test_a_route_that_takes_everything(llm, respx_mock, lib):
    route = respx_mock.route().respond(418)
    with lib.Client() as http:
        assert http.get("https://any.example/").status_code == 418
        assert http.post(CHAT, json=BODY).status_code == 418
    assert route.call_count == 2


@both
@pytest.mark.parametrize(
    "name", ["ConnectError", "ConnectTimeout", "ReadTimeout", "RemoteProtocolError", "PoolTimeout"]
)
@pytest.mark.parametrize("as_class", [True, False])
def test_errors_arrive_in_the_classes_of_the_library_that_asked(llm, respx_mock, lib, name, as_class):
    kind = getattr(httpx, name)
    respx_mock.get(ORDERS).mock(side_effect=kind if as_class else kind("as the author says"))
    with lib.Client() as http, pytest.raises(getattr(lib, name)) as caught:
        http.get(ORDERS)
    assert type(caught.value) is getattr(lib, name)
    assert isinstance(caught.value, lib.TransportError)
    assert str(caught.value.request.url) == ORDERS


@both
async def test_errors_async(llm, respx_mock, lib):
    class Own(httpx.ReadTimeout):
        """The author's own subclass."""

    respx_mock.get(ORDERS).mock(side_effect=Own("late"))
    async with lib.AsyncClient() as http:
        with pytest.raises(lib.ReadTimeout, match="late"):
            await http.get(ORDERS)


def test_an_error_of_httpx2_for_a_client_of_httpx(llm, respx_mock):
    respx_mock.get(ORDERS).mock(side_effect=httpx2.ReadTimeout("late"))
    with httpx.Client() as http, pytest.raises(httpx.ReadTimeout, match="late"):
        http.get(ORDERS)


@both
def test_any_other_error_arrives_as_it_is(llm, respx_mock, lib):
    class ReadTimeout(Exception):
        pass

    respx_mock.get(ORDERS).mock(side_effect=ReadTimeout("mine"))
    with lib.Client() as http, pytest.raises(ReadTimeout, match="mine"):
        http.get(ORDERS)


def test_the_sdk_maps_a_timeout_of_a_route(llm, respx_mock):
    route = respx_mock.post(path="/v1/chat/completions").mock(side_effect=httpx.ReadTimeout)
    with pytest.raises(openai.APITimeoutError):
        openai.OpenAI(api_key="test").chat.completions.create(model="m", messages=BODY["messages"])
    assert route.call_count == 3


@both
def test_compressed_bodies_are_decoded_once(llm, respx_mock, lib):
    packed = gzip.compress(b"hello")
    respx_mock.get(ORDERS).respond(content=packed, headers={"content-encoding": "gzip"})
    with lib.Client() as http:
        assert http.get(ORDERS).text == "hello"
        assert http.get(ORDERS).text == "hello"
        with http.stream("GET", ORDERS) as reply:
            assert reply.read() == b"hello"


@both
def test_streamed_bodies_break_where_the_author_says(llm, respx_mock, lib):
    class Body(httpx.SyncByteStream):
        def __iter__(self):
            yield b"half"
            raise httpx.ReadError("gone")

    respx_mock.get(ORDERS).mock(side_effect=lambda request: httpx.Response(200, stream=Body()))
    with lib.Client() as http, http.stream("GET", ORDERS) as reply:
        pieces = reply.iter_bytes()
        assert next(pieces) == b"half"
        with pytest.raises(lib.ReadError, match="gone"):
            next(pieces)


@both
async def test_streamed_bodies_async(llm, respx_mock, lib):
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"half"
            raise httpx.ReadError("gone")

    respx_mock.get(ORDERS).mock(side_effect=lambda request: httpx.Response(200, stream=Body()))
    async with lib.AsyncClient() as http, http.stream("GET", ORDERS) as reply:
        with pytest.raises(lib.ReadError, match="gone"):
            await reply.aread()


@both
def test_a_side_effect_that_declines_leaves_it_to_the_script(llm, respx_mock, lib):
    llm.says("from the script")
    respx_mock.post(CHAT).mock(side_effect=lambda request: None)
    with lib.Client() as http:
        assert said(http.post(CHAT, json=BODY)) == "from the script"


@pytest.mark.respx(assert_all_mocked=False, assert_all_called=False)
@both
def test_a_router_that_mocks_everything_does_so_after_the_script(llm, respx_mock, lib):
    llm.says("from the script")
    with lib.Client() as http:
        assert said(http.post(CHAT, json=BODY)) == "from the script"
        assert http.get("https://any.example/").status_code == 200
    assert respx_mock.calls.call_count == 1


def test_decorator_and_context_manager(llm):
    @respx.mock
    def decorated():
        route = respx.get(ORDERS).respond(json=[1])
        assert httpx.get(ORDERS).json() == [1]
        assert httpx2.get(ORDERS).json() == [1]
        assert route.call_count == 2

    decorated()
    with respx.mock(base_url="https://shop.example") as router:
        route = router.get("/orders/7").respond(json=[2])
        assert httpx.get(ORDERS).json() == [2]
        assert httpx2.get(ORDERS).json() == [2]
    assert route.call_count == 2


def test_a_route_that_nobody_called_is_told(llm):
    with pytest.raises(AssertionError, match="some routes were not called"), respx.mock() as router:
        router.get(ORDERS).respond(200)


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
def test_both_ways_in_which_respx_patches(run_under, using):
    """One router above the transport, one below it: routes once, then the script, then the guard."""
    run = run_under()
    run.llm.says("from the script")
    with run.inside(), respx.mock(using=using) as router, httpx.Client() as http:
        route = router.get(ORDERS).respond(json=[1])
        assert http.get(ORDERS).json() == [1]
        assert said(http.post(CHAT, json=BODY)) == "from the script"
        with pytest.raises(httpx.ConnectError, match="no respx route"):
            http.get("https://elsewhere.example/")
    assert route.call_count == 1
    assert len(list(run.trace.of(Unanswered))) == 1


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
@both
def test_pass_through_reaches_a_local_server_and_is_counted_once(llm, server, using, lib):
    with respx.mock(using=using, assert_all_called=False) as router, lib.Client() as http:
        passed = router.get(f"{server}/passed").pass_through()
        assert http.get(f"{server}/passed").text == "real"
        assert passed.call_count == 1


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
@both
async def test_pass_through_async(llm, server, using, lib):
    with respx.mock(using=using, assert_all_called=False) as router:
        passed = router.get(f"{server}/passed").pass_through()
        async with lib.AsyncClient() as http:
            assert (await http.get(f"{server}/passed")).text == "real"
        assert passed.call_count == 1


@both
def test_loopback_goes_through_where_no_route_and_no_script_answers(llm, server, respx_mock, lib):
    llm.says("from the script")
    with lib.Client() as http:
        assert http.get(f"{server}/anything").text == "real"
        assert said(http.post(f"{server}/v1/chat/completions", json=BODY)) == "from the script"


@both
def test_a_local_model_server_is_asked_where_there_is_no_script(sandbox, server, lib):
    with lib.Client() as http:
        assert http.post(f"{server}/v1/chat/completions", json=BODY).text == "real"


@both
def test_what_nothing_answers_is_told_with_the_routes_and_without_secrets(run_under, lib):
    run = run_under()
    with run.inside(), respx.mock(assert_all_called=False) as router, lib.Client() as http:
        router.get(ORDERS).respond(200)
        with pytest.raises(lib.ConnectError):
            http.get("https://user:canary@api.example/models?key=canary#canary")
    run.body_ended(None)
    with pytest.raises(UnansweredCall) as caught:
        run.check(None)
    assert f"GET https://api.example/models ({lib.__name__}): no respx route" in str(caught.value)
    assert "/orders/7" in str(caught.value)
    assert "canary" not in run.describe()


def test_everything_is_given_back(run_under):
    from respx.mocks import Mocker

    before = {
        (owner.__module__, owner.__name__, name): vars(owner).get(name)
        for owner in (httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpx2.HTTPTransport, *Mocker.registry.values())
        for name in ("handle_request", "handle_async_request", "handler", "async_handler")
    }
    run = run_under()
    for _ in range(2):
        with run.inside():
            assert vars(httpx.HTTPTransport)["handle_request"] is not before["httpx", "HTTPTransport", "handle_request"]
    after = {
        (owner.__module__, owner.__name__, name): vars(owner).get(name)
        for owner in (httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpx2.HTTPTransport, *Mocker.registry.values())
        for name in ("handle_request", "handle_async_request", "handler", "async_handler")
    }
    assert after == before
