"""The starter is a project of its own: it is made anew, tested with its own tests, and run."""

import json
import os
import subprocess
import sys
from importlib.resources import files

import pytest
import yaml

from agentfsm.cli.new import FILES

REPORT = "The printer on floor 3 is on fire"


@pytest.fixture
def project(agentfsm, folder, monkeypatch):
    made = agentfsm("new", "My Desk", "--json")
    assert made.code == 0
    assert made.document == {"folder": "My Desk", "files": list(FILES)}
    monkeypatch.chdir(folder / "My Desk")
    return folder / "My Desk"


def pytest_in(project, *options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_every_template_is_written_and_nothing_is_left_to_fill_in(project):
    templates = {entry.name for entry in files("agentfsm").joinpath("starter").iterdir()}
    assert templates == {f"{name}.tmpl" for name in FILES.values()}
    written = {path.relative_to(project).as_posix(): path.read_text() for path in project.rglob("*") if path.is_file()}
    assert set(written) == set(FILES)
    assert not [path for path, text in written.items() if "@NAME@" in text]
    assert 'name = "my-desk"' in written["pyproject.toml"]


def test_its_own_tests_pass(project):
    ran = pytest_in(project)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


def test_its_code_is_tidy_and_typed(project):
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--line-length",
        "120",
        "--select",
        "E,F,W,I,B,UP",
        ".",
    ]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", os.devnull, "desk"]
    for command in (ruff, mypy):
        ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_scenario_holds_under_every_fault(project):
    ran = pytest_in(project, "scenarios", "--chaos")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "survived" in ran.stdout
    assert "reply-lost" in ran.stdout


def test_a_starter_that_opens_tickets_twice_is_found_out(project):
    """The detector fires: the same project, its tool declared idempotent and not being so."""
    scenario = project / "scenarios" / "ticket.yaml"
    scenario.write_text(scenario.read_text().replace("    idempotent: true\n", ""))
    ran = pytest_in(project, "scenarios", "--chaos")
    assert ran.returncode == 1
    assert "I1 no duplicate effect" in ran.stdout


def test_it_runs_dry_and_for_real(agentfsm, project, provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "scripted")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    provider.says(("tickets.open", {"title": "Printer on floor 3 is on fire", "urgency": "high"}))
    dry = agentfsm("run", "desk.agent", REPORT, "--dry-run", "--json")
    assert (dry.code, dry.document["outcome"]) == (0, "partial")
    assert not (project / "tickets.db").exists()
    ran = agentfsm("run", "desk.agent", REPORT, "--id", "report-17", "--json")
    assert (ran.code, ran.document["outcome"], ran.document["answer"]) == (0, "success", "Ticket 1 is open.")
    again = agentfsm("run", "desk.agent", REPORT, "--id", "report-17", "--json")
    assert again.document == ran.document
    assert len(provider.requests) == 2


def test_the_installed_command_runs_it(project, provider):
    provider.says(("tickets.open", {"title": "Printer on floor 3 is on fire", "urgency": "high"}))
    environment = {**os.environ, "OPENAI_API_KEY": "scripted", "OPENAI_BASE_URL": provider.url}
    command = [sys.executable, "-m", "agentfsm", "run", "desk.agent", REPORT, "--json"]
    ran = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["answer"] == "Ticket 1 is open."


def test_the_rules_hold_against_the_model(agentfsm, project, provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "scripted")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    provider.says(
        ("tickets.open", {"title": "New chair wanted", "urgency": "high"}),
        ("tickets.open", {"title": "New chair wanted", "urgency": "low"}),
    )
    ran = agentfsm("run", "desk.agent", "I would like a new chair", "--json")
    assert ran.document["outcome"] == "success"
    assert "the urgency is low" in json.dumps(provider.requests[1][1]["messages"])


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_its_environments_are_whole(agentfsm, project, name):
    ran = agentfsm("config", "show", "--env", name, "--json")
    assert (ran.code, ran.document["limits"]["steps"]) == (0, 6)
    assert ran.document["files"][0] == f"environments/{name}.yaml"
    assert yaml.safe_load((project / "environments" / f"{name}.yaml").read_text())["extends"] == name


def test_nothing_is_overwritten(agentfsm, folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "README.md").write_text("mine")
    (folder / "file").write_text("mine")
    for target in ("mine", "file", "file/below"):
        ran = agentfsm("new", target)
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
    assert [path.name for path in (folder / "mine").iterdir()] == ["README.md"]
    (folder / "empty").mkdir()
    assert agentfsm("new", "empty").code == 0
