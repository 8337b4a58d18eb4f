"""The catalogue: every known fault as data, from `faults/<layer>/*.yaml`."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_agent.data_root import data_root
from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.faults.effect import Effect
from pytest_agent.faults.effects import EFFECTS
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.seams import Armed
from pytest_agent.problems import say_problem
from pytest_agent.yaml_file import Place, YamlFile, read_yaml

Layer = Literal["transport", "content", "tool", "orchestration", "deploy"]
InvariantId = Annotated[str, Field(pattern=r"^I([1-9]|1[0-9]|20)$")]
Slug = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")


class ControlEntry(BaseModel):
    """The harmless twin of a fault: it looks like it and must not be over-reacted to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Slug
    title: str
    effect: dict[str, Any]


class FaultEntry(BaseModel):
    """One fault: what it is, how it acts, what is right, and who met it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Slug
    layer: Layer
    title: str
    looks_like: str
    effect: dict[str, Any]
    sweep: tuple[str, ...] = ()
    kind: Literal["transient", "permanent", "in_doubt", "invalid", "crash"] = Field(alias="class")
    invariants: tuple[InvariantId, ...] = Field(min_length=1)
    allows: tuple[str, ...] = ()
    correct: str
    severity: Literal["low", "medium", "high", "critical"]
    evidence: tuple[str, ...] = Field(min_length=1)
    control: ControlEntry


@dataclass(frozen=True, slots=True)
class Named:
    """What a name in a schedule stands for: a fault, or the control of one."""

    id: str
    title: str
    entry: FaultEntry
    effect: Effect
    is_control: bool


class Catalogue:
    """All faults and controls by name."""

    def __init__(self, named: Iterable[Named]) -> None:
        self._named = {item.id: item for item in sorted(named, key=lambda item: item.id)}

    def __iter__(self) -> Iterator[Named]:
        return iter(self._named.values())

    def __getitem__(self, id_: str) -> Named:
        """The fault or control of this name. Raises UsageError with the nearest names."""
        if id_ not in self._named:
            raise UsageError(f"unknown fault {id_!r}.{did_you_mean(id_, self._named)}")
        return self._named[id_]

    def arm(self, schedule: Schedule) -> tuple[Armed, ...]:
        """The effects of a schedule. Raises UsageError for an unknown fault, a bad parameter or a wrong seam."""
        return tuple(Armed(fault, self._effect(fault)) for fault in schedule.faults)

    def select(self, patterns: str | Iterable[str]) -> list[Named]:
        """The faults, each followed by its control, that fit `id` or `layer.id` globs such as `tool.*`.

        Raises UsageError for a pattern that fits nothing.
        """
        chosen: dict[str, Named] = {}
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for part in (piece.strip() for piece in pattern.split(",")):
                found = [item for item in self if not item.is_control and _fits(item.entry, part)]
                if not found:
                    names = [
                        name for item in self if not item.is_control for name in (item.id, f"{item.entry.layer}.*")
                    ]
                    raise UsageError(f"no fault fits {part!r}.{did_you_mean(part, set(names))}")
                for item in found:
                    chosen[item.id] = item
                    chosen[item.entry.control.id] = self[item.entry.control.id]
        return list(chosen.values())

    def _effect(self, fault: Fault) -> Effect:
        effect = self[fault.id].effect
        seam = "process" if fault.site.process else fault.site.seam
        if seam != effect.seam:
            raise UsageError(f"{fault}: {fault.id} acts at {effect.seam} sites, not at {seam}; change the site")
        try:
            return effect.with_params(**dict(fault.params))
        except ValidationError as error:
            problem = error.errors()[0]
            key = str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] == "extra_forbidden":
                known = sorted(type(effect).model_fields)
                raise UsageError(f"{fault}: unknown parameter {key!r}.{did_you_mean(key, known)}") from None
            raise UsageError(f"{fault}: {key}: {say_problem(problem)}") from None


def load_catalogue(*folders: Path) -> Catalogue:
    """The shipped faults and those of further folders. Raises UsageError naming file, line and edit."""
    return _load((data_root("faults"), *folders))


@functools.cache
def _load(folders: tuple[Path, ...]) -> Catalogue:
    seen: dict[str, str] = {}
    named: list[Named] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: there is no such folder of faults")
        for path in sorted(folder.glob("**/*.yaml")):
            file = read_yaml(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            for item, place in _read_entry(file):
                if item.id in seen:
                    raise file.error(place, f"{item.id!r} is defined in {seen[item.id]} already; give it another id")
                seen[item.id] = file.where(place)
                named.append(item)
    return Catalogue(named)


def _read_entry(file: YamlFile) -> Iterator[tuple[Named, Place]]:
    entry = file.validate(FaultEntry)
    if entry.id != file.path.stem:
        raise file.error(("id",), f"{entry.id!r} is not the name of the file; rename one of them")
    effect = _effect(file, ("effect",), entry.effect)
    for index, name in enumerate(entry.sweep):
        if name not in type(effect).model_fields:
            known = did_you_mean(name, type(effect).model_fields)
            raise file.error(("sweep", index), f"effect {effect.name!r} has no parameter {name!r}.{known}")
    yield Named(entry.id, entry.title, entry, effect, is_control=False), ("id",)
    twin = _effect(file, ("control", "effect"), entry.control.effect)
    yield Named(entry.control.id, entry.control.title, entry, twin, is_control=True), ("control", "id")


def _effect(file: YamlFile, place: Place, data: dict[str, Any]) -> Effect:
    name = data.get("name")
    if name is None:
        raise file.error(place, f"key 'name' is missing; add the effect.{did_you_mean('', EFFECTS)}")
    if not isinstance(name, str) or name not in EFFECTS:
        raise file.error((*place, "name"), f"unknown effect {name!r}.{did_you_mean(str(name), EFFECTS)}")
    kind = EFFECTS[name]
    try:
        return kind.model_validate({key: value for key, value in data.items() if key != "name"})
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            message = f"effect {name!r} has no parameter {key!r}.{did_you_mean(key, kind.model_fields)}"
        elif problem["type"] == "missing":
            message = f"effect {name!r} needs the parameter {key!r}; add it"
        else:
            message = say_problem(problem)
        raise file.error((*place, key), message) from None


def _fits(entry: FaultEntry, pattern: str) -> bool:
    return fnmatch.fnmatchcase(entry.id, pattern) or fnmatch.fnmatchcase(f"{entry.layer}.{entry.id}", pattern)
