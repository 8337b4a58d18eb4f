"""Which requests are attempts of one call, over a conversation of any length."""

import asyncio

import httpx
import openai

from pytest_agent.llm.calls import REMEMBERED

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()


def body(text):
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def test_a_long_load_remembers_no_more_than_a_short_one(run_under):
    run = run_under()
    run.llm.answers_with(lambda request: request.history[-1].text)
    with run.inside():
        for n in range(REMEMBERED + 50):
            HTTP.post(URL, json=body(f"question {n % 7}"))
    book = run.llm.snapshot()[""]["book"]
    assert book["count"] == run.llm.calls == REMEMBERED + 50
    assert len(book["calls"]) == REMEMBERED


def test_a_call_is_tried_again_however_many_came_after_it(run_under):
    run = run_under("rate-limit@llm#1")
    run.llm.answers_with(lambda request: request.history[-1].text)
    with run.inside():
        HTTP.post(URL, json=body("first"))
        for n in range(20):
            HTTP.post(URL, json=body(f"other {n}"))
        assert HTTP.post(URL, json=body("first")).status_code == 200
        HTTP.post(URL, json=body("first"))
    sites = [request.site for request in run.llm.requests]
    assert sites[-2:] == ["llm#1/2", "llm#22"]


def test_agents_in_threads_of_a_loop_keep_their_conversation(run_under):
    run = run_under()
    for name in "abc":
        run.llm.conversation(name).says(f"to {name}")
    client = openai.OpenAI(api_key="k")

    def ask():
        return client.chat.completions.create(**body("the same")).choices[0].message.content

    async def agent(name):
        with run.llm.as_conversation(name):
            return await asyncio.to_thread(ask)

    async def all_of_them():
        return await asyncio.gather(*map(agent, "abc"))

    with run.inside():
        assert asyncio.run(all_of_them()) == ["to a", "to b", "to c"]


def test_a_process_that_was_started_again_hears_what_the_one_before_it_heard(run_under):
    run = run_under()
    run.llm.says("one", "two", "three", "four")
    with run.inside():
        said = [HTTP.post(URL, json=body(text)) for text in ("same", "same", "other")]
        run.seams.restarts = 1
        said += [HTTP.post(URL, json=body(text)) for text in ("same", "other", "same", "same")]
    texts = [reply.json()["choices"][0]["message"]["content"] for reply in said]
    assert texts == ["one", "two", "three", "one", "three", "two", "four"]
    assert [request.site for request in run.llm.requests][3:] == ["llm#1/2", "llm#3/2", "llm#2/2", "llm#4"]


def test_a_new_conversation_does_not_hear_what_another_one_has_heard(run_under):
    run = run_under()
    run.llm.says("one", "two")
    with run.inside():
        HTTP.post(URL, json=body("same"))
        run.seams.applied.add(None)  # as after a fault: the turns that are left are not asked for any more
        run.llm.new_conversation()
        run.llm.says("three")
        run.seams.restarts = 1
        reply = HTTP.post(URL, json=body("same"))
    assert reply.json()["choices"][0]["message"]["content"] == "three"
