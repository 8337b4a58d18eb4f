"""Google's own client: its sync side is httpx2, its async side aiohttp where that is installed, else httpx2."""

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import aiohttp
import httpx2
from google import genai
from google.genai import types

MODEL = "gemini-3-pro"
CITY = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")})
TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", parameters=CITY)])
CONFIG = types.GenerateContentConfig(tools=[TOOL])
ASK = [types.UserContent("How is the weather in Oslo and Lima?")]


def made_for(place, **options):
    retries = types.HttpRetryOptions(attempts=3, http_status_codes=[429])
    return genai.Client(
        api_key="test", http_options=types.HttpOptions(base_url=place.gemini, retry_options=retries, **options)
    )


@contextmanager
def opened(place):
    client = made_for(place)

    def turn(history, streamed):
        options = {"model": MODEL, "contents": history, "config": CONFIG}
        if not streamed:
            return [client.models.generate_content(**options)]
        return list(client.models.generate_content_stream(**options))

    yield turn
    client.close()


def opened_async(**options):
    @contextmanager
    def opened(place):
        with asyncio.Runner() as runner:
            client = made_for(place, **options)

            async def turn(history, streamed):
                asked = {"model": MODEL, "contents": history, "config": CONFIG}
                if not streamed:
                    return [await client.aio.models.generate_content(**asked)]
                return [piece async for piece in await client.aio.models.generate_content_stream(**asked)]

            yield lambda *args: runner.run(turn(*args))
            runner.run(client.aio.aclose())
            client.close()

    return opened


class Client:
    least_wait_s = 1  # a back-off of its own: it does not look for a pause in the error

    def __init__(self, name, broken, opened):
        self.name, self.broken, self.opened = name, broken, opened

    def ask(self, place, streamed):
        with self.opened(place) as turn:
            return seen(turn(ASK, streamed))

    def loop(self, place, streamed):
        with self.opened(place) as turn:
            first = turn(ASK, streamed)
            said = [part for piece in first for part in piece.candidates[0].content.parts]
            made = [part.function_call for part in said if part.function_call]
            results = [
                types.Part(function_response=types.FunctionResponse(name=each.name, id=each.id, response=result(each)))
                for each in made
            ]
            history = [*ASK, types.ModelContent(said), types.UserContent(results)]
            reply = turn(history, streamed)
        return seen(reply, calls=[(each.name, each.args) for each in made])


def result(made):
    return {"result": f"{made.args['city']}: sunny"}


def seen(pieces, **more):
    usage = pieces[-1].usage_metadata
    text = "".join(piece.text or "" for piece in pieces)
    return SimpleNamespace(text=text, usage=(usage.prompt_token_count, usage.candidates_token_count), **more)


def over_httpx2():
    return {"async_client_args": {"transport": httpx2.AsyncHTTPTransport()}}


CLIENTS = [
    Client("sync", httpx2.RemoteProtocolError, opened),
    Client("async-aiohttp", aiohttp.ClientPayloadError, opened_async()),
    Client("async-httpx2", httpx2.RemoteProtocolError, opened_async(**over_httpx2())),
]


def test_text(check, client, streamed, socket):
    check.text(client, streamed=streamed)


def test_parallel_tool_calls(check, client, streamed, socket):
    check.tools(client, streamed=streamed)


def test_calls_after_words_and_reasoning(check, client, streamed, socket):
    check.tools(client, streamed=streamed, before={"text": "I look.", "reasoning": "Two cities: two calls."})


def test_a_429_is_asked_again(check, client, streamed):
    check.retry(client, streamed=streamed)


def test_a_stream_that_breaks(check, client, socket):
    check.cut(client)
