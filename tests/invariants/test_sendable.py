"""I10 in real runs: agents that send what the provider refuses, and their correct twins."""

import anthropic
import httpx
import pytest
from google import genai
from google.genai import types

from pytest_agent import call
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.invariants import Evidence, check_all
from pytest_agent.trace import ModelRefused, ModelRequested

CLAUDE = anthropic.Anthropic(api_key="test", max_retries=0)
GOOGLE = genai.Client(api_key="test")
TOOLS = [{"name": "refund", "input_schema": {"type": "object"}}]
USER = {"role": "user", "content": "refund order 7"}


def i10(run_under, agent, schedule="", *says):
    """What I10 says of the clean run and of the run under the schedule."""
    found = []
    for text in ("", schedule):
        run = run_under(text)
        run.sandbox.tool("refund", effect=True)(lambda order: "done")
        run.llm.says(*(says or (call("refund", order=7), "It is done.")))
        error = None
        with run.inside():
            try:
                agent(run.sandbox.tools)
            except anthropic.APIStatusError as caught:
                error = caught
            run.body_ended(error)
        named = tuple(load_catalogue()[fault.id] for fault in run.schedule.faults)
        violations, not_judged = check_all(Evidence(tuple(run.trace.events), faults=named))
        assert "I10" not in not_judged
        found.append([violation for violation in violations if violation.id == "I10"])
    return found[0], found[1], run


def claude(forgets):
    """An agent that keeps nothing of a tool that raised, or tells the model of it."""

    def agent(tools):
        history = [USER]
        for _ in range(4):
            message = CLAUDE.messages.create(model="m", max_tokens=9, messages=history, tools=TOOLS)
            asked = [block for block in message.content if block.type == "tool_use"]
            if not asked:
                return
            history.append({"role": "assistant", "content": [block.model_dump() for block in message.content]})
            results = []
            for block in asked:
                try:
                    results.append((block.id, str(tools[block.name](**block.input)), False))
                except OSError as error:
                    if not forgets:
                        results.append((block.id, str(error), True))
            content = [
                {"type": "tool_result", "tool_use_id": id_, "content": text, "is_error": failed}
                for id_, text, failed in results
            ]
            history.append({"role": "user", "content": content or "The tool failed."})

    return agent


def google(forgets):
    """The same on another wire."""

    def agent(tools):
        history = [types.Content(role="user", parts=[types.Part(text="refund order 7")])]
        for _ in range(4):
            reply = GOOGLE.models.generate_content(model="m", contents=history)
            if not reply.function_calls:
                return
            history.append(reply.candidates[0].content)
            parts = []
            for asked in reply.function_calls:
                try:
                    parts.append(
                        types.Part.from_function_response(name=asked.name, response=tools["refund"](**asked.args))
                    )
                except OSError as error:
                    if not forgets:
                        response = {"error": str(error)}
                        parts.append(types.Part.from_function_response(name=asked.name, response=response))
            history.append(types.Content(role="user", parts=parts or [types.Part(text="It failed.")]))

    def tool(tools):
        agent({"refund": lambda **args: {"result": tools["refund"](**args)}})

    return tool


DOWN = "tool-unavailable@tool:refund#1"


def test_an_agent_that_forgets_the_result_of_a_tool_that_failed(run_under):
    clean, (violation,), run = i10(run_under, claude(forgets=True), DOWN)
    assert clean == []
    assert str(violation) == (
        "I10 history always sendable: Anthropic Messages refuses the history: messages.1: `tool_use` ids were found "
        "without `tool_result` blocks immediately after: toolu_1_0. Each `tool_use` block must have a corresponding "
        "`tool_result` block in the next message."
    )
    said, at_fault = violation.evidence
    assert said.endswith(" s: answered 400")
    assert at_fault.startswith('messages.1: {"role": "assistant", "content": [{')
    assert '"toolu_1_0"' in at_fault
    assert len(list(run.trace.of(ModelRefused))) == 1


def test_its_twin_tells_the_model(run_under):
    clean, faulted, run = i10(run_under, claude(forgets=False), DOWN)
    assert clean == faulted == []
    assert len(list(run.trace.of(ModelRequested))) > 1


def test_the_same_on_the_wire_of_gemini(run_under):
    agent = google(forgets=True)
    with pytest.raises(genai.errors.ClientError, match="number of function response parts"):
        i10(run_under, agent, DOWN)
    assert i10(run_under, google(forgets=False), DOWN)[:2] == ([], [])


def stubborn(learns):
    """An agent that sends a parameter of another provider; it leaves it out when told, or tries again as it was."""

    def agent(tools):
        body = {"model": "m", "max_tokens": 9, "messages": [USER], "frequency_penalty": 1}
        for _ in range(3):
            headers = {"anthropic-version": "2023-06-01"}
            reply = httpx.post("https://llm.example/v1/messages", json=body, headers=headers)
            if reply.status_code == 200:
                return
            if learns:
                del body[reply.json()["error"]["message"].partition(":")[0]]

    return agent


def test_an_agent_that_sends_again_what_was_refused(run_under):
    _, (violation,), _ = i10(run_under, stubborn(learns=False), "", "Hi.")
    assert violation.headline == (
        "the same request was refused 3 times in a row: frequency_penalty: Extra inputs are not permitted"
    )
    assert len(violation.evidence) == 3


def test_its_twin_learns(run_under):
    clean, _, run = i10(run_under, stubborn(learns=True), "", "Hi.")
    assert clean == []
    (refused,) = run.trace.of(ModelRefused)
    assert (refused.codec, refused.status, refused.param) == ("Anthropic Messages", 400, "frequency_penalty")
    assert (refused.about, refused.at_fault) == ("request", "")


def test_a_history_that_is_sent_again_is_told_once_of_each(run_under):
    def agent(tools):
        for _ in range(3):
            with pytest.raises(anthropic.BadRequestError):
                CLAUDE.messages.create(model="m", max_tokens=9, messages=[{"role": "assistant", "content": "x"}])
        CLAUDE.messages.create(model="m", max_tokens=9, messages=[USER])

    found, _, _ = i10(run_under, agent, "", "Hi.")
    assert [violation.headline.partition(":")[0] for violation in found] == [
        "Anthropic Messages refuses the history",
        "the same request was refused 3 times in a row",
    ]


def test_too_long_and_sent_again(run_under):
    def agent(tools):
        long = [{"role": "user", "content": "x" * 900_000}]
        for _ in range(2):
            with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
                CLAUDE.messages.create(model="m", max_tokens=9, messages=long)
        CLAUDE.messages.create(model="m", max_tokens=9, messages=[USER])

    (violation,), _, _ = i10(run_under, agent, "", "Hi.")
    assert violation.headline == "the same request was refused 2 times in a row: it is too long for the context"


PLANTED = """
    import anthropic, pytest
    from pytest_agent import call

    CLIENT = anthropic.Anthropic(api_key="test", max_retries=0)
    TOOLS = [{"name": "refund", "input_schema": {"type": "object"}}]

    @pytest.mark.chaos(faults="tool-unavailable")
    @pytest.mark.parametrize("forgets", [True, False])
    def test_refund(llm, sandbox, forgets):
        sandbox.tool("refund", effect=True)(lambda order: "done")
        llm.says(call("refund", order=7), "Done.")
        history = [{"role": "user", "content": "refund order 7"}]
        while True:
            said = CLIENT.messages.create(model="m", max_tokens=9, messages=history, tools=TOOLS)
            (block,) = said.content
            if block.type == "text":
                return
            try:
                result = sandbox.tools["refund"](**block.input)
            except OSError as error:
                result = str(error)
                if forgets:
                    history.append({"role": "assistant", "content": [block.model_dump()]})
                    history.append({"role": "user", "content": "Go on."})
                    continue
            answer = {"type": "tool_result", "tool_use_id": block.id, "content": result}
            history += [
                {"role": "assistant", "content": [block.model_dump()]},
                {"role": "user", "content": [answer]},
            ]
"""


def test_what_a_person_reads(project):
    project.makepyfile(test_a=PLANTED)
    result = project.runpytest("--chaos", "-q")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "I10 history always sendable: Anthropic Messages refuses the history: messages.1: `tool_use` ids were*",
            "  fewest faults: tool-unavailable at tool:refund#1",
            "*messages.1: {*role*assistant*content*toolu_1_0*",
            "*a request was refused, 400: messages.1: `tool_use` ids were*",
        ]
    )
