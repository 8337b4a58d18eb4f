"""The text of a commit's statement in PostgreSQL, made once for every shape a commit may have."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from agentfsm.store.rows import INCIDENT, STEP, STEP_ENDS, TASK_MOVES, TASK_NEW
from agentfsm.store.usual import SYSTEM

_EVENT = ("source", "event_id", "request_id", "kind", "payload", "received_at", "applied_version", "reason")
_AUDIT = ("request_id", "version", "at", "data")
_INT = {"step_id", "attempt", "undoes", "stands_in_for", "tool_version", "version", "applied_version"}
_FLOAT = {"created_at", "finished_at", "not_before", "at", "received_at"}


class Shape(NamedTuple):
    """What a commit consists of; there is one text for each, made once."""

    task: str
    finished: int
    inserted: int
    event: bool
    audit: bool
    incidents: int
    controls: int


class _Marks:
    """Hands out the places of the values, in order."""

    def __init__(self) -> None:
        self._used = 0

    def next(self, kind: str = "") -> str:
        """Return the next place; in a SELECT its type has to be said."""
        self._used += 1
        return f"${self._used}::{kind}" if kind else f"${self._used}"

    def of(self, names: Iterable[str]) -> list[str]:
        return [self.next("int" if name in _INT else "float8" if name in _FLOAT else "text") for name in names]

    def set(self, names: Iterable[str]) -> str:
        return ", ".join(f"{name} = {self.next()}" for name in names)


@cache
def text(shape: Shape) -> str:
    """Return the statement; its values are in the order in which `postgres_writes` gives them."""
    mark = _Marks()
    parts = {"moved": _moved(shape.task, mark)}
    parts |= {f"finished{n}": _finished(mark) for n in range(shape.finished)}
    parts |= {f"inserted{n}": _inserted(mark) for n in range(shape.inserted)}
    if shape.event:
        parts["arrived0"] = _arrived(mark)
    checked = [name for name in parts if name != "moved"]
    if shape.audit:
        parts["noted"] = _insert("audit", _AUDIT, mark.of(_AUDIT))
    if shape.incidents:
        parts["incidents"] = _incidents(shape.incidents, mark)
    parts |= _controls(shape.controls, mark)
    last = "FROM changed" if shape.controls else "FROM meta WHERE key = 'controls'"
    refused = " ".join(f"WHEN NOT EXISTS (SELECT 1 FROM {name}) THEN agentfsm_refuse('{name}')" for name in checked)
    check = f"CASE {refused} END" if refused else "NULL"
    written = ", ".join(f"{name} AS ({part})" for name, part in parts.items())
    return f"WITH {written} SELECT cancel, (SELECT value {last}), {check} FROM moved"


def _insert(table: str, names: Iterable[str], values: Iterable[str], rest: str = "") -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM moved {rest}"


def _moved(task: str, mark: _Marks) -> str:
    if task == "note":
        return "SELECT false AS cancel"
    if task == "start":
        names = (*TASK_NEW, *SYSTEM)
        values = ", ".join(mark.next() for _ in names)
        rest = "ON CONFLICT DO NOTHING RETURNING false AS cancel"
        return f"INSERT INTO task ({', '.join(names)}) VALUES ({values}) {rest}"
    return (
        f"UPDATE task SET {mark.set((*TASK_MOVES, *SYSTEM))} WHERE request_id = {mark.next()} "
        f"AND version = {mark.next()} AND fence = {mark.next()} RETURNING cancel_requested AS cancel"
    )


def _finished(mark: _Marks) -> str:
    return (
        f"UPDATE agent_steps SET {mark.set(STEP_ENDS)} FROM moved WHERE request_id = {mark.next()} "
        f"AND step_id = {mark.next()} AND attempt = {mark.next()} AND status = 'pending' RETURNING 1"
    )


def _inserted(mark: _Marks) -> str:
    given = dict(zip(STEP, mark.of(STEP), strict=True))
    free, finished = mark.next("bool"), mark.next("int[]")
    taken = (
        f"SELECT 1 FROM agent_steps WHERE request_id = {given['request_id']} AND step_id = {given['step_id']} "
        f"AND attempt <> ALL({finished}) AND (input_hash <> {given['input_hash']} OR status IN ('pending', 'success'))"
    )
    rest = f"WHERE {free} AND NOT EXISTS ({taken}) ON CONFLICT DO NOTHING RETURNING 1"
    return _insert("agent_steps", STEP, given.values(), rest)


def _arrived(mark: _Marks) -> str:
    """One that was held meets its wait, or came before its task; another one is not stored twice."""
    rest = (
        "ON CONFLICT (source, event_id) DO UPDATE SET applied_version = excluded.applied_version, "
        "reason = excluded.reason WHERE event.request_id = excluded.request_id "
        "AND event.reason IN ('early', 'unknown_task') AND event.reason IS DISTINCT FROM excluded.reason RETURNING 1"
    )
    return _insert("event", _EVENT, mark.of(_EVENT), rest)


def _incidents(count: int, mark: _Marks) -> str:
    """Number them in the order they were given."""
    given = ", ".join(f"({n}, {', '.join(mark.of(INCIDENT))})" for n in range(count))
    values = f"(VALUES {given}) AS given (place, {', '.join(INCIDENT)})"
    return f"{_insert('incident', INCIDENT, INCIDENT)}, {values} ORDER BY place"


def _controls(count: int, mark: _Marks) -> dict[str, str]:
    """Write controls under the lock of their counter, so that numbers become visible in the order they are given."""
    given = [(mark.next("text"), mark.next("text"), mark.next("int")) for _ in range(count)]
    if not given:
        return {}
    total = " + ".join(times for _, _, times in given)
    return {
        "changed": f"UPDATE meta SET value = value + {total} FROM moved WHERE key = 'controls' RETURNING value",
        **{
            f"control{n}": f"INSERT INTO control SELECT {key}, {value}, {times} FROM changed ON CONFLICT (key) "
            "DO UPDATE SET value = excluded.value, version = control.version + excluded.version"
            for n, (key, value, times) in enumerate(given)
        },
    }
