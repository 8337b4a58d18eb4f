"""httpx and httpx2 as on a socket: pools, proxies, transports of the author's own, bodies, exceptions."""

import asyncio
import threading

import httpx
import httpx2
import pytest

from pytest_agent.trace import ModelReplied, Unanswered

URL = "https://llm.example/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
STREAM = {**BODY, "stream": True}
LATE = "; ".join(f"first-byte-late@llm#{n}" for n in range(1, 6))
both = pytest.mark.parametrize("lib", [httpx, httpx2])


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


async def five_at_once(lib, run, **options):
    """When each of five parallel calls is over, or the library's own error; each takes three seconds."""
    async with lib.AsyncClient(**options) as http:

        async def one(n):
            await http.post(URL, json={**STREAM, "seed": n})
            return round(run.clock.elapsed_s, 3)

        return await asyncio.gather(*map(one, range(5)), return_exceptions=True)


@both
def test_a_pool_of_one_takes_one_call_after_the_other(run_under, lib):
    run = run_under(LATE)
    with run.inside():
        run.llm.says(*"abcde")
        limits = lib.Limits(max_connections=1)
        assert asyncio.run(five_at_once(lib, run, limits=limits, timeout=60)) == [3, 6, 9, 12, 15]


@both
def test_a_pool_that_is_large_enough_keeps_nobody_waiting(run_under, lib):
    run = run_under(LATE)
    with run.inside():
        run.llm.says(*"abcde")
        assert asyncio.run(five_at_once(lib, run, timeout=60)) == [3] * 5


@both
def test_who_waits_too_long_for_a_connection_gets_the_librarys_own_error(run_under, lib):
    run = run_under(LATE)
    with run.inside():
        run.llm.says(*"abcde")
        limits, timeout = lib.Limits(max_connections=1), lib.Timeout(60, pool=5)
        ends = asyncio.run(five_at_once(lib, run, limits=limits, timeout=timeout))
    assert ends[0] == 3
    # The second got its connection in time and is over after six seconds; the others had none at five.
    assert ends[1] == 6
    assert all(type(end) is lib.PoolTimeout for end in ends[2:])
    assert run.clock.elapsed_s == 6


@both
def test_a_task_that_is_cancelled_in_the_line_leaves_it(run_under, lib):
    async def main(run):
        async with lib.AsyncClient(limits=lib.Limits(max_connections=1), timeout=60) as http:
            first = asyncio.create_task(http.post(URL, json=STREAM))
            second = asyncio.create_task(http.post(URL, json={**STREAM, "seed": 1}))
            await asyncio.sleep(1)
            second.cancel()
            await first
            return (await http.post(URL, json={**STREAM, "seed": 2})).status_code

    run = run_under(LATE)
    with run.inside():
        run.llm.says("a", "b")
        assert asyncio.run(main(run)) == 200


@both
def test_threads_that_share_a_pool_of_one_wait_in_line(run_under, lib):
    run = run_under(LATE)
    ends = []
    with run.inside(), lib.Client(limits=lib.Limits(max_connections=1), timeout=60) as http:
        run.llm.says(*"abcde")

        def one(n):
            http.post(URL, json={**STREAM, "seed": n})
            ends.append(round(run.clock.elapsed_s, 2))

        threads = [threading.Thread(target=one, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(ends) == pytest.approx([3, 6, 9, 12, 15], abs=0.5)


@both
def test_a_thread_that_holds_the_only_connection_itself_waits_for_its_own_limit(run_under, lib):
    run = run_under()
    limits = lib.Limits(max_connections=1)
    with run.inside(), lib.Client(limits=limits, timeout=lib.Timeout(60, pool=5)) as http:
        run.llm.says("one two", "three")
        with http.stream("POST", URL, json=STREAM), pytest.raises(lib.PoolTimeout):
            http.post(URL, json=BODY)
        assert run.clock.elapsed_s == 5
        assert said(http.post(URL, json=BODY)) == "three"


@both
def test_without_a_limit_it_waits_for_ever_and_is_ended(run_under, lib):
    run = run_under()
    limits = lib.Limits(max_connections=1)
    with run.inside(), lib.Client(limits=limits, timeout=None) as http:
        run.llm.says("one two")
        with (
            http.stream("POST", URL, json=STREAM),
            pytest.raises(BaseException, match="hung: the client waits for ever for a connection of its own pool"),
        ):
            http.post(URL, json=BODY)


@both
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("stream-reset(after=2,how=reset)@llm", "ReadError"),
        ("stream-reset(after=2)@llm", "RemoteProtocolError"),
        ("stream-stall(after=2)@llm", "ReadTimeout"),
        ("no-first-byte@llm", "ReadTimeout"),
        ("", None),
        ("stream-bytewise@llm", None),
        ("first-byte-late@llm", None),
    ],
)
def test_every_end_is_the_librarys_own_error_and_its_twin_is_read_to_the_end(run_under, lib, fault, error):
    run = run_under(fault)
    with run.inside(), lib.Client(timeout=30) as http:
        run.llm.says("one two three four")
        if error is None:
            assert http.post(URL, json=STREAM).text.endswith("data: [DONE]\n\n")
        else:
            with pytest.raises(getattr(lib, error)):
                http.post(URL, json=STREAM)
    (told,) = run.trace.of(ModelReplied)
    assert told.end == {None: "complete", "ReadTimeout": "timeout"}.get(error, "cut")


@both
@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "https://user:pw@proxy.example:3128"])
async def test_no_proxy_is_contacted(llm, run, lib, proxy):
    llm.says("Hi.", "Hi again.")
    with lib.Client(proxy=proxy, verify=False) as http:
        assert said(http.post(URL, json=BODY)) == "Hi."
    async with lib.AsyncClient(mounts={"all://": lib.AsyncHTTPTransport(proxy=proxy)}) as http:
        assert said(await http.post(URL, json={**BODY, "seed": 1})) == "Hi again."
    assert not list(run.trace.of(Unanswered))


@both
def test_a_proxy_on_this_machine_is_a_server_on_this_machine(llm, server, lib):
    with lib.Client(proxy=server) as http:
        assert http.get("http://shop.example/orders").text == "real"


@both
async def test_http_2_changes_nothing(llm, lib):
    llm.says("Hi.", "Hi again.")
    with lib.Client(http2=True) as http:
        assert said(http.post(URL, json=BODY)) == "Hi."
    async with lib.AsyncClient(http2=True) as http:
        reply = await http.post(URL, json={**BODY, "seed": 1})
        assert (said(reply), reply.http_version) == ("Hi again.", "HTTP/1.1")


@both
async def test_a_transport_of_the_authors_own_around_theirs(llm, lib):
    class Around(lib.BaseTransport):
        inner = lib.HTTPTransport()

        def handle_request(self, request):
            reply = self.inner.handle_request(request)
            reply.headers["x-around"] = "yes"
            return reply

    class AsyncAround(lib.AsyncBaseTransport):
        inner = lib.AsyncHTTPTransport()

        async def handle_async_request(self, request):
            reply = await self.inner.handle_async_request(request)
            reply.headers["x-around"] = "yes"
            return reply

    llm.says("one", "two")
    with lib.Client(transport=Around()) as http:
        reply = http.post(URL, json=BODY)
        assert (said(reply), reply.headers["x-around"]) == ("one", "yes")
    async with lib.AsyncClient(transport=AsyncAround()) as http:
        reply = await http.post(URL, json={**BODY, "seed": 1})
        assert (said(reply), reply.headers["x-around"]) == ("two", "yes")


@both
async def test_a_transport_without_a_network_is_left_alone(llm, run, lib):
    """MockTransport and an ASGI app are the author's own, for the model's path too."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"asgi"})

    llm.says("from the script")
    with lib.Client(transport=lib.MockTransport(lambda request: lib.Response(200, text="mock"))) as http:
        assert http.post(URL, json=BODY).text == "mock"
    async with lib.AsyncClient(transport=lib.ASGITransport(app)) as http:
        assert (await http.post(URL, json=BODY)).text == "asgi"
    assert llm.calls == 0
    with lib.Client() as http:
        assert said(http.post(URL, json=BODY)) == "from the script"


@both
async def test_a_body_of_the_wrong_kind_is_the_librarys_to_refuse(llm, lib):
    def body():
        yield b'{"model": "m", "messages": ['
        yield b'{"role": "user", "content": "x"}]}'

    async def async_body():
        for part in body():
            yield part

    llm.says("one", "two")
    with lib.Client() as http:
        assert said(http.post(URL, content=body())) == "one"
        with pytest.raises(RuntimeError, match="async request with a sync Client"):
            http.post(URL, content=async_body())
    async with lib.AsyncClient() as http:
        assert said(await http.post(URL, content=async_body())) == "two"
        with pytest.raises(RuntimeError, match="sync request with an AsyncClient"):
            await http.post(URL, content=body())
