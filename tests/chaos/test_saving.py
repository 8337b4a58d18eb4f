"""`--chaos-save`: failures as files that fail until the agent is fixed, whether it is tested by YAML or by Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]

SHIPPED = Path(__file__).parents[2] / "scenarios" / "support_refund.yaml"
TESTS = """
    import pathlib
    import pytest, agents

    FIXED = pathlib.Path(__file__).with_name("fixed")

    def setup_module(module):
        module.MADE = []

    @pytest.fixture(scope="module")
    def wide(folder):
        MADE.append(folder)
        return MADE

    @pytest.mark.chaos(faults=["reply-lost", "stream-stall"], expect_failure=None)
    class TestPay:
        @pytest.mark.parametrize("name", ["a::b", "c"])
        def test_once(self, llm, sandbox, wide, name):
            assert wide == ["of the folder"]
            agents.run("refund", agents.stock(llm, sandbox), keys=FIXED.exists() or name == "c")

    def test_plain():
        pass
"""
CONFTEST = "import pytest\n\n@pytest.fixture(scope='module')\ndef folder():\n    return 'of the folder'\n"


@pytest.fixture
def saving(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose scenarios are collected from `scenarios/`, and whose tests stand in a folder of their own."""
    ini = project.path / "tox.ini"
    ini.write_text(ini.read_text().rstrip() + "\nagent_scenarios = scenarios\npythonpath = .\n")
    tests = project.path / "unit" / "pay"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_pay.py").write_text("\n".join(line[4:] for line in TESTS.splitlines()))
    return project


def saved(project: pytest.Pytester) -> list[Path]:
    return sorted((project.path / "scenarios" / "found").glob("*.yaml"))


def test_a_test_of_python_is_run_under_the_schedule_until_it_is_fixed(
    saving: pytest.Pytester, results: Results
) -> None:
    result = saving.runpytest("--chaos", "--chaos-save", "scenarios/found")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["  saved as scenarios/found/TestPay-test_once-a-b--reply-lost.yaml"])
    (path,) = saved(saving)
    text = path.read_text()
    assert text.endswith(
        "about: 'I1 no duplicate effect: refund(amount=20, order=7) committed twice'\n"
        "test: unit/pay/test_pay.py::TestPay::test_once[a::b]\n"
        "under: reply-lost@tool:refund#1\n"
    )
    assert f"#   pytest {path.relative_to(saving.path)}\n" in text
    name = f"{path.relative_to(saving.path)}::test_once[a::b]"

    # By itself and together with the test that it came from, in either order; nothing is asked of the search.
    for words, passed in (
        ([str(path)], 0),
        ([name], 0),
        (["scenarios", "unit"], 3),
        (["unit", "scenarios"], 3),
        ([], 3),
    ):
        again = saving.runpytest(*words)
        again.assert_outcomes(failed=1, passed=passed)
        assert f"\nFAILED {name}" in again.stdout.str()
        again.stdout.fnmatch_lines(["I1 no duplicate effect:*", "  replay: pytest *"])
    # A search leaves it as it is: one run, of which the results know.
    saving.runpytest("--chaos", str(path)).assert_outcomes(failed=1)
    (found,) = results().values()
    assert found["test"] == name
    assert [run["schedule"] for run in found["runs"]] == ["reply-lost@tool:refund#1"]
    # And is not written down again.
    saving.runpytest("--chaos", "--chaos-save", "scenarios/found").assert_outcomes(failed=2, passed=2)
    assert saved(saving) == [path]
    assert path.read_text() == text

    (saving.path / "unit" / "pay" / "fixed").touch()
    saving.runpytest().assert_outcomes(passed=4)
    # Where the fault no longer finds its place, the file watches nothing.
    path.write_text(text.replace("refund#1", "refund#9"))
    gone = saving.runpytest(str(path))
    gone.assert_outcomes(failed=1)
    gone.stdout.fnmatch_lines(
        [f"{path.relative_to(saving.path)}:6: reply-lost@tool:refund#9: the run went through no *"]
    )


def test_a_scenario_is_copied_with_the_schedule(saving: pytest.Pytester, results: Results) -> None:
    folder = saving.path / "scenarios"
    folder.mkdir()
    broken = SHIPPED.read_text().replace("idempotent: true", "idempotent: false") + "faults: [reply-lost]\n"
    (folder / "one.yaml").write_text(broken)
    saving.runpytest("--chaos", "--chaos-save", "scenarios/found", "scenarios/one.yaml").assert_outcomes(failed=1)
    (path,) = saved(saving)
    assert path.name == "one--reply-lost.yaml"
    failing = saving.runpytest(str(path))
    failing.assert_outcomes(failed=1)
    failing.stdout.fnmatch_lines(["I1 no duplicate effect: *"])
    assert "under: reply-lost@tool:payments.refund#1\n" in path.read_text()
    path.write_text(path.read_text().replace("idempotent: false", "idempotent: true"))
    saving.runpytest(str(path)).assert_outcomes(passed=1)


def test_another_file_of_the_name_is_never_overwritten(saving: pytest.Pytester) -> None:
    words = ("--chaos", "--chaos-save", "scenarios/found", "unit")
    saving.runpytest(*words)
    (first,) = saved(saving)
    first.write_text("mine")
    for _ in range(2):
        saving.runpytest(*words)
        assert saved(saving) == [first.with_name(f"{first.stem}-2.yaml"), first]
    assert first.read_text() == "mine"
    assert not list(first.parent.glob(".*"))


def test_what_cannot_be_saved_says_why(saving: pytest.Pytester) -> None:
    folder = saving.path / "scenarios"
    folder.mkdir()
    (saving.path / "file").touch()
    result = saving.runpytest("--chaos", "--chaos-save", "file", "unit")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["  not saved: */file: File exists"])


GOOD = "test: unit/pay/test_pay.py::TestPay::test_once[c]\nunder: reply-lost@tool:refund#1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("unit/", "units/"), "1 test: there is no file 'test_pay.py' at this place below pytest's root*"),
        (
            GOOD.replace("once[c]", "once[d]"),
            "1 test: TestPay has no 'test_once[[]d]'; correct it. Did you mean 'test_once[[]c]'?*",
        ),
        (GOOD.replace("::test_once[c]", ""), "1 test: 'TestPay' is no test; add the test's own name to it"),
        (GOOD.replace("TestPay::test_once[c]", "test_plain"), "1 test: * is no chaos test any more; mark it with *"),
        (GOOD.replace("TestPay::test_once[c]", "test_plain::x"), "1 test: 'test_plain' is a test and no class; *"),
        (GOOD.replace("test_pay.py", "conftest.py"), "1 test: pytest does not collect 'conftest.py'; *"),
        (GOOD.replace("reply-lost", "reply-last"), "2 under: unknown fault 'reply-last'. Did you mean 'reply-lost'?*"),
        (GOOD.replace("tool:refund", "tool"), "2 under: site 'tool#1': a tool site needs a name*"),
        (GOOD + "abuot: x\n", "3 abuot: unknown key 'abuot'. Did you mean 'about'?*"),
        ("test: a.yaml::a\nunder: x\n", "1 test: *"),
        ("test: unit/pay/test_pay.py::test_plain\n", "1 *key 'under' is missing; add it"),
        (SHIPPED.read_text() + "under: nonsense\n", "* under: 'nonsense' is not a fault at a site; expected *"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_to_do(saving: pytest.Pytester, text: str, told: str) -> None:
    folder = saving.path / "scenarios"
    folder.mkdir()
    (folder / "one.yaml").write_text(text)
    result = saving.runpytest("scenarios")
    assert result.ret == 2
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"scenarios/one.yaml:{told}"])
    assert "Traceback" not in result.stdout.str()
