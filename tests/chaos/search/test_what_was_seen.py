"""What a search reports of itself: what it has not seen, and whether the agent is deterministic."""

import pytest

from pytest_agent.chaos.search.coverage import coverage
from pytest_agent.chaos.search.found import Found, Ran
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.same import first_difference
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.report.fewest import fewest, not_explored
from pytest_agent.trace import AgentEvent, AgentLeft, AgentStarted, FaultApplied, ToolCalled

LOST = "reply-lost@tool:refund#1"
TABLE = [
    {"state": "A", "event": "go", "to": "B"},
    {"state": "B", "event": "stop", "to": "C"},
]


def started():
    return AgentStarted(life=1, description={"transitions": TABLE})


def moved(before="A", event="go", to="B"):
    return AgentEvent(data={"kind": "transition", "from": before, "event": event, "to": to})


def called(attempt=""):
    return ToolCalled(
        site=f"tool:refund#1{attempt}",
        tool="refund",
        call=1,
        attempt=1,
        arguments={"order": 7},
        key=None,
        effect=True,
        problem=None,
    )


def observed(text, *events):
    schedule = Schedule.parse(text) if text else Schedule()
    verdict = Verdict(text, tuple(fault.id for fault in schedule.faults), "survived", "success", (), (), ())
    return Observed.of(schedule, verdict, [started(), *events])


def test_what_was_not_run_and_what_found_nothing_to_act_on() -> None:
    clean = observed("", called(), moved())
    struck = observed(LOST, called(), FaultApplied(fault="reply-lost", site="tool:refund#1", detail=""), called("/2"))
    idle = observed("tool-hangs@tool:refund#1", called())
    found = Found((Ran((1, 0, 0), "single", struck), Ran((1, 1, 0), "single", idle)))
    faults = [named for named in load_catalogue().select(["reply-lost", "tool-hangs"]) if not named.is_control]
    data = coverage(clean, found, faults)
    assert data == {
        "runs": {"single": 2},
        "alone": {"all": 4, "not_run": ["reply-lost(how=reset)@tool:refund#1", "tool-hangs(done=true)@tool:refund#1"]},
        "places": {
            "all": 4,
            "struck": 1,
            "not_applied": ["tool-hangs@tool:refund#1"],
            "not_run": ["reply-lost@tool:refund#1/2", "tool-hangs@tool:refund#1/2"],
        },
        "states": {"all": 3, "not_seen": ["C"]},
        "transitions": {"all": 2, "not_seen": ["B stop C"]},
    }
    assert not_explored(data) == "2 of 4 single faults, 2 of 4 (fault, site), 1 of 3 states, 1 of 2 transitions"


def test_nothing_is_said_where_all_was_explored() -> None:
    clean = observed("", called(), moved(), moved("B", "stop", "C"))
    assert not_explored(coverage(clean, Found(()), [])) == ""


def test_what_a_run_showed_goes_to_json_and_back() -> None:
    struck = observed(LOST, called(), FaultApplied(fault="reply-lost", site="tool:refund#1", detail=""), called("/2"))
    clean = observed("", called(), moved())
    assert [Observed.from_dict(run.to_dict()) for run in (struck, clean)] == [struck, clean]
    assert [(str(seen.site), seen.after_fault) for seen in struck.sites] == [
        ("tool:refund#1", False),
        ("process@tool:refund#1", False),
        ("tool:refund#1/2", True),
        ("process@tool:refund#1/2", True),
    ]


def test_the_repeated_attempts_of_a_clean_run_are_no_sites() -> None:
    assert [str(seen.site) for seen in observed("", called(), called("/2")).sites] == [
        "tool:refund#1",
        "process@tool:refund#1",
    ]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([moved()], [moved()], None),
        ([moved(), AgentLeft(tasks=[], threads=["store"], children=[], sockets=[])], [moved()], None),
        ([moved()], [moved(), called()], "event 2 is in the second run alone: tool_called at tool:refund#1"),
        (
            [called()],
            [moved()],
            "event 1 is tool_called at tool:refund#1 in the first run and agent_event in the second",
        ),
        (
            [called()],
            [called("/2")],
            "event 1, tool_called at tool:refund#1: site is 'tool:refund#1' and then 'tool:refund#1/2'",
        ),
    ],
    ids=["same", "one thread longer", "longer", "other kind", "other value"],
)
def test_where_two_clean_runs_part(one, other, said) -> None:
    assert first_difference(one, other, lambda value: value) == said


def test_what_is_of_the_machine_is_no_difference() -> None:
    def at(place):
        return [AgentEvent(data={"file": place})]

    assert first_difference(at("/a/x"), at("/b/x"), lambda data: data) is not None
    assert first_difference(at("/a/x"), at("/b/x"), lambda data: {**data, "data": "FILE"}) is None


def test_an_agent_that_is_not_deterministic_is_told(project, results) -> None:
    project.makepyfile(
        """
    import pytest, agents

    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    def test_counts(llm, sandbox):
        RUNS.append(1)
        agents.run(f"refund {len(RUNS)}", agents.stock(llm, sandbox))

    @pytest.mark.chaos(faults="reply-lost")
    def test_does_not(llm, sandbox, tmp_path):
        agents.run(f"refund into {tmp_path}", agents.stock(llm, sandbox))
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(passed=2)
    found = results()
    assert "model_requested at llm#1: messages is " in found["test_counts"]["not_deterministic"]
    assert found["test_does_not"]["not_deterministic"] is None
    result.stdout.fnmatch_lines(["*test_counts: held*", "*not deterministic: two runs without faults differ: event*"])


def test_the_fewest_faults_say_from_how_many() -> None:
    assert fewest({"fewest": ["a at x", "b at y"], "shrunk_from": 3}) == "a at x; b at y (shrunk from 3)"
    assert fewest({"fewest": ["a at x"], "shrunk_from": 1}) == "a at x"
