"""Every Python block of the README and of docs/ runs, plain and under chaos, as a user would paste it."""

import re
from pathlib import Path

import pytest

from pytest_agent.llm.server.script_file import parse_script

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
ELSEWHERE = {"python": ROOT / "docs" / "frameworks.md"}  # its frameworks have an environment of their own
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language):
    for page in PAGES:
        if page == ELSEWHERE.get(language):
            continue
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[1] == language:
                line = text[: match.start()].count("\n") + 2
                yield pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("options", [[], ["--chaos"]], ids=["plain", "chaos"])
@pytest.mark.parametrize("code", list(blocks("python")))
def test_a_python_block_runs_as_it_stands(pytester, code, options):
    pytester.makepyfile(test_block=code)
    # No async plugin: the README says that none is needed.
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "-Werror", *options)
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) >= 1, result.stdout.str()
    assert set(outcomes) <= {"passed", "xfailed"}, result.stdout.str()


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_a_script_that_is_shown_can_be_served(text):
    assert parse_script(text, "shown").says


def test_the_readme_shows_a_report_that_is_really_printed(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    example = ROOT / "tests" / "examples" / "test_naive_agent.py"
    pytester.makepyfile(**{"tests/examples/test_naive_agent": example.read_text()})
    result = pytester.runpytest_subprocess("tests/examples", "--chaos", "-p", "no:randomly")
    printed = result.stdout.str()
    (shown,) = [block.values[0] for block in blocks("text")]
    assert shown.strip() in printed


def test_the_readme_replays_the_fault_that_it_shows():
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"fewest faults: (\S+) at (\S+)", readme)
    assert shown is not None
    assert f"--chaos-replay '{shown[1]}@{shown[2]}'" in readme


def test_every_link_to_a_file_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", BLOCK.sub("", page.read_text())):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
