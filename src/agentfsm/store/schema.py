"""Versions of what is stored: how tables and rows of one become those of the next, and who may read which. Pure.

A release that changes the shape first *expands*: it adds, writes old and new side by side, and so stays readable by the
release before. Once that one is gone, `agentfsm migrate --contract` removes what only it needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfsm.errors import StoreError

BASE = 2
"""The version whose tables a new database begins with. Version 1 was SQLite's alone."""

Row = dict[str, Any]
Upgrade = Callable[[Row], Row]


@dataclass(frozen=True)
class Script:
    """Statements of one dialect, for one migration."""

    expand: tuple[str, ...] = ()
    contract: tuple[str, ...] = ()


@dataclass(frozen=True)
class Migration:
    """From the version before `to`. After `expand` workers of that version can go on; `contract` shuts them out."""

    to: int
    sqlite: Script = Script()
    postgres: Script = Script()


@dataclass(frozen=True)
class Schema:
    """What a worker knows: it writes rows of `version`, which workers from `readable_by` on can read.

    `migrations` lead from the tables of `BASE` to those of `version`. `upgrades[n]` turns a task row of version n, its
    JSON unpacked, into one of n + 1: pure, chained on read. `written` turns a row into the form that is stored.
    """

    version: int = BASE
    readable_by: int = BASE
    migrations: tuple[Migration, ...] = ()
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    written: Upgrade | None = None


@dataclass(frozen=True)
class SchemaState:
    """What a database holds. `layout` is the version of its tables, None where there are none yet.

    Workers of version `readable_by` and later can use it. `known` is the version of this program.
    """

    layout: int | None
    readable_by: int | None
    known: int

    @property
    def behind(self) -> bool:
        """Whether `migrate` has something to add."""
        return self.layout is None or self.layout < self.known

    @property
    def expanded(self) -> bool:
        """Whether `migrate --contract` has something to remove, once no older worker runs."""
        return self.layout == self.known and self.readable_by != self.known


@dataclass(frozen=True)
class Part:
    """One part of a migration, and where it leads."""

    script: str
    layout: int
    readable_by: int


def parts(state: SchemaState, *, contract: bool = False) -> list[Part]:
    """Return what leads from a state (whose layout is at least `BASE`) to `known`, in order.

    A version is contracted before the one after the next expands, so that at most two versions are ever served.
    """
    layout, readable_by = state.layout or BASE, state.readable_by or BASE
    todo = []
    for to in range(layout + 1, state.known + 1):
        if readable_by < to - 1:
            todo.append(Part("contract", to - 1, to - 1))
        readable_by = to - 1
        todo.append(Part("expand", to, readable_by))
    if contract and readable_by < state.known:
        todo.append(Part("contract", state.known, state.known))
    return todo


def statements(schema: Schema, dialect: str, part: Part) -> tuple[str, ...]:
    """Return the statements of a part."""
    migration = next(one for one in schema.migrations if one.to == part.layout)
    script: Script = getattr(migration, dialect)
    return script.expand if part.script == "expand" else script.contract


def check_known(name: str, state: SchemaState) -> None:
    """Raise StoreError where the tables are newer than this program can use."""
    if state.readable_by is not None and state.readable_by > state.known:
        said = f"{name} has tables of version {state.layout}, usable from version {state.readable_by} on"
        raise StoreError(
            f"{said}; this program knows {state.known}. Nothing was changed; run a newer agentfsm on it",
            code="newer_schema",
            layout=state.layout,
            known=state.known,
        )


def check_current(name: str, state: SchemaState, option: str) -> None:
    """Raise StoreError where the tables have to be migrated first, and not by the way."""
    if state.behind:
        found = "no tables yet" if state.layout is None else f"tables of version {state.layout}"
        raise StoreError(
            f"{name} has {found}; this program needs those of {state.known}. Run: agentfsm migrate {option}",
            code="old_schema",
            layout=state.layout,
            known=state.known,
        )
