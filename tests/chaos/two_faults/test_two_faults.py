"""What no single fault shows: twelve agents that break under two, found, shrunk to two, and replayed."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAIRS = Path(__file__).with_name("pairs.py")
NAMES = [node.name for node in ast.parse(PAIRS.read_text()).body if isinstance(node, ast.AsyncFunctionDef)]
BODY = """
import pytest, pairs

@pytest.mark.chaos(faults=pairs.FAULTS["{name}"])
@pytest.mark.parametrize("broken", [True, False], ids=["broken", "correct"])
async def test_it(llm, sandbox, run_agent, broken):
    await pairs.{name}(llm, sandbox, run_agent, broken)
"""


def test_there_are_twelve() -> None:
    assert len(NAMES) == 12


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_shrunk_to_two_and_replayed(
    project: pytest.Pytester, results: Callable[[], dict[str, dict[str, Any]]], name: str
) -> None:
    (project.path / "pairs.py").write_text(PAIRS.read_text())
    project.makepyfile(test_it=BODY.replace("{name}", name))
    result = project.runpytest("--chaos", "--chaos-level", "full")
    result.assert_outcomes(failed=1, passed=1)
    found = results()
    broken, correct = found["test_it[broken]"], found["test_it[correct]"]
    assert correct["failures"] == []
    assert correct["cut"] == broken["cut"] == ""
    single = [run for run in broken["runs"] if ";" not in run["schedule"]]
    assert single
    assert not [run for run in single if run["verdict"] == "FAILED"]
    assert broken["failures"]
    assert {len(failure["fewest"]) for failure in broken["failures"]} == {2}
    for failure in broken["failures"][:1]:
        again = project.runpytest("-k", "broken", "--chaos-replay", failure["schedule"])
        again.assert_outcomes(failed=1, deselected=1)
        again.stdout.fnmatch_lines([f"*{_literally(failure['violations'][0]['text'])}*"])


def _literally(text: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", text)
