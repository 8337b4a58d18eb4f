import pytest

AGENT = ("agentfsm.agents.support_refund", "--tools", "shop:tools")
STORE = ("--store", "tasks.db")


def listed(agentfsm):
    return {
        key: found["value"] for key, found in agentfsm("flags", "list", *STORE, "--json").document["controls"].items()
    }


def test_what_is_set_is_listed_and_can_be_taken_away(agentfsm):
    assert agentfsm("flags", "set", "new-prices", "true", *STORE).out == "flag:new-prices is true\n"
    agentfsm("flags", "set", "trial", "true", "--until", "2026-12-31", *STORE)
    agentfsm("flags", "set", "rollout:refund", '{"stable": 1, "canary": 2, "percent": 5}', *STORE)
    agentfsm("flags", "kill", "tool:payments.refund", "stop", "--why", "pays twice", *STORE)
    assert listed(agentfsm) == {
        "flag:new-prices": True,
        "flag:trial": {"on": True, "until": "2026-12-31"},
        "kill:tool:payments.refund": {"strength": "stop", "why": "pays twice"},
        "rollout:refund": {"stable": 1, "canary": 2, "percent": 5},
    }
    assert "kill:tool:payments.refund" in agentfsm("flags", "list", *STORE).out
    agentfsm("flags", "unset", "new-prices", *STORE)
    agentfsm("flags", "unset", "rollout:refund", *STORE)
    assert set(listed(agentfsm)) == {"flag:trial", "kill:tool:payments.refund"}


def test_a_version_is_given_back(agentfsm):
    first = agentfsm("flags", "kill", "all", "pause", *STORE, "--json")
    assert first.document == {"key": "kill:all", "value": "pause", "version": 1, "notes": []}
    assert agentfsm("flags", "kill", "all", "off", *STORE, "--json").document["version"] == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("set", "x", "yes"), "expected true or false"),
        (("set", "x", "true", "--until", "soon"), "expected a day (2026-12-31)"),
        (("set", "rolout:refund", "{}"), "Did you mean 'rollout'?"),
        (("set", "rollout:refund", '{"stable": 0}'), "stable is 0"),
        (("kill", "all", "stopp"), "Did you mean 'stop'?"),
        (("kill", "tools:pay", "stop"), "kill:tool:NAME"),
        (("kill", "workflow:", "stop"), "kill:workflow:NAME"),
        (("unset", "kill:all"), "expected a strength"),
    ],
)
def test_what_nobody_could_act_on_is_refused_and_nothing_is_written(agentfsm, folder, argv, says):
    ran = agentfsm("flags", *argv, *STORE)
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert list(folder.iterdir()) == []


def test_a_stopped_tool_is_not_called(agentfsm, shop):
    agentfsm("flags", "kill", "tool:payments.refund", "stop", *STORE)
    ran = agentfsm("run", *AGENT, "refund order 7", *STORE, "--json")
    assert ran.code == 1
    assert shop() == {}


def test_a_killed_workflow_begins_nothing_until_it_is_let_go_on(agentfsm, shop):
    agentfsm("submit", *AGENT, "refund order 7", "--id", "r1", *STORE)
    agentfsm("flags", "kill", "workflow:support_refund", "stop", *STORE)
    assert agentfsm("run", *AGENT, "refund order 7", "--id", "r2", *STORE).code == 1
    assert shop() == {}
    agentfsm("flags", "kill", "workflow:support_refund", "off", *STORE)
    assert agentfsm("run", *AGENT, "refund order 7", "--id", "r3", *STORE).code == 0


def test_a_switch_with_a_slip_in_its_name_is_noted(agentfsm, shop):
    agentfsm("submit", *AGENT, "refund order 7", "--id", "r1", *STORE)
    ran = agentfsm("flags", "kill", "workflow:suport_refund", "stop", *STORE)
    assert ran.code == 0
    assert "Did you mean 'support_refund'?" in ran.out
    for name in ("support_refund", "support_refund@1"):
        assert agentfsm("flags", "kill", f"workflow:{name}", "stop", *STORE, "--json").document["notes"] == []
