"""Errors, back-off, and what the package may import."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentfsm
from agentfsm import Commit, State, errors
from agentfsm.errors import DefinitionError
from agentfsm.records import Step, Task
from agentfsm.recovery import Deadline, Retry

ROOT = Path(agentfsm.__file__).parent
ERRORS = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.AgentError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_its_facts(kind):
    error = kind("said", code="mine", key="r1:1")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(back), str(back), back.code) == (kind, "said", "mine")
    assert back.fields == error.fields
    assert back.fields["key"] == "r1:1"


def test_a_model_error_keeps_its_class_and_its_pause():
    error = errors.IncompleteTurn("x", transient=True, retry_after_s=2.0)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (back.transient, back.retry_after_s, back.code) == (True, 2.0, "incomplete_turn")


def test_codes_are_stable_and_unique():
    codes = [kind.default_code for kind in ERRORS]
    assert sorted(codes) == sorted(set(codes))


class Still:
    def monotonic(self):
        return 100.0


@given(
    attempt=st.integers(1, 8),
    retry_after=st.none() | st.floats(0, 100),
    left=st.floats(0, 60),
    key=st.text(max_size=5),
)
def test_a_pause_respects_the_provider_the_cap_and_the_deadline(attempt, retry_after, left, key):
    retry = Retry(seed=3)
    deadline = Deadline.after(Still(), left)
    pause = retry.pause(key, attempt, retry_after, deadline)
    assert pause == Retry(seed=3).pause(key, attempt, retry_after, deadline)
    if pause is None:
        return
    assert attempt < retry.attempts
    assert (retry_after or 0) <= pause < deadline.remaining()
    assert pause <= (retry_after or 0) + retry.cap_s


def test_workers_that_fail_together_do_not_come_back_together():
    deadline = Deadline.after(Still(), 60)
    pauses = [Retry().pause(f"r{i}:1", 1, 10.0, deadline) for i in range(20)]
    assert len(set(pauses)) == 20
    assert max(pauses) - min(pauses) > 0.3


def test_a_deadline_is_carried_down_and_never_extended():
    outer = Deadline.after(Still(), 5)
    assert outer.within(30).remaining() == 5
    assert outer.within(1).remaining() == 1
    assert Deadline.after(Still(), -1).passed


def test_the_door_is_sorted_and_small():
    assert agentfsm.__all__ == sorted(agentfsm.__all__)
    assert len(agentfsm.__all__) <= 40
    assert all(hasattr(agentfsm, name) for name in agentfsm.__all__)


EXTRAS = {"yaml": {"config", "prices.py", "prompts.py"}, "asyncpg": {"store"}}
"""Who may import what beyond pydantic and httpx."""


def test_the_runtime_needs_only_the_standard_library_pydantic_and_httpx():
    allowed = set(sys.stdlib_module_names) | {"pydantic", "pydantic_core", "httpx", "agentfsm"}
    found = set()
    for path in ROOT.rglob("*.py"):
        place = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {(alias.name.split(".")[0], place) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(((node.module or "").split(".")[0], place))
    assert {
        (name, place) for name, place in found if name not in allowed and place not in EXTRAS.get(name, ())
    } == set()


def test_importing_the_runtime_loads_no_yaml_no_command_line_and_no_database_driver():
    code = "import agentfsm, sys; print(sorted({'yaml', 'argparse', 'asyncpg', 'pytest'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_file_is_small():
    assert {p.name: n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 200} == {}


def test_a_commit_writes_steps_of_its_own_task_alone():
    task = Task("r1", "t", "w@1", State.PLANNING, "S", 1.0)
    other = Step("r2", 1, 1, "tool", "h", 1.0)
    with pytest.raises(DefinitionError, match="'r2'"):
        Commit("x", task, 1.0, finished=(other,))
    with pytest.raises(DefinitionError, match="'r2'"):
        Commit("x", task, 1.0, inserted=(other,))
