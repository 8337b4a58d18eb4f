"""results.json: the same bytes for one seed, whatever the order, the workers, the folder and the machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agent.folder import Folder

Fresh = Callable[..., pytest.RunResult]
WITH_XDIST = ("pytest_agent.plugin", "xdist")

SUITE = """
    import asyncio, os, random, tempfile, threading
    import pytest, agents

    class Answer:
        pass

    @pytest.mark.chaos(faults=["reply-lost", "insufficient-quota"])
    @pytest.mark.parametrize("n", range(3))
    def test_breaks(llm, sandbox, n):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)

    # What it says differs from one process to the next in every way it can.
    @pytest.mark.chaos(faults="reply-lost")
    async def test_talks(llm, sandbox, clock, run_agent, tmp_path):
        def agent():
            agents.run("refund", agents.stock(llm, sandbox))
            return Answer()
        run_agent(agent)
        task = asyncio.current_task()
        words = f"{random.random()} {task.get_name()} {Answer()} {sandbox.folder} {tmp_path} "
        words += f"pid {os.getpid()} 127.0.0.1:{os.getpid() % 50000 + 10000} {__file__} {os.__file__} {pytest.__file__}"
        assert clock.elapsed_s < 20, words

    @pytest.mark.chaos(faults="stream-stall")
    async def test_hangs(llm, sandbox):
        llm.says("Hello.")
        async with agents.httpx.AsyncClient(timeout=None, verify=False) as client:
            await client.post(agents.URL, json=agents.body_of([{"role": "user", "content": "x"}]))

    @pytest.mark.xdist_group("mine")
    @pytest.mark.chaos(expect_failure="no key", faults="reply-lost")
    def test_expected(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), keys=False)
"""
REVERSED = """
    def pytest_collection_modifyitems(items):
        items.reverse()
"""


def bytes_of(project: pytest.Pytester, folder: str = ".pytest_agent") -> bytes:
    return (project.path / folder / "results.json").read_bytes()


def test_the_same_bytes(project: pytest.Pytester, fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile(test_a=SUITE, test_b=SUITE.replace("range(3)", "range(1)"))
    fresh("--chaos").assert_outcomes(failed=8, xfailed=2)
    first = bytes_of(project)
    assert len(json.loads(first)["tests"]) == 10

    project.makeconftest(REVERSED)
    fresh("--chaos")
    assert bytes_of(project) == first, "in reverse order"
    fresh("--chaos", "-p", "pytest_randomly", plugins=("pytest_agent.plugin", "pytest_randomly"))
    assert bytes_of(project) == first, "in random order, with another seed of pytest-randomly"
    fresh("--chaos", "--chaos-seed", "1")
    assert bytes_of(project) != first, "with another seed"

    (project.path / "deep").mkdir()
    monkeypatch.chdir(project.path / "deep")
    fresh("-c", "../fresh.ini", "--rootdir", "..", "--chaos", "..", "-n", "2", "--dist=loadgroup", plugins=WITH_XDIST)
    assert bytes_of(project) == first, "from another folder, with workers"


def test_what_is_in_it(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SUITE)
    project.runpytest("--chaos")
    text = bytes_of(project).decode()
    assert str(project.path) not in text
    assert str(Path.home()) not in text.replace(str(project.path), "")
    assert str(os.getpid()) not in re.sub(r"[0-9a-f]{16,}|0\.\d+", "", text)
    assert not re.search(r"0x[0-9a-f]{6,}|/tmp/|site-packages/\.\./|\b20\d\d-\d\d-\d\d", text)
    data = json.loads(text)
    assert text == json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    beside = json.loads((project.path / ".pytest_agent" / "run.json").read_text())
    assert "--chaos" in beside["argv"]
    assert (project.path / ".pytest_agent" / ".gitignore").read_text() == "*\n"


def test_results_are_appended_as_tests_finish(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a="""
        import json, pathlib
        import pytest, agents

        LINES = pathlib.Path(__file__).parent / ".pytest_agent" / "results.jsonl"

        @pytest.mark.chaos(faults="reply-lost")
        @pytest.mark.parametrize("n", range(3))
        def test_one(llm, sandbox, n):
            assert len(LINES.read_bytes().splitlines()) in (n, n + 1)
            agents.run("refund", agents.stock(llm, sandbox))

        def test_after():
            names = [json.loads(line)["test"] for line in LINES.read_bytes().splitlines()]
            assert names == [f"test_a.py::test_one[{n}]" for n in range(3)]
        """
    )
    project.runpytest("--chaos").assert_outcomes(passed=4)


def test_a_session_without_chaos_keeps_the_last_results(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=SUITE)
    project.runpytest("--chaos", "-k", "expected")
    folder = project.path / ".pytest_agent"
    before = [(folder / name).read_bytes() for name in ("results.json", "run.json")]
    project.runpytest("-k", "expected or talks").assert_outcomes(passed=2, deselected=4)
    assert [(folder / name).read_bytes() for name in ("results.json", "run.json")] == before
    assert (project.path / ".pytest_agent" / "results.jsonl").read_bytes()


def test_a_worker_that_dies_loses_nothing(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        test_a="""
        import os
        import pytest, agents

        @pytest.mark.chaos(faults="reply-lost")
        @pytest.mark.parametrize("n", range(6))
        def test_one(llm, sandbox, n):
            agents.run("refund", agents.stock(llm, sandbox))

        @pytest.mark.chaos(faults="reply-lost")
        @pytest.mark.parametrize("when", ["in the search", "at the end"])
        def test_dies(llm, sandbox, clock, when):
            RUNS.append(1)
            agents.run("refund", agents.stock(llm, sandbox))
            if len(RUNS) == 3 and when == "in the search" or len(RUNS) == 7:
                os._exit(3)

        RUNS = []
        """
    )
    # Both workers die, each in the middle of its tests.
    result = fresh("--chaos", "-n", "2", plugins=WITH_XDIST)
    result.stdout.fnmatch_lines(["*worker 'gw?' crashed while running 'test_a.py::test_dies*"])
    found = [entry["test"] for entry in json.loads(bytes_of(project))["tests"]]
    assert [name for name in found if "test_one" in name] == [f"test_a.py::test_one[{n}]" for n in range(6)]
    # The search was over when it died: what was found is there.
    assert "test_a.py::test_dies[at the end]" in found
    assert not (project.path / ".pytest_agent-2").exists()


def test_two_sessions_at_once(project: pytest.Pytester, fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile(
        test_a="""
        import os, subprocess, sys
        import pytest, agents

        @pytest.mark.chaos(faults="reply-lost")
        def test_outer(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox))

        def test_other_session():
            if "INNER" not in os.environ:
                more = os.environ["INNER_OPTIONS"].split()
                command = [sys.executable, "-m", "pytest", *OPTIONS, "test_a.py", "-k", "test_inner", *more]
                subprocess.run(command, env={**os.environ, "INNER": "1"}, check=True)

        @pytest.mark.chaos(faults="insufficient-quota")
        def test_inner(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox))

        OPTIONS = "-p pytest_agent.plugin -p xdist -c fresh.ini --rootdir . --chaos".split()
        """
    )
    for options, plugins, inner in (((), ("pytest_agent.plugin",), "-n 2"), (("-n", "1"), WITH_XDIST, "")):
        monkeypatch.setenv("INNER_OPTIONS", inner)
        fresh("--chaos", "-k", "outer or other", *options, plugins=plugins).assert_outcomes(passed=2, deselected=None)
        for folder, name in ((".pytest_agent", "outer"), (".pytest_agent-2", "inner")):
            (found,) = json.loads(bytes_of(project, folder))["tests"]
            assert found["test"] == f"test_a.py::test_{name}"
            (project.path / folder / "results.json").unlink()


def test_an_interrupt_keeps_what_was_found(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        test_a="""
        import os, signal
        import pytest, agents

        @pytest.fixture(scope="session", autouse=True)
        def wide():
            yield
            print("undone")

        @pytest.mark.chaos(faults="reply-lost")
        def test_first(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox))

        RUNS = []

        @pytest.mark.chaos(faults=agents.FAULTS)
        async def test_second(llm, sandbox):
            RUNS.append(1)
            await agents.arun("refund", agents.stock(llm, sandbox))
            if len(RUNS) == 10:
                os.kill(os.getpid(), signal.SIGINT)

        def test_third():
            pass
        """
    )
    result = fresh("--chaos", "-s")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*undone"])
    result.stdout.fnmatch_lines(["*! KeyboardInterrupt !*"])
    result.stdout.fnmatch_lines(
        [
            "*test_first: held in all 4 runs (3 of one fault, 1 of two)",
            "*test_second: held in all 7 runs, and was interr*",
        ]
    )
    text = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    found = {entry["test"]: entry for entry in json.loads(bytes_of(project))["tests"]}
    assert found["test_a.py::test_first"]["complete"] is True
    assert found["test_a.py::test_second"]["complete"] is False
    assert found["test_a.py::test_second"]["passed"] is False
    assert len(found["test_a.py::test_second"]["runs"]) == 7


def test_a_folder_that_cannot_be_written(project: pytest.Pytester) -> None:
    (project.path / ".pytest_agent").write_text("a file")
    project.makepyfile("def test_one(llm): pass\ndef test_two(): pass")
    result = project.runpytest()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*.pytest_agent: cannot be written (*make the folder writable*"])


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    folder = Folder.claim(tmp_path / "f", "s", fresh_results=True)
    folder.append_result({"test": "b", "n": 1})
    folder.append_result({"test": "a", "n": 2})
    folder.append_result({"test": "b", "n": 3})
    with (folder.path / "results.jsonl").open("ab") as file:
        file.write(b'{"test": "c", "n": {}\n{"test": "d", "n"')
    assert folder.read_results() == [{"test": "a", "n": 2}, {"test": "b", "n": 3}]
    folder.release()


def test_the_processes_of_one_session_share_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "f"
    first = Folder.claim(root, "one", fresh_results=True)
    first.append_result({"test": "a"})
    joined = Folder.claim(root, "one", fresh_results=True)
    other = Folder.claim(root, "two", fresh_results=True)
    assert (joined.path, other.path) == (root, tmp_path / "f-2")
    first.release()
    # One of them is still there.
    assert Folder.claim(root, "three", fresh_results=True).path == tmp_path / "f-3"
    joined.release()
    # A process of the same session that comes late finds what the others wrote.
    late = Folder.claim(root, "one", fresh_results=True)
    assert late.read_results() == [{"test": "a"}]
    late.release()
    again = Folder.claim(root, "four", fresh_results=True)
    assert again.path == root
    assert again.read_results() == []
