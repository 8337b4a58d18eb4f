"""Events on disk: one line each, whatever is in them, there at once and readable again."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agent import trace as module
from pytest_agent.trace import (
    AgentEvent,
    AgentStarted,
    Event,
    ModelReplied,
    OutcomeClaimed,
    Trace,
    TraceFile,
    Unanswered,
    dump_line,
    load_line,
    plain,
    safe_repr,
)

KINDS = sorted(module._KINDS)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BY_TYPE = {
    "str": st.text(),
    "int": st.integers(-(10**9), 10**9),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "dict[str, Any]": st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    "list[dict[str, Any]]": st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=2), max_size=2),
    "list[str]": st.lists(st.text(), max_size=3),
    "str | None": st.none() | st.text(),
    "int | None": st.none() | st.integers(),
}


class Still:
    elapsed_s = 1.23456789


@st.composite
def events(draw):
    kind = module._KINDS[draw(st.sampled_from(KINDS))]
    return kind(**{field.name: draw(BY_TYPE[str(field.type)]) for field in dataclasses.fields(kind)})


@given(events())
def test_every_event_is_read_back(event):
    line = dump_line(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load_line(line) == event
    assert load_line(line.decode()) == event


def test_every_kind_has_its_own_name():
    # `slots=True` makes every class anew, so that each is there twice.
    assert len(KINDS) == len({kind.__name__ for kind in Event.__subclasses__()}) >= 16
    assert {name: kind.kind for name, kind in module._KINDS.items()} == {name: name for name in KINDS}


class Odd:
    def __repr__(self):
        raise RuntimeError("no")


CYCLE: list = []
CYCLE.append(CYCLE)
DEEP: list = []
for _ in range(5_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (object(), "<object object>"),
        (Odd(), "<Odd, whose repr raised RuntimeError>"),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ({1: 2, None: 3}, {"1": 2, "null": 3}),
        ({3, 1, 2}, ["1", "2", "3"]),
        ((1, 2), [1, 2]),
        (b"\xff", "b'\\xff'"),
        (float("nan"), "nan"),
        ([float("-inf")], ["-inf"]),
        pytest.param(10**5000, hex(10**5000), id="long"),
        ("\udc80 \ud83d", "\udc80 \ud83d"),
        ({"\udc80": 1}, {"\udc80": 1}),
        ("\u2028\x00\x85", "\u2028\x00\x85"),
    ],
)
def test_what_json_cannot_say(value, read):
    line = dump_line(AgentEvent(data={"value": value}))
    assert line.count(b"\n") == 1
    json.loads(line, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    got = load_line(line).data["value"]
    # A set alone goes through `repr`; inside what JSON cannot say otherwise it is a sorted list.
    assert got in (read, repr(value)) if isinstance(value, set) else got == read


@pytest.mark.parametrize("value", [CYCLE, DEEP])
def test_what_has_no_end(value):
    line = dump_line(AgentEvent(data={"value": value}))
    assert "…" in load_line(line).data["value"].__repr__()


def test_plain_shares_nothing():
    inner = {"items": [1]}
    copied = plain({"inner": inner})
    inner["items"].append(2)
    assert copied == {"inner": {"items": [1]}}


def test_a_repr_is_the_same_in_every_process():
    class Thing:
        pass

    assert " at 0x" not in safe_repr([Thing(), test_plain_shares_nothing])
    assert "Thing" in safe_repr(Thing())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "expected a line of JSON"),
        ("{", "expected a line of JSON"),
        (b"\xff\xfe{", "expected a line of JSON"),
        ("[" * 100_000, "expected a line of JSON"),
        ("[]", "expected an object whose 'kind' is one of agent_event, "),
        ("7", "expected an object whose 'kind'"),
        ("{}", "expected an object whose 'kind'"),
        ('{"kind": "meeting"}', "expected an object whose 'kind'"),
        ('{"kind": ["agent_event"]}', "expected an object whose 'kind'"),
        ('{"kind": "agent_event"}', "a 'agent_event' event with the wrong fields: "),
        ('{"kind": "agent_event", "data": {}, "more": 1}', "wrong fields"),
    ],
)
def test_lines_that_are_no_event(line, said):
    with pytest.raises(ValueError, match=said.replace("'", ".")) as caught:
        load_line(line)
    assert len(str(caught.value)) < 600


def test_numbers_and_times():
    trace = Trace(Still())
    for _ in range(3):
        trace.append(Unanswered(detail="x"))
    trace.append(AgentStarted(life=1, description={}))
    assert [event.seq for event in trace.events] == [1, 2, 3, 4]
    assert {event.t_s for event in trace.events} == {1.234568}
    assert len(list(trace.of(Unanswered))) == 3


def test_one_event_is_kept_once():
    trace = Trace(Still())
    event = Unanswered(detail="x")
    trace.append(event)
    with pytest.raises(ValueError, match=r"event 1 .* appended once more: .*detail='x'.*; make a new one"):
        trace.append(event)
    assert len(trace.events) == 1


def test_numbers_from_many_threads_are_gap_free_and_in_the_order_of_the_file(tmp_path):
    with TraceFile(tmp_path / "trace.jsonl") as file:
        trace = Trace(Still(), file)
        go = threading.Barrier(8)

        def work():
            go.wait()
            for _ in range(100):
                trace.append(Unanswered(detail="x"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.seq for event in trace.events] == list(range(1, 801))
    assert [load_line(line).seq for line in file.path.read_bytes().splitlines()] == list(range(1, 801))


def test_one_event_is_one_write(tmp_path, monkeypatch):
    written = []
    real = os.write
    with TraceFile(tmp_path / "deep" / "down" / "trace.jsonl") as file:
        monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or real(fd, data))
        trace = Trace(Still(), file)
        trace.append(Unanswered(detail="x" * 100_000))
        trace.append(Unanswered(detail="y"))
    assert len(written) == 2
    assert file.path.read_bytes() == b"".join(written)


def test_a_closed_file_takes_no_more_and_a_new_one_starts_afresh(tmp_path):
    file = TraceFile(tmp_path / "trace.jsonl")
    file.write(Unanswered(detail="x"))
    file.close()
    file.close()
    file.write(Unanswered(detail="y"))
    assert len(file.path.read_bytes().splitlines()) == 1
    TraceFile(file.path).close()
    assert file.path.read_bytes() == b""


def test_a_killed_process_loses_nothing(tmp_path):
    path = tmp_path / "trace.jsonl"
    program = f"""
        import os, signal
        from pathlib import Path
        from pytest_agent.trace import Trace, TraceFile, Unanswered
        class Still: elapsed_s = 0.0
        trace = Trace(Still(), TraceFile(Path({str(path)!r})))
        for n in range(500):
            trace.append(Unanswered(detail=str(n)))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert [load_line(line).detail for line in path.read_bytes().splitlines()] == [str(n) for n in range(500)]


def test_events_cannot_be_changed():
    claim = OutcomeClaimed(outcome="success", cause=None, detail="", errors=[], crash=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.outcome = "failed"
    assert ModelReplied.kind == "model_replied"
