"""Layers: an environment and what it extends, merged. The nearest file wins; mappings are merged, lists replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentfsm.config.yaml_file import Lines, Place, YamlFile, read_yaml
from agentfsm.errors import did_you_mean

SHIPPED = Path(__file__).resolve().parents[1] / "environments"
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}")


@dataclass
class Merged:
    """The data of all layers, where each value comes from, and what is wrong with the files themselves."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def where(self, place: Place) -> str:
        """`file:line` of a value, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, f"{self.files[0]}:1" if self.files else "environment")


def names(folder: Path | None) -> list[str]:
    """Return the environments there are: those in `folder`, and those that are shipped."""
    return sorted({path.stem for place in _places(folder) for path in place.glob("*.yaml")})


def merge(name: str, folder: Path | None) -> Merged:
    """Read an environment and everything it extends.

    A name is looked for in `folder`, then among the shipped ones. A file that extends its own name builds on the
    shipped environment of that name.
    """
    made = Merged()
    chain: list[Path] = []
    said = "environment"
    wanted: str | None = name
    layers: list[YamlFile] = []
    while wanted is not None:
        paths = [place / f"{wanted}.yaml" for place in _places(folder)] if _NAME.fullmatch(wanted) else []
        found = [path for path in paths if path.is_file()]
        if chain and chain[-1] in found:
            found.remove(chain[-1])
        if not found or found[0] in chain:
            known = [known for known in names(folder) if known != wanted or found]
            way = " -> ".join([*(path.stem for path in chain), wanted])
            what = f"extends itself: {way}; cut the circle" if found else f"unknown environment {wanted!r}."
            made.faults.append(f"{said}: {what}{'' if found else did_you_mean(wanted, known)}")
            break
        chain.append(found[0])
        layer = read_yaml(found[0], _shown(found[0]))
        layers.append(layer)
        made.faults += layer.faults
        wanted = layer.data.pop("extends", None)
        said = f"{layer.lines.get(('extends',), layer.shown)} extends"
        if wanted is not None and not isinstance(wanted, str):
            made.faults.append(f"{said}: found {wanted!r}, expected the name of an environment, such as base")
            break
    made.files = [layer.shown for layer in layers]
    for layer in reversed(layers):
        made.data = _over(made.data, layer.data, made.lines, layer.lines, ())
    return made


def _places(folder: Path | None) -> list[Path]:
    return [SHIPPED] if folder is None else [folder, SHIPPED]


def _shown(path: Path) -> str:
    return f"agentfsm/environments/{path.name}" if path.parent == SHIPPED else str(path)


def _over(below: Any, above: Any, lines: Lines, new: Lines, place: Place) -> Any:
    """Lay one value over another; the lines follow what is kept."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        if place in new:
            lines[place] = new[place]
        return {
            key: _over(below.get(key), above[key], lines, new, (*place, key)) if key in above else below[key]
            for key in [*below, *(key for key in above if key not in below)]
        }
    for old in [known for known in lines if known[: len(place)] == place]:
        del lines[old]
    lines.update({known: where for known, where in new.items() if known[: len(place)] == place})
    return above
