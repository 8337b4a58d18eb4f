"""Failures as scenarios: files that fail today, pass when the agent is fixed, and keep watch from then on."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_agent.chaos.options import SearchOptions
from pytest_agent.chaos.result import Place
from pytest_agent.errors import UsageError
from pytest_agent.faults.schedule import Schedule
from pytest_agent.yaml_file import parse_yaml, read_yaml

_LONGEST = 100


def save_all(item: pytest.Item, found: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Write each way in which a test was `found` to break into the folder of `--chaos-save`, if there is one.

    What is said of it, by schedule: where it is, or why it could not be written.
    """
    options = SearchOptions.of(item.config)
    if options.save is None:
        return {}
    said = {}
    for way in found:
        try:
            path = save(item, way, options.save)
        except UsageError as error:
            said[way["schedule"]] = f"not saved: {error}"
        except OSError as error:
            said[way["schedule"]] = f"not saved: {options.save}: {error.strerror or error}"
        else:
            said[way["schedule"]] = f"saved as {os.path.relpath(path, item.config.invocation_params.dir)}"
    return said


def save(item: pytest.Item, way: dict[str, Any], folder: Path) -> Path:
    """Write one of them. What is there already under its name is left as it is, and another one gets another name.

    Raises OSError, and UsageError for a scenario that nothing can be added to.
    """
    place = Place.of(item)
    text = _of_scenario(item.path, way) if item.path.suffix == ".yaml" else _of_test(place.nodeid, way)
    folder.mkdir(parents=True, exist_ok=True)
    name = _name(place.nodeid, way["schedule"])
    for number in itertools.count(1):
        path = folder / f"{name if number == 1 else f'{name}-{number}'}.yaml"
        whole = f"{_heading(path, place)}{text}".encode("utf-8", "backslashreplace")
        if _write_new(path, whole):
            return path
    raise AssertionError("not reached")


def _heading(path: Path, place: Place) -> str:
    shown = os.path.relpath(path, place.root)
    seed = f" --chaos-seed {place.begun.seed}" if place.begun.seed else ""
    return (
        "# Found by the search. It fails until the agent is fixed; keep it then, it watches that it stays so.\n"
        f"# It is a test where agent_scenarios, in the file of pytest's options, names its folder:\n"
        f"#   pytest {shown}{seed}\n"
    )


def _of_test(nodeid: str, way: dict[str, Any]) -> str:
    about = "; ".join(violation["text"] for violation in way["violations"])
    return _dumped({"about": about, "test": nodeid, "under": way["schedule"]})


def _of_scenario(path: Path, way: dict[str, Any]) -> str:
    text = path.read_text(encoding="utf-8")
    about = "".join(f"#   {violation['text']}\n" for violation in way["violations"])
    whole = f"{about}{text.rstrip()}\n\n{_dumped({'under': way['schedule']})}"
    try:
        same = parse_yaml(whole, path, path.name).data == {**read_yaml(path).data, "under": way["schedule"]}
    except UsageError:
        same = False
    if not same:
        raise UsageError(f"{path.name}: no key can be added at its end; write its outermost mapping without braces")
    return whole


def _dumped(data: dict[str, str]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)


def _name(nodeid: str, schedule: str) -> str:
    path, _, test = nodeid.partition("::")
    faults = "-".join(fault.id for fault in Schedule.parse(schedule).faults)
    short = re.sub(r"[^A-Za-z0-9_]+", "-", test or Path(path).stem).strip("-")[: _LONGEST // 2]
    return f"{short}--{faults}"[:_LONGEST]


def _write_new(path: Path, whole: bytes) -> bool:
    """Write it in one step. False where another one has the name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".saved-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(whole)
        Path(temporary).chmod(0o644)
        os.link(temporary, path)
    except FileExistsError:
        return path.read_bytes() == whole
    finally:
        Path(temporary).unlink()
    return True
