"""What is read on a terminal: nothing wider than it that need not be, nothing trailing, colours when wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.canonical import canonical
from pytest_agent.chaos.result import Place
from pytest_agent.chaos.timeline import timeline
from pytest_agent.folder import Folder
from pytest_agent.report.matrix import matrix, render
from pytest_agent.report.replay import Begun, replay_line, seen_from
from pytest_agent.trace import AssertionFailed, EventDelivered, ModelRequested, StoreCommitted, ToolReplied

SUITE = """
    import pytest, agents

    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_breaks(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), agents.careless, keys=False)

    @pytest.mark.chaos(faults=["reply-lost", "insufficient-quota"])
    @pytest.mark.parametrize("n", range(4))
    def test_holds_with_a_rather_long_name(llm, sandbox, n):
        agents.run("refund", agents.stock(llm, sandbox))
"""


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    project.makepyfile(test_a=SUITE)
    result = project.runpytest("--chaos")
    lines = result.outlines[next(i for i, line in enumerate(result.outlines) if re.match("=+ chaos =+", line)) :]
    assert [line for line in lines if line != line.rstrip()] == []
    # What is to be pasted or clicked is never broken, and pytest's own lines are its own.
    pasted = ("  replay: ", "results: ", "FAILED ", "BROKEN ", "  incident: ", "  trace: ", "test_a.py::")
    assert [line for line in lines if len(line) > width and not line.startswith(pasted)] == []
    # Every test has its head, in as many tables as it takes.
    heads = [line for line in lines if re.match(r" {15,}(holds_|breaks)", line)]
    assert sorted(name for head in heads for name in head.split()) == [
        "breaks",
        *(f"holds_with_a_rather_long_name[{n}]" for n in range(4)),
    ]
    assert len(heads) == 1 if width == 200 else len(heads) >= 3
    assert sum(line.startswith("reply-lost ") for line in lines) == len(heads)


def test_colours_only_when_wanted(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SUITE)
    assert "\x1b" not in project.runpytest("--chaos", "-k", "0").stdout.str()
    text = project.runpytest("--chaos", "--color=yes", "-k", "breaks or 0").stdout.str()
    assert re.search("\x1b\\[31m\x1b\\[1mFAILED I1 2/2\x1b\\[0m", text)
    assert re.search("\x1b\\[32msurvived 1/1\x1b\\[0m", text)
    assert re.search("\x1b\\[33mdegraded \\d/\\d\x1b\\[0m", text)


def test_quiet_twice_is_quiet(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SUITE)
    project.runpytest("--chaos", "-q", "-k", "holds").stdout.fnmatch_lines(["*= chaos =*"])
    result = project.runpytest("--chaos", "-qq", "-k", "holds")
    result.stdout.no_fnmatch_line("*chaos*")
    assert len(result.outlines) < 4


def test_long_evidence_is_shortened(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest, agents

        @pytest.mark.chaos(faults="insufficient-quota")
        def test_stubborn(llm, sandbox):
            llm.says("Hello.")
            for _ in range(30):
                try:
                    agents.careful([{"role": "user", "content": "hello"}])
                    break
                except agents.Refused:
                    pass
        """
    )
    result = project.runpytest("--chaos")
    result.stdout.fnmatch_lines(["  I6 retry by class: *", "      … 23 more …", "  what happened:", "* more …"])


def result_of(test: str, **words: str) -> dict[str, Any]:
    """A result with one run for each fault."""
    runs = [
        {"faults": [fault.replace("_", "-")], "verdict": word, "violations": [{"id": "I1"}] if word == "FAILED" else []}
        for fault, word in words.items()
        if word != "none"
    ]
    return {"test": test, "runs": runs, "not_applied": [f.replace("_", "-") for f, w in words.items() if w == "none"]}


def test_cells_of_the_matrix() -> None:
    results = [
        result_of("a.py::test_one", cut="survived", lost="FAILED"),
        result_of("a.py::test_two", cut="none"),
        result_of("b.py::test_two", lost="not judged"),
    ]
    results[0]["runs"] += result_of("", cut="degraded", lost="survived")["runs"]
    heads, rows = matrix(results)
    # Two tests of one name are told apart by their files.
    assert heads == ["one", "a.py::test_two", "b.py::test_two"]
    assert {fault: [cell.text for cell in row] for fault, row in rows.items()} == {
        "cut": ["degraded 1/2", "not applied", "-"],
        "lost": ["FAILED I1 1/2", "-", "not judged 1/1"],
    }


def test_what_a_failure_was_shrunk_from_and_how_many_faults_the_runs_had(project: pytest.Pytester) -> None:
    folder = Folder.claim(project.path / ".pytest_agent", "s", fresh_results=True)
    schedule = "reply-lost@tool:refund#1"
    failure: dict[str, Any] = {
        "schedule": schedule,
        "shrunk_from": 3,
        "fewest": ["reply-lost at tool:refund#1"],
        "violations": [],
        "ids": ["I1"],
        "confirmed": None,
        "titles": [],
        "correct": [],
        "incident": [],
        "timeline": [],
        "also_at": [],
        "known": None,
        "trace": folder.write_failure("a.py::b", schedule, [b"{}\n"]),
    }
    runs = [{"faults": ["f"] * n, "verdict": "survived", "violations": []} for n in (1, 1, 2, 3, 5)]
    result = {
        "test": "a.py::b",
        "seed": 0,
        "runs": runs,
        "failures": [failure],
        "not_applied": [],
        "coverage": None,
        "cut": "",
        "not_deterministic": None,
        "known": [],
        "shard": None,
        "expect_failure": None,
        "complete": True,
        "passed": False,
    }
    folder.append_result(result)
    assert (folder.path / failure["trace"]).read_bytes() == b"{}\n"
    project.makeconftest(
        f"""
        import pathlib
        from pytest_agent.folder import folder_of

        def pytest_sessionstart(session):
            folder = folder_of(session.config)
            folder.append_result({result!r})
        """
    )
    folder.release()
    project.makepyfile(test_a="def test_a(): pass")
    out = project.runpytest("--chaos")
    out.stdout.fnmatch_lines(
        [
            "several at once * survived 3/3",
            "  fewest faults: reply-lost at tool:refund#1 (shrunk from 3)",
            f"  trace: .pytest_agent/{failure['trace']}",
            "a.py::b: held in all 5 runs (2 of one fault, 1 of two, 2 of more)",
        ]
    )


def test_a_matrix_wider_than_the_terminal_is_several() -> None:
    results = [result_of(f"a.py::test_{n:02}_{'x' * 12}", lost="survived") for n in range(10)]
    for width in (40, 80, 120):
        lines = ["".join(text for text, _ in line) for line in render(results, width)]
        assert max(map(len, lines)) <= width
        assert sum(line.count("survived") for line in lines) == 10
        assert all(line == line.rstrip() for line in lines)
    # A fault that nobody in a table was run under has no row in it.
    results[9]["runs"] += result_of("", cut="FAILED")["runs"]
    lines = ["".join(text for text, _ in line) for line in render(results, 80)]
    assert sum(line.startswith("lost") for line in lines) > 1
    assert [line.split()[-3:] for line in lines if line.startswith("cut")] == [["FAILED", "I1", "1/1"]]
    (head, _) = render([result_of("a.py::test_" + "y" * 300, lost="survived")], 80)
    assert "".join(text for text, _ in head).endswith("y…")


def test_ids_are_in_the_order_of_their_numbers() -> None:
    result = result_of("a.py::test_one", cut="FAILED")
    result["runs"][0]["violations"] = [{"id": id_} for id_ in ("I10", "network", "I9", "I1", "assertion", "I1")]
    (cell,) = matrix([result])[1]["cut"]
    assert cell.text == "FAILED I1 I9 I10 assertion network 1/1"


def test_nothing_to_show() -> None:
    assert render([], 80) == []
    assert [line for line in render([{"test": "a::b", "runs": [], "not_applied": []}], 80) if not line] == []


def test_lines_of_a_timeline() -> None:
    events = [
        ModelRequested(
            site="llm#1", call=1, attempt=1, model="m", stream=True, messages=[{}], body_sha256="", seq=1, t_s=0.5
        ),
        StoreCommitted(site="store:commit#1.before", label="intent"),
        StoreCommitted(site="store:commit#1.after", label="intent"),
        ToolReplied(site="tool:a#1", tool="a", status="ok", detail="long " * 60),
        EventDelivered(site="event:paid#1", source="bank", event_id="e1", event="paid"),
        AssertionFailed(detail=""),
        AssertionFailed(detail="first\nsecond"),
    ]
    lines = timeline(events, lambda text: text.replace("intent", "wish"))
    assert lines[0] == "    0.50 s  llm#1  asked, 1 message(s)"
    assert lines[1] == "    0.00 s  store:commit#1  wish"
    assert len(lines[2]) == 160
    assert lines[2].endswith("…")
    assert lines[3] == "    0.00 s  event:paid#1  paid bank/e1 acknowledged"
    assert [line.rstrip() for line in lines[4:]] == ["    0.00 s  test:", "    0.00 s  test: first"]
    many = timeline([*events[:1]] * 100)
    assert len(many) == 25
    assert many[12].strip() == "… 76 more …"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<A object at 0x7f5a2310cf10>", "<A object at 0x…>"),
        ("Task-2517 waits at ROOT/src/a.py:78", "Task waits at src/a.py:78"),
        ("in ROOT", "in ."),
        ("ROOT/.venv/lib/python3.11/site-packages/httpx/_a.py:3", "site-packages/httpx/_a.py:3"),
        ("/usr/lib/python3.11/asyncio/x.py", "lib/python3.11/asyncio/x.py"),
        ("no such file: 'TEMP/pytest-agent-k3j/tasks.db'", "no such file: 'TMP'"),
        ("refused by 127.0.0.1:43121, localhost:8080", "refused by 127.0.0.1:PORT, localhost:PORT"),
        ("worker pid 4242 of 7", "worker pid N of 7"),
        ("HOME/notes.txt is gone", "HOME is gone"),
        ("order 0x12 at 10:30, 3/4 done, a/b", "order 0x12 at 10:30, 3/4 done, a/b"),
        ("https://example.com/lib/python3 and ORDER-7", "https://example.com/lib/python3 and ORDER-7"),
    ],
)
def test_what_is_of_this_machine_only_is_taken_out(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"ROOT": "/srv/project", "TEMP": "/scratch/x", "HOME/": "/home/me/"}
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("tempfile.tempdir", "/scratch/x")
    for name, path in places.items():
        text = text.replace(name, path)
    assert canonical({"a": [text, 1, None]}, Path("/srv/project")) == {"a": [expected, 1, None]}


def test_the_temporary_folders_of_a_session_are_taken_out() -> None:
    place = Place("a.py::b", Path("/srv"), Begun(), temporary=Path("/srv/tmp/session-3"))
    assert place.plain("/srv/tmp/session-3/test_a0/db and /srv/a.py") == "TMP and a.py"


def test_replay_lines() -> None:
    assert replay_line("a.py::test_x[it's]", "f(a=1)@llm#1", Begun(seed=3, options="o.ini")) == (
        """pytest 'a.py::test_x[it'"'"'s]' --chaos-replay 'f(a=1)@llm#1' --chaos-seed 3 -c o.ini"""
    )
    assert seen_from(Path("/r/deep/er"), Path("/r"), "a/b.py::C::d[x/y]") == "../../a/b.py::C::d[x/y]"
    assert seen_from(Path("/r"), Path("/r"), "a/b.py::d") == "a/b.py::d"
