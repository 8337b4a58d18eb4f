"""The state machine that the documentation draws is the one that runs."""

import re
from collections import defaultdict
from pathlib import Path

from agentfsm import State
from agentfsm.states import TERMINAL, TRANSITIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agentfsm.md"


def test_the_drawn_machine_is_the_table_of_transitions():
    drawn = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert drawn is not None
    events = defaultdict(list)
    for (state, event), to in TRANSITIONS.items():
        events[state, to].append(event.value)
    rows = [
        f"{state.value} --> {to.value}: {', '.join(sorted(events[state, to]))}"
        for state in State
        for to in State
        if (state, to) in events
    ]
    expected = ["[*] --> INIT", *rows, *(f"{state.value} --> [*]" for state in State if state in TERMINAL)]
    assert [line.strip() for line in drawn[1].strip().splitlines()] == expected
