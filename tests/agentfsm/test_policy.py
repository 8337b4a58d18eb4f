from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import InvalidControl
from agentfsm.policy import STRENGTHS, Switches, check_control
from agentfsm.records import Control
from agentfsm.rollout_plan import Rollout

NOW = 1000.0


class Nothing(BaseModel):
    pass


def contract(name="pay", flag=None):
    return ToolContract(
        name=name, version=1, input=Nothing, output=Nothing, effect=Effect.UNSAFE, effects=("payment",), flag=flag
    )


def of(values):
    return Switches.of({key: Control(key, value) for key, value in values.items()})


def test_nothing_is_stopped_where_nothing_was_switched():
    quiet = of({})
    assert quiet.stopped("refund@1") == "off"
    assert quiet.tool_disabled(contract(), NOW) is None
    assert quiet.faults == ()


@pytest.mark.parametrize(
    ("values", "strength"),
    [
        ({"kill:all": "pause"}, "pause"),
        ({"kill:all": "stop"}, "stop"),
        ({"kill:workflow:refund": "pause"}, "pause"),
        ({"kill:workflow:refund@1": "stop"}, "stop"),
        ({"kill:all": "pause", "kill:workflow:refund": "stop"}, "stop"),
        ({"kill:all": "stop", "kill:workflow:refund": "off"}, "stop"),
        ({"kill:workflow:refund": {"strength": "pause", "why": "payments are down"}}, "pause"),
        ({"kill:all": "off"}, "off"),
        ({"kill:workflow:account": "stop"}, "off"),
        ({"kill:workflow:refund@2": "stop"}, "off"),
        ({"kill:tool:refund": "stop"}, "off"),
    ],
)
def test_the_strongest_switch_that_names_a_workflow_holds(values, strength):
    assert of(values).stopped("refund@1") == strength


@pytest.mark.parametrize("strength", ["pause", "stop"])
def test_a_killed_tool_is_not_to_be_had_and_its_neighbour_is(strength):
    found = of({"kill:tool:pay": strength})
    assert found.tool_disabled(contract(), NOW) == "'pay' is switched off by an operator."
    assert found.tool_disabled(contract("ship"), NOW) is None
    assert found.tools == {"pay": strength}
    assert of({"kill:tool:pay": "off"}).tool_disabled(contract(), NOW) is None


def test_a_tool_behind_a_flag_needs_it_on():
    guarded = contract(flag="payments")
    assert of({}).tool_disabled(guarded, NOW) == "'pay' is not switched on here."
    assert of({"flag:payments": False}).tool_disabled(guarded, NOW) is not None
    assert of({"flag:payments": True}).tool_disabled(guarded, NOW) is None
    assert of({"flag:payments": True, "kill:tool:pay": "stop"}).tool_disabled(guarded, NOW) is not None


def test_an_unknown_flag_is_off():
    assert not of({"flag:one": True}).flag("other", NOW)


def at(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("2026-12-31", at(2027, 1, 1)),
        ("2026-12-31T18:00:00Z", at(2026, 12, 31, 18)),
        ("2026-12-31T19:00:00+01:00", at(2026, 12, 31, 18)),
    ],
)
def test_a_flag_goes_off_at_its_end(until, last):
    found = of({"flag:new": {"on": True, "until": until}})
    assert found.flag("new", last - 1)
    assert not found.flag("new", last)
    assert not of({"flag:new": {"on": False, "until": until}}).flag("new", last - 1)


def test_a_rollout_is_read_with_the_rest():
    plan = Rollout(1, 2, 5.0)
    assert of({"rollout:refund": plan.describe()}).rollouts == {"refund": plan}


@pytest.mark.parametrize("value", [None, 1, True, "of", "STOP", [], {}, {"strength": "x"}, {"why": "?"}, {"x": "off"}])
def test_a_kill_switch_that_cannot_be_read_stops(value):
    assert of({"kill:all": value}).stopped("refund@1") == "stop"
    assert of({"kill:workflow:refund": value}).stopped("refund@1") == "stop"
    assert of({"kill:workflow:refund": value}).stopped("account@1") == "off"
    found = of({"kill:tool:pay": value})
    assert found.tool_disabled(contract(), NOW)
    assert found.stopped("refund@1") == "off"
    assert len(found.faults) == 1
    assert found.faults[0].startswith("'kill:tool:pay': ")
    assert found.faults[0].endswith("taken for 'stop'")


@pytest.mark.parametrize("key", ["kill:everything", "kill:prompt:x", "kill:tool:", "kill:"])
def test_a_kill_switch_for_nobody_known_stops_everything(key):
    found = of({key: "pause"})
    assert found.stopped("refund@1") == "stop"
    assert len(found.faults) == 1


@pytest.mark.parametrize("value", [1, "true", [], {"on": 1}, {"until": "2026-12-31"}, {"on": True, "until": 5}])
def test_a_flag_that_cannot_be_read_is_off_and_reported(value):
    found = of({"flag:new": value})
    assert not found.flag("new", NOW)
    assert len(found.faults) == 1
    assert found.faults[0].endswith("taken for off")


def test_a_rollout_that_cannot_be_read_is_left_out_and_reported():
    found = of({"rollout:refund": {"stable": 0}, "strange:key": 1})
    assert found.rollouts == {}
    assert [fault.partition(":")[0] for fault in found.faults] == ["'rollout", "'strange"]


def test_a_flag_and_a_rollout_can_be_taken_away_again():
    check_control("flag:new", None)
    check_control("rollout:refund", None)
    assert of({"flag:new": None, "rollout:refund": None}) == Switches()


def test_a_breaker_is_somebody_elses():
    assert of({"breaker:pay": {"state": "open"}}) == Switches()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)
keys = st.text() | st.sampled_from(["kill:all", "kill:workflow:refund", "kill:tool:pay", "flag:new", "rollout:refund"])


@given(keys, anything | st.sampled_from(STRENGTHS) | st.fixed_dictionaries({"on": st.booleans(), "until": st.text()}))
def test_whatever_is_stored_is_read_and_only_what_could_not_be_written_is_reported(key, value):
    found = of({key: value})
    try:
        check_control(key, value)
    except InvalidControl:
        assert len(found.faults) == 1
        if key.startswith("kill:"):
            assert found != Switches(faults=found.faults)
    else:
        assert found.faults == ()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("kil:all", "stop", "Did you mean 'kill'?"),
        ("kill", "stop", "a key is KIND:NAME"),
        ("kill:tools:pay", "stop", "kill:tool:NAME"),
        ("kill:tool:pay me", "stop", "no blanks"),
        ("kill:all", "stopp", "Did you mean 'stop'?"),
        ("kill:all", True, "found True, expected a strength"),
        ("kill:all", {"strength": "stop", "reason": "?"}, "unknown key 'reason'"),
        ("flag:new", "yes", "expected true or false"),
        ("flag:new", {"on": True, "until": "tomorrow"}, "expected a day (2026-12-31)"),
        ("flag:new", {"on": True, "until": "2026-12-31T18:00:00"}, "expected a day"),
        ("flag:", True, "1 to 200 characters"),
        ("rollout:refund", {"stable": 1, "percent": 5}, "there is no canary"),
        ("breaker:pay", "open", "expected a mapping"),
    ],
)
def test_what_nobody_could_act_on_is_not_written(key, value, says):
    with pytest.raises(InvalidControl) as refused:
        check_control(key, value)
    assert says in str(refused.value)
    assert refused.value.code == "invalid_control"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kill:all", "stop"),
        ("kill:workflow:refund", "pause"),
        ("kill:tool:pay", {"strength": "stop", "why": "pays twice"}),
        ("flag:new", True),
        ("flag:new", {"on": True, "until": "2026-12-31"}),
        ("rollout:refund", {"stable": 1, "canary": 2, "percent": 5}),
        ("breaker:pay", {"state": "open"}),
    ],
)
def test_what_makes_sense_is_written(key, value):
    check_control(key, value)
