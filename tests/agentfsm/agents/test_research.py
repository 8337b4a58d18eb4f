"""The research agent beyond its scenarios: fan-out, roles, and drafts that do not hold."""

import asyncio
import json

import pytest

from agentfsm import SQLiteStore, Turn
from agentfsm.agents import research
from agentfsm.turns import ToolCall

PLAN = {"questions": ["caffeine in tea", "tea and sleep"]}
DRAFT = {"text": "Tea has caffeine.", "citations": ["W1"]}


class Script:
    name = "script"

    def __init__(self, *turns):
        self.turns, self.requests = list(turns), []

    async def complete(self, request):
        self.requests.append(request)
        return self.turns.pop(0)


def says(*calls):
    made = tuple(
        ToolCall(id=f"c{place}-{tool}", name=tool, arguments=json.dumps(arguments))
        for place, (tool, arguments) in enumerate(calls)
    )
    return Turn(calls=made, finish="tool_calls")


@pytest.fixture
def play(tmp_path):
    def run(*turns, web=None, at_once=6):
        meeting = asyncio.Barrier(at_once)
        searched = []

        def source(name, hits):
            async def search(query):
                searched.append((name, query))
                async with asyncio.timeout(5):
                    await meeting.wait()
                return web if name == "search.web" and web is not None else {"hits": hits}

            return search

        async def noted(**_arguments):
            return {"noted": True}

        async def read(id):
            return {"text": f"what {id} says"}

        async def main():
            store = SQLiteStore(tmp_path / "tasks.db")
            model = Script(*turns)
            tools = {
                "research.plan": noted,
                "research.draft": noted,
                "research.verdict": noted,
                "sources.read": read,
                "search.web": source("search.web", [{"id": "W1", "title": "On tea"}]),
                "search.papers": source("search.papers", []),
                "search.internal": source("search.internal", []),
            }
            result = await research.build(store=store, model=model, tools=tools).run(request_id="r1", text="Tea?")
            await store.close()
            return result, model, searched

        return asyncio.run(main())

    return run


def test_every_question_goes_to_every_source_at_the_same_time(play):
    plan, draft = says(("research.plan", PLAN)), says(("research.draft", DRAFT))
    result, _, searched = play(plan, draft, says(("research.verdict", {"holds": True})))
    assert (result.outcome, json.loads(result.answer)) == ("success", DRAFT)
    assert len(set(searched)) == 6  # each waited for the five others


def test_each_role_is_offered_its_own_tools_and_no_more(play):
    plan, draft = says(("research.plan", PLAN)), says(("research.draft", DRAFT))
    _, model, _ = play(plan, draft, says(("research.verdict", {"holds": True})))
    offered = [{tool["name"] for tool in request.tools} for request in model.requests]
    assert offered == [{"research.plan"}, {"research.draft"}, {"sources.read", "research.verdict"}]


def test_a_source_that_nobody_found_cannot_be_cited(play):
    wrong = says(("research.draft", {"text": "So it is.", "citations": ["X9"]}))
    plan, draft = says(("research.plan", PLAN)), says(("research.draft", DRAFT))
    result, model, _ = play(plan, wrong, draft, says(("research.verdict", {"holds": True})))
    assert "['X9'] was found" in model.requests[2].messages[-1].text
    assert result.outcome == "success"


def test_a_draft_that_does_not_hold_twice_is_no_answer(play):
    plan = says(("research.plan", {"questions": ["caffeine in tea"]}))
    draft, no = says(("research.draft", DRAFT)), says(("research.verdict", {"holds": False, "missing": []}))
    result, _, searched = play(plan, draft, no, draft, no, at_once=3)
    assert (result.outcome, result.cause) == ("failed", "not_supported")
    assert len(searched) == 3


def test_a_source_that_is_gone_makes_the_answer_partial(play):
    papers = says(("research.draft", {"text": "Nothing is known.", "citations": ["W1"]}))
    gone = {"status": "permanent_error", "error_code": "gone"}
    result, _, _ = play(says(("research.plan", PLAN)), papers, says(("research.verdict", {"holds": True})), web=gone)
    assert (result.outcome, result.cause) == ("failed", "nothing_found")
