"""I11: legal state machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.trace import AgentEvent, AgentStarted, Died, Event

ID, NAME = "I11", "legal state machine"
Row = dict[str, Any]
_say = json.JSONEncoder(sort_keys=True, default=repr).encode


def legal_state_machine(evidence: Evidence) -> list[Violation] | None:
    """I11. The agent's own log of transitions is accepted by the machine it describes.

    Each transition is in the described table and begins where the last one ended, the first in an initial state;
    versions leave no gap; at most one terminal state is entered, nothing follows it, and a success has come to one.
    The log of a task is in the order of its `version`, and of what was told where there is none: observers of several
    processes may tell theirs out of order. What is told again (`again`) is the same event, whichever came first. Needs
    an agent that describes `transitions` and reports events of the kind `transition`; otherwise not judged.
    """
    rows = [row for event in evidence.of(AgentStarted) for row in event.description.get("transitions") or ()]
    logs = logs_of(evidence.events)
    if not rows or not any(_is_move(row) for log in logs.values() for row in log):
        return None
    table = {(row["state"], row["event"]): row["to"] for row in rows}
    initial = {row["state"] for row in rows} - {row["to"] for row in rows}
    terminal = terminal_states(rows)
    found: list[Violation] = []
    for log in logs.values():
        moves = [row for row in log if _is_move(row)]
        found += _walk(moves, table, initial, terminal) + _versions(log)
    ends = [row for log in logs.values() for row in log if _is_move(row) and row.get("to") in terminal]
    if evidence.claims_success and terminal and not ends:
        found.append(Violation(ID, NAME, "success was claimed and no terminal state was ever entered"))
    return found


def terminal_states(rows: Iterable[Row]) -> set[str]:
    """The states that nothing leads out of."""
    rows = list(rows)
    return {row["to"] for row in rows} - {row["state"] for row in rows}


def is_open(task: Sequence[Event]) -> bool:
    """Whether the agent's own log says that its task has not come to its end yet, and may still go on."""
    rows = [
        row for event in task if isinstance(event, AgentStarted) for row in event.description.get("transitions", ())
    ]
    state = last_state(task)
    return bool(rows) and state is not None and state not in terminal_states(rows)


def last_state(task: Sequence[Event]) -> str | None:
    """The state that the agent's own log comes to, or None where it tells of none."""
    moves = [row for log in logs_of(task).values() for row in log if _is_move(row)]
    return str(moves[-1].get("to")) if moves else None


def logs_of(events: Iterable[Event]) -> dict[str, list[Row]]:
    """What was told of each task, each thing once, in the order of the versions."""
    logs: dict[str, list[Row]] = defaultdict(list)
    seen: dict[str, set[str]] = {"live": set(), "again": set()}
    died = False
    latest: dict[str, int] = {}
    for event in events:
        died = died or isinstance(event, Died)
        if not isinstance(event, AgentEvent):
            continue
        row = {key: value for key, value in event.data.items() if key != "again"}
        said = _say(row)
        again = bool(event.data.get("again"))
        # One commit may hold the same transition twice, so that only what is told again is told once before.
        known = said in seen["again"] or (again and said in seen["live"])
        seen["again" if again else "live"].add(said)
        if known:
            continue
        task = str(row.get("request_id"))
        latest[task] = _version(row) or latest.get(task, 0)
        logs[task].append({**row, "_at": latest[task], "_older": again and not died})
    return {task: sorted(log, key=lambda row: row["_at"]) for task, log in logs.items()}


def _walk(
    moves: list[Row], table: dict[tuple[str, str], str], initial: set[str], terminal: set[str]
) -> list[Violation]:
    found: list[Violation] = []
    state: Any = None
    for row in moves:
        line = _line(row)
        begins, event, ends = row.get("from"), row.get("event"), row.get("to")
        if ends is None or table.get((str(begins), str(event))) != ends:
            found.append(Violation(ID, NAME, f"{line} is not in the agent's own table"))
        if state is None and row["_at"] == 1 and initial and begins not in initial:
            found.append(Violation(ID, NAME, f"{line} is the first, and {begins} is no initial state"))
        if state is not None and begins != state:
            found.append(Violation(ID, NAME, f"{line} begins in another state than {state}, where the last one ended"))
        if state in terminal:
            found.append(Violation(ID, NAME, f"{line} follows the terminal state {state}"))
        state = ends
    return found


def _versions(log: list[Row]) -> list[Violation]:
    found: list[Violation] = []
    told = [row for row in log if _version(row) is not None]
    # A log that begins with what is told again, and nothing died before: the task is older than this run.
    last = told[0]["_at"] - 1 if told and told[0]["_older"] else 0
    for row in told:
        if row["_at"] > last + 1:
            found.append(Violation(ID, NAME, f"{_line(row)} is version {row['_at']}, {last + 1} is missing"))
        last = max(last, row["_at"])
    return found


def _version(row: Row) -> int | None:
    version = row.get("version")
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _is_move(row: Row) -> bool:
    return row.get("kind") == "transition"


def _line(row: Row) -> str:
    if not _is_move(row):
        return f"the event {row.get('kind')!r}"
    return f"{row.get('from')} --{row.get('event')}--> {row.get('to')}"
