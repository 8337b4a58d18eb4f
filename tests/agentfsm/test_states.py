import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfsm import Event, InvalidTransition, State
from agentfsm.machine import at_rest, step
from agentfsm.states import TERMINAL, TRANSITIONS, describe

states, events = st.sampled_from(State), st.sampled_from(Event)


@given(states, events)
def test_every_event_in_every_state_is_either_legal_or_refused(state, event):
    if (state, event) in TRANSITIONS:
        assert step(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidTransition, match=state.value) as refused:
            step(state, event)
        assert refused.value.code == "invalid_transition"


@given(st.sampled_from(sorted(TERMINAL)), events)
def test_a_final_state_accepts_nothing(state, event):
    with pytest.raises(InvalidTransition, match="final"):
        step(state, event)


@given(st.lists(events, max_size=30))
def test_no_sequence_of_events_leaves_the_table_or_wakes_a_finished_task(sequence):
    state = State.INIT
    for event in sequence:
        try:
            after = step(state, event)
        except InvalidTransition:
            continue
        assert state not in TERMINAL
        assert (state, event, after) in {(s, e, to) for (s, e), to in TRANSITIONS.items()}
        state = after


def test_every_state_is_reached_and_every_living_one_can_be_cancelled():
    assert set(TRANSITIONS.values()) | {State.INIT} == set(State)
    assert all((state, Event.CANCEL) in TRANSITIONS for state in set(State) - TERMINAL)


def test_every_event_is_of_use_somewhere():
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_a_task_is_at_rest_exactly_where_nothing_is_left_to_do():
    assert {state for state in State if at_rest(state)} == {State.WAITING_EXTERNAL, State.DONE, State.FAILED}


def test_the_table_is_described_as_plain_data():
    rows = describe()
    assert json.loads(json.dumps(rows)) == rows
    assert len(rows) == len(TRANSITIONS)
    assert {"state": "PLANNING", "event": "answer_accepted", "to": "DONE"} in rows
