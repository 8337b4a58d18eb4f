"""Who may import whom: the rules of docs/architecture.md, and proof that the checker would notice."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(folder):
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": f"{folder / 'src'}:{folder}", "PATH": "", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_keeps_the_rules():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_an_import_that_breaks_a_rule_is_noticed(tmp_path):
    for name in ("src", "pytest_agent"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "pytest_agent" / "sandbox" / "ledger.py"
    planted.write_text(planted.read_text() + "\nimport agentfsm\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert "Only one adapter imports the runtime BROKEN" in result.stdout
    assert "pytest_agent.sandbox.ledger -> agentfsm" in result.stdout


def test_the_root_holds_what_the_architecture_names():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tops = {line.partition("/")[0] for line in listed.splitlines()}
    rooms = {"benchmarks", "docs", "faults", "loadtests", "pytest_agent", "scenarios", "src", "tests"}
    files = {"LICENSE", "Makefile", "README.md", "pyproject.toml", "requirements.lock"}
    assert {top for top in tops if not top.startswith(".")} <= rooms | files


def test_the_lock_names_no_host_and_hashes_everything():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith("#")]
    assert pinned
    assert all(line.endswith("\\") for line in pinned)
