import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentfsm.cli import cancel
from agentfsm.cli.incidents import group
from agentfsm.records import Incident


@pytest.mark.parametrize(
    ("agent", "tools", "says"),
    [
        ("agentfsm.agents.suport_refund", "shop:tools", "cannot be imported (ModuleNotFoundError"),
        ("agentfsm.agents.support_refund:buld", "shop:tools", "Did you mean 'build'?"),
        ("agentfsm.agents.support_refund:LOOKUP", "shop:tools", "is a str, expected a function build("),
        ("agentfsm.agents.support_refund", None, "comes without tools: give --tools MODULE:NAME"),
        ("agentfsm.agents.support_refund", "nowhere:tools", "--tools 'nowhere' cannot be imported"),
        ("agentfsm.agents.support_refund", "shop:toolz", "Did you mean 'tools'?"),
        ("agentfsm.agents.support_refund", "shop:look_up", "no mapping of tool names to functions"),
        ("agentfsm.agents.support_refund", "shop:TILL", "no mapping of tool names to functions"),
        ("broken", "shop:tools", "cannot be imported (ZeroDivisionError: division by zero)"),
        ("old", "shop:tools", "Let it be build(*, store, model, tools, **settings)"),
        ("other", "shop:tools", "built a str, expected a Runtime"),
        ("short", "short:tools", "workflow 'support_refund' needs tools"),
        ("", "shop:tools", "cannot be imported"),
    ],
)
def test_an_agent_that_cannot_be_used_is_one_clear_line(agentfsm, shop, folder, agent, tools, says):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "old.py").write_text("def build(store, model, tools): ...\n")
    (folder / "other.py").write_text("def build(**parts): return 'x'\n")
    (folder / "short.py").write_text("from agentfsm.agents.support_refund import build\ntools = {}\n")
    ran = agentfsm("run", agent, "refund order 7", *(() if tools is None else ("--tools", tools)))
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert shop() == {}


@pytest.mark.parametrize(
    "argv", [(), ("rum",), ("run",), ("flags",), ("show", "--state", "GONE"), ("run", "a", "b", "--nope")]
)
def test_wrong_usage_has_exit_code_2(agentfsm, argv):
    with pytest.raises(SystemExit) as left:
        agentfsm(*argv)
    assert left.value.code == 2


def test_an_error_of_our_own_is_one_line_and_exit_code_70(agentfsm, shop, monkeypatch):
    agentfsm("flags", "set", "x", "true")
    monkeypatch.setattr(cancel, "UnknownTask", None)
    ran = agentfsm("cancel", "r1")
    assert ran.code == 70
    assert ran.err == (
        "agentfsm: an error of agentfsm itself: TypeError: 'NoneType' object is not callable; "
        "please report it with the command\n"
    )
    assert agentfsm("cancel", "r1", "--json").error["code"] == "internal"


def test_a_store_that_is_none_is_one_line(agentfsm, folder):
    (folder / "tasks.db").write_text("this is no database, but long enough to be taken for one" * 100)
    ran = agentfsm("show", "--store", "tasks.db")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert "tasks.db" in ran.err


def test_the_command_is_installed_under_its_name(folder):
    script = Path(sys.executable).with_name("agentfsm")
    for command in ([script], [sys.executable, "-m", "agentfsm"]):
        ran = subprocess.run([*command, "config", "list", "--json"], capture_output=True, text=True, check=True)
        assert json.loads(ran.stdout) == {"environments": ["base", "dev", "prod", "staging"]}
        assert subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout.count("\n") > 10


def incident(name, code, workflow="refund@1", prompt=None, at=1.0):
    return Incident(name, f"{code}:{workflow}", code, "transient", workflow, at, prompt)


def test_incidents_are_grouped_by_class_code_and_versions():
    groups = group(
        [
            incident("r4", "timeout", at=4.0),
            incident("r3", "timeout", "refund@2", at=3.0),
            incident("r2", "timeout", prompt="refund@2:abc", at=2.0),
            incident("r1", "timeout", at=1.0),
        ]
    )
    assert [(g["count"], g["workflow"], g["prompt"]) for g in groups] == [
        (2, "refund@1", ""),
        (1, "refund@2", ""),
        (1, "refund@1", "refund@2:abc"),
    ]
    assert (groups[0]["first"], groups[0]["last"], groups[0]["last_task"]) == (1.0, 4.0, "r4")


def test_a_store_without_incidents_says_so(agentfsm, folder):
    agentfsm("flags", "set", "x", "true", "--store", "tasks.db")
    assert agentfsm("incidents", "--store", "tasks.db").out == "no incidents\n"
    assert agentfsm("incidents", "--list", "--store", "tasks.db", "--json").document == {"incidents": []}
    assert agentfsm("incidents", "--limit", "0", "--store", "tasks.db").code == 2
