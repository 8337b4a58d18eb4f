"""What a user installs: built from this checkout, looked into, and used in an environment of its own."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, cwd, check=True):
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_two_packages_and_the_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"agentfsm", "pytest_agent"}
    for kind in ("faults", "scenarios"):
        here = {path.relative_to(ROOT).as_posix() for path in (ROOT / kind).glob("**/*.yaml")}
        shipped = {name.removeprefix("pytest_agent/_data/") for name in names if f"_data/{kind}/" in name}
        assert here
        assert shipped == here
    assert {"agentfsm/py.typed", "pytest_agent/py.typed"} <= set(names)
    assert {"agentfsm/prices.yaml", "pytest_agent/llm/prices.yaml"} <= set(names)
    for kind, ending in (("environments", ".yaml"), ("starter", ".tmpl")):
        here = {f"agentfsm/{kind}/{path.name}" for path in (ROOT / "src" / "agentfsm" / kind).iterdir()}
        assert here == {name for name in names if name.startswith(f"agentfsm/{kind}/") and name.endswith(ending)}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or "/test_" in name]


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(f"{folder}/METADATA").decode()
        entries = archive.read(f"{folder}/entry_points.txt").decode()
    assert "Name: pytest-agent-harness" in metadata
    for extra in ("load", "mcp", "otel", "postgres", "web"):
        assert f"Provides-Extra: {extra}" in metadata
    assert "[pytest11]\npytest_agent = pytest_agent.plugin" in entries
    assert "[console_scripts]\nagentfsm = agentfsm.cli.main:main" in entries


def test_a_fresh_environment_runs_the_shipped_scenario_and_lets_it_go_again(wheel, tmp_path):
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=tmp_path)
    where = run(python, "-c", "import pytest_agent; print(pytest_agent.__file__)", cwd=tmp_path).stdout.strip()
    assert Path(where).is_relative_to(home)
    data = Path(where).parent / "_data" / "scenarios"

    pytest = (python, "-m", "pytest", "--rootdir", tmp_path, "-o", f"agent_scenarios={data}")

    ran = run(*pytest, data, cwd=tmp_path)
    assert f"{len(list(data.glob('*.yaml')))} passed" in ran.stdout
    assert "survived" in run(*pytest, data / "support_refund.yaml", "--chaos", cwd=tmp_path).stdout

    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pytest-agent-harness", cwd=tmp_path)
    assert not list(home.glob("lib/*/site-packages/pytest_agent*"))
    assert not list(home.glob("lib/*/site-packages/agentfsm*"))
    assert run(python, "-m", "pytest", "--version", cwd=tmp_path).returncode == 0
