"""Scenario and fault files that are hostile or broken, met by pytest itself: one clear line, and nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BOMB = "\n".join(["a0: &a0 [lol, lol]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))])
HOSTILE: dict[str, tuple[bytes | int, str]] = {
    "a bomb of aliases": (BOMB.encode(), ":2: alias *a0 is not read here; write the value out"),
    "50 MB": (50_000_000, ": the file has more than 1,000,000 bytes, which is as much as is read; split it"),
    "not UTF-8": (b"title: caf\xe9\n", ":1: byte 10 is not UTF-8; save the file as UTF-8"),
    "UTF-16": ("title: a\n".encode("utf-16"), ":1: byte 0 is not UTF-8; save the file as UTF-8"),
    "a NUL": (b"title: a\nb: \x00", ":2: not valid YAML: unacceptable character #x0000"),
    "deep brackets": (b"a: " + b"[" * 10_000, ":1: nested more than 30 levels deep; flatten it"),
    "deep indents": (
        b"\n".join(b" " * n + b"a:" for n in range(99)),
        ":31: nested more than 30 levels deep; flatten it",
    ),
    "a flood": (b"a: [" + b"1," * 30_000 + b"]", ":1: more than 20,000 values in one file; split it"),
    "a tag that runs": (
        b"a: 1\nb: !!python/object/apply:os.system [ls]",
        ":2: tag !!python/object/apply:os.system is not read here; remove it",
    ),
    "a key twice": (b"a: 1\na: 2\n", ":2: key 'a' is given twice; keep one"),
    "broken": (b"a: [1\n", ":2: not valid YAML: "),
    "empty": (b"", ":1: expected a mapping of keys to values, found nothing"),
    "a list": (b"- a\n", ":1: expected a mapping of keys to values, found a sequence"),
    "two documents": (b"a: 1\n---\nb: 2\n", ":2: not valid YAML: "),
    "a huge number": (b"a: " + b"9" * 5_000, ":1: the number 99999999999999999999… is out of range"),
}
EACH = pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE)


def fill(path: Path, content: bytes | int) -> None:
    """Write the bytes, or that many zeros that take no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(content) if isinstance(content, int) else file.write(content)


def told(result: pytest.RunResult, start: str) -> str:
    """The one line that begins so; no traceback, nothing from inside."""
    text = f"{result.stdout.str()}\n{result.stderr.str()}"
    for word in ("Traceback", "INTERNALERROR", ".py:"):
        assert word not in text
    (line,) = {
        line.removeprefix("ERROR: ") for line in text.splitlines() if line.removeprefix("ERROR: ").startswith(start)
    }
    return line


@pytest.fixture
def broken_catalogue(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | int], None]:
    """The catalogue is the folder `faults` of the project, with one such file in it."""
    folder = project.path / "faults"
    monkeypatch.setattr("pytest_agent.faults.catalogue.data_root", lambda _: folder)
    return lambda content: fill(folder / "tool" / "reply-odd.yaml", content)


@EACH
def test_a_scenario_file(project: pytest.Pytester, content: bytes | int, said: str) -> None:
    fill(project.path / "scenarios" / "one.yaml", content)
    project.makepyfile(test_other="def test_other(): pass")
    for options in ([], ["--chaos"]):
        result = project.runpytest("-o", "agent_scenarios=scenarios", *options)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.assert_outcomes(errors=1)
        assert told(result, "scenarios/one.yaml").startswith(f"scenarios/one.yaml{said}")


@EACH
def test_a_fault_file_met_by_a_marked_test(
    project: pytest.Pytester, broken_catalogue: Callable[[bytes | int], None], content: bytes | int, said: str
) -> None:
    broken_catalogue(content)
    project.makepyfile(
        test_one="""
        import pytest

        @pytest.mark.chaos
        def test_one(llm):
            pass
        """
    )
    for options in ([], ["--chaos"], ["--chaos-replay", "reply-odd@tool:a"]):
        result = project.runpytest(*options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert told(result, "faults/").startswith(f"faults/tool/reply-odd.yaml{said}")


def test_a_fault_file_met_by_a_scenario_is_not_laid_to_the_scenario(
    project: pytest.Pytester, broken_catalogue: Callable[[bytes | int], None]
) -> None:
    shipped = Path(__file__).parents[1] / "scenarios" / "support_refund.yaml"
    fill(project.path / "scenarios" / "one.yaml", shipped.read_bytes())
    for content, said in HOSTILE.values():
        broken_catalogue(content)
        result = project.runpytest("-o", "agent_scenarios=scenarios", "scenarios")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert told(result, "faults/").startswith(f"faults/tool/reply-odd.yaml{said}")


def test_a_suite_that_asks_for_no_faults_does_not_care(
    project: pytest.Pytester, broken_catalogue: Callable[[bytes | int], None]
) -> None:
    broken_catalogue(b"- a\n")
    project.makepyfile("def test_one(clock): pass")
    project.runpytest("--chaos").assert_outcomes(passed=1)
