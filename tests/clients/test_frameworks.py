"""Agents of frameworks as agents under test: the page about them is run, and each way that they end is told."""

import asyncio
import re
from pathlib import Path

import agents
import pydantic_ai
import pytest
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from pytest_agent import UsageError, call
from pytest_agent.adapters.frameworks import langgraph as on_langgraph
from pytest_agent.adapters.frameworks import openai_agents as on_openai_agents
from pytest_agent.adapters.frameworks import pydantic_ai as on_pydantic_ai
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.trace import OutcomeClaimed

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
PARTS = re.findall(r"^## (\S+)\n.*?^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("name", "code"), PARTS, ids=[name for name, _ in PARTS])
def test_the_search_finds_the_planted_bug_and_the_correct_twin_holds(project, results, name, code):
    project.makepyfile(**{f"test_{name.replace('-', '_')}": code})
    project.runpytest("-Wignore").assert_outcomes(passed=2)
    project.runpytest("-Wignore", "--chaos").assert_outcomes(passed=1, xfailed=1)
    found = results()
    broken, held = found["test_without_a_key_it_pays_twice"], found["test_with_a_key_it_pays_once"]
    assert {failure["ids"][0] for failure in broken["failures"]} == {"I1"}
    assert held["failures"] == []
    assert len(held["runs"]) >= 2


def openai_model():
    return agents.OpenAIChatCompletionsModel("gpt-5", AsyncOpenAI(api_key="test"))


def of_langgraph(sandbox, **more):
    graph = create_react_agent(ChatOpenAI(model="gpt-5", api_key="test"), on_langgraph.tools_of(sandbox))
    return on_langgraph.as_agent(graph, **{"config": {"recursion_limit": 4}, **more})


def of_pydantic_ai(sandbox, **more):
    model = OpenAIChatModel("gpt-5", provider=OpenAIProvider(api_key="test"))
    agent = pydantic_ai.Agent(model, tools=on_pydantic_ai.tools_of(sandbox))
    return on_pydantic_ai.as_agent(agent, usage_limits=pydantic_ai.UsageLimits(request_limit=2), **more)


def of_openai_agents(sandbox, **more):
    agent = agents.Agent("desk", tools=on_openai_agents.tools_of(sandbox), model=openai_model())
    return on_openai_agents.as_agent(agent, max_turns=2, **more)


WAYS = [
    *((of_langgraph, how) for how in ("invoke", "ainvoke", "stream", "astream")),
    *((of_pydantic_ai, how) for how in ("run", "run_sync")),
    *((of_openai_agents, how) for how in ("run", "run_streamed")),
]


@pytest.mark.parametrize(("make", "how"), WAYS, ids=lambda value: value if isinstance(value, str) else value.__name__)
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "does-not-end"])
def test_how_it_ends(run_under, make, how, ends):
    run = run_under()
    with run.inside():

        @run.sandbox.tool("orders.lookup")
        def lookup(order: int):
            """Look an order up."""
            return {"order": order}

        asked = []

        def model(request):
            asked.append(request)
            done = ends and len(request.messages) > 2
            return "Sent." if done else call("orders.lookup", order=len(request.messages))

        run.llm.answers_with(model)
        running = AgentRunner(run.seams, run)(make(run.sandbox, how=how), "Where is order 7?")
        answer = asyncio.run(running) if asyncio.iscoroutine(running) else running
    (claim,) = run.trace.of(OutcomeClaimed)
    assert answer.outcome == claim.outcome == ("success" if ends else "limit")
    assert (answer.text == "Sent.") is ends
    (declared,) = asked[0].data["tools"]
    function = declared["function"]
    assert (function["name"], function["description"]) == ("orders_lookup", "Look an order up.")
    assert function["parameters"]["properties"]["order"]["type"] == "integer"
    assert function["parameters"]["required"] == ["order"]


def test_retries_that_are_used_up_are_no_crash(run_under):
    run = run_under()
    with run.inside():
        agent = pydantic_ai.Agent(OpenAIChatModel("gpt-5", provider=OpenAIProvider(api_key="test")))

        @agent.tool_plain
        def pick(order: int) -> str:
            raise pydantic_ai.ModelRetry("another one")

        run.llm.answers_with(lambda request: call("pick", order=len(request.messages)))
        with pytest.raises(pydantic_ai.UnexpectedModelBehavior):
            asyncio.run(AgentRunner(run.seams, run)(on_pydantic_ai.as_agent(agent), "Pick one"))
    (claim,) = run.trace.of(OutcomeClaimed)
    assert (claim.outcome, claim.crash) == ("failed", False)


def test_a_mistake_in_a_tool_is_a_crash_where_the_framework_lets_it_through(run_under):
    run = run_under()
    with run.inside():
        agent = pydantic_ai.Agent(OpenAIChatModel("gpt-5", provider=OpenAIProvider(api_key="test")))

        @agent.tool_plain
        def pick(order: int) -> str:
            return {}[order]

        run.llm.says(call("pick", order=7))
        with pytest.raises(KeyError):
            asyncio.run(AgentRunner(run.seams, run)(on_pydantic_ai.as_agent(agent), "Pick one"))
    (claim,) = run.trace.of(OutcomeClaimed)
    assert (claim.outcome, claim.crash) == ("failed", True)


def test_a_tool_that_is_not_there(run_under):
    run = run_under()
    run.sandbox.tool("refund")(lambda order: None)
    with pytest.raises(UsageError, match=r"the sandbox has no tool 'refnud'\. Did you mean 'refund'\?"):
        on_langgraph.tools_of(run.sandbox, "refnud")
