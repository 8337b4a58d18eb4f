"""`arrives`, `path`, `budgets`, `reports` and `then` of a scenario: what is said of each that is wrong, and of none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "scenarios" / "business_account.yaml"
MESSAGE = "  - {id: message-1, user: The registration number is HRB 7.}\n"
CALLBACK = "  - {id: callback-1, event: contract.signed, source: signing, payload: {contract_id: C-1}}\n"
ARRIVES = f"arrives:\n{MESSAGE}{CALLBACK}{CALLBACK}"
PATH = "path: [COLLECT_COMPANY_DATA, RISK_CHECK, OFFER_SELECTION, ACCOUNT_OPENING, CONTRACT_SIGNING]\n"
BUDGETS = "budgets: {model_calls: 30, tool_calls: 30, seconds: 600}\n"
PARTS = "(known: after_s, control, event, id, payload, source, user)"
NEXT = "  - {id: b, task: Hello, model: [{text: Done.}]}\n"
NAMES = "(known: model_calls, seconds, tool_calls)"
STAGES = "Known: ACCOUNT_OPENING, COLLECT_COMPANY_DATA, CONTRACT_SIGNING, OFFER_SELECTION, RISK_CHECK."
EITHER = "what arrives is a 'user' with a text, an 'event' with a kind and a 'source', or a 'control', found "

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    """Run pytest on the shipped scenario with one text in it exchanged."""
    (project.path / "scenarios").mkdir()

    def go(old: str, new: str, *options: str) -> pytest.RunResult:
        text = SHIPPED.read_text()
        assert old in text
        (project.path / "scenarios" / "one.yaml").write_text(text.replace(old, new))
        return project.runpytest("-o", "agent_scenarios=scenarios", "scenarios", *options)

    return go


def told(result: pytest.RunResult) -> list[str]:
    """What is said of the file, without what pytest says around it; no traceback, and nothing from inside."""
    text = f"{result.stdout.str()}\n{result.stderr.str()}"
    for word in ("Traceback", "INTERNALERROR", ".py:", "pydantic", "Part"):
        assert word not in text
    return [line for line in text.splitlines() if line.startswith("scenarios/one.yaml:")]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (
            "  - {id: m, usr: x}",
            [f"arrives[0].usr: unknown key 'usr'. Did you mean 'user'? {PARTS[1:-1].capitalize()}."],
        ),
        ("  - {user: x}", ["arrives[0]: key 'id' is missing; add it"]),
        (
            "  - {idd: m, user: x}",
            [
                "arrives[0]: key 'id' is missing; add it",
                f"arrives[0].idd: unknown key 'idd'. Did you mean 'id'? {PARTS[1:-1].capitalize()}.",
            ],
        ),
        ("  - {id: '', user: x}", ["arrives[0].id: this is blank, found ''; write what it is"]),
        ("  - {id: m, user: ' '}", ["arrives[0].user: this is blank, found ' '; write what it is"]),
        ("  - {id: m, event: '', source: s}", ["arrives[0].event: this is blank, found ''; write what it is"]),
        ("  - {id: m, event: e, source: ''}", ["arrives[0].source: this is blank, found ''; write what it is"]),
        ("  - {id: 7, user: x}", ["arrives[0].id: expected text, found 7; put it in quotes"]),
        ("  - {id: m, user: true}", ["arrives[0].user: expected text, found true; put it in quotes"]),
        ("  - {id: m, user: [x]}", ["arrives[0].user: expected text, found ['x']; change it"]),
        (
            "  - {id: null, user: x}",
            ["arrives[0].id: expected text, found nothing; give it a value, or remove the key"],
        ),
        ("  - {id: m}", [f"arrives[0]: {EITHER}{{'id': 'm'}}; write one"]),
        (
            "  - {id: m, user: x, event: e}",
            [f"arrives[0]: {EITHER}{{'id': 'm', 'user': 'x', 'event': 'e'}}; write one"],
        ),
        (
            "  - {id: m, event: e}",
            ["arrives[0]: event 'e' needs a 'source', such as signing, found {'id': 'm', 'event': 'e'}; add it"],
        ),
        (
            "  - {id: m, user: x, source: s}",
            [
                "arrives[0]: 'source' belongs to an 'event', and this is a 'user', "
                "found {'id': 'm', 'user': 'x', 'source': 's'}; remove it"
            ],
        ),
        (
            "  - {id: m, user: x, payload: 1}",
            [
                "arrives[0]: 'payload' belongs to an 'event', and this is a 'user', "
                "found {'id': 'm', 'user': 'x', 'payload': 1}; remove it"
            ],
        ),
        (
            "  - {id: m, control: {'kill:all': stop}, source: s}",
            [
                "arrives[0]: 'source' belongs to an 'event', and this is a 'control', "
                "found {'id': 'm', 'control': {'kill:all': 'stop'}, 'source': 's'}; remove it"
            ],
        ),
        (
            "  - {id: m, user: x, after_s: soon}",
            ["arrives[0].after_s: expected a number, found 'soon'; change it"],
        ),
        ("  - hello", [f"arrives[0]: expected keys with values {PARTS}, found 'hello'; change it"]),
        ("  - [m, x]", [f"arrives[0]: expected keys with values {PARTS}, found ['m', 'x']; change it"]),
    ],
)
def test_an_arrival_that_is_wrong(run: Run, new: str, said: list[str]) -> None:
    result = run(MESSAGE, f"{new}\n")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert told(result) == [f"scenarios/one.yaml:31 {line}" for line in said]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            "arrives:\n",
            "arives:\n",
            30,
            "arives: unknown key 'arives'. Did you mean 'arrives'? Known: agent, arrives, budgets, cause, dry_run, "
            "expect, faults, id, model, must_recover, path, reports, task, then, title, tools, under, workflow, world.",
        ),
        (ARRIVES, "arrives: later\n", 30, "arrives: expected a list, found 'later'; put it into a list"),
        (ARRIVES, "arrives: {id: m}\n", 30, "arrives: expected a list, found {'id': 'm'}; change it"),
        (ARRIVES, "arrives:\n", 30, "arrives: expected a list, found nothing; give it a value, or remove the key"),
        (PATH, "path: RISK_CHECK\n", 42, "path: expected a list, found 'RISK_CHECK'; put it into a list"),
        (PATH, "path: {a: b}\n", 42, "path: expected a list, found {'a': 'b'}; change it"),
        (PATH, "path:\n", 42, "path: expected a list, found nothing; give it a value, or remove the key"),
        (PATH, "path:\n  - RISK_CHECK\n  - 7\n", 44, "path[1]: expected text, found 7; put it in quotes"),
        (PATH, "path: [[RISK_CHECK]]\n", 42, "path[0]: expected text, found ['RISK_CHECK']; change it"),
        (
            BUDGETS,
            "budgets: {modl_calls: 30}\n",
            43,
            "budgets.modl_calls: unknown key 'modl_calls'. Did you mean 'model_calls'? "
            "Known: model_calls, seconds, tool_calls.",
        ),
        (
            BUDGETS,
            "budgets:\n  seconds: 9\n  dollars: 1\n",
            45,
            "budgets.dollars: unknown key 'dollars'. Known: model_calls, seconds, tool_calls.",
        ),
        (BUDGETS, "budgets: {model_calls: 0}\n", 43, "budgets.model_calls: expected 1 or more, found 0; change it"),
        (BUDGETS, "budgets: {tool_calls: -1}\n", 43, "budgets.tool_calls: expected 1 or more, found -1; change it"),
        (BUDGETS, "budgets: {seconds: 0}\n", 43, "budgets.seconds: expected more than 0, found 0; change it"),
        (
            BUDGETS,
            "budgets: {model_calls: 1.5}\n",
            43,
            "budgets.model_calls: expected a whole number, found 1.5; change it",
        ),
        (
            BUDGETS,
            "budgets: {model_calls: true}\n",
            43,
            "budgets.model_calls: expected a whole number, found true; change it",
        ),
        (
            BUDGETS,
            "budgets: {model_calls: '3'}\n",
            43,
            "budgets.model_calls: expected a whole number, found '3'; take it out of quotes",
        ),
        (BUDGETS, "budgets: {seconds: .inf}\n", 43, "budgets.seconds: expected a number, found '.inf'; change it"),
        (BUDGETS, "budgets: {seconds: [1]}\n", 43, "budgets.seconds: expected a number, found [1]; change it"),
        (BUDGETS, "budgets: 30\n", 43, f"budgets: expected keys with values {NAMES}, found 30; change it"),
        (BUDGETS, "budgets: [1]\n", 43, f"budgets: expected keys with values {NAMES}, found [1]; change it"),
        (
            BUDGETS,
            "budgets:\n",
            43,
            f"budgets: expected keys with values {NAMES}, found nothing; give it a value, or remove the key",
        ),
        (BUDGETS, "faults: []\n", 43, "faults: expected at least 1 in the list, found []; add one, or remove the key"),
        (BUDGETS, "faults: event-*\n", 43, "faults: expected a list, found 'event-*'; put it into a list"),
        (BUDGETS, "reports: [{kinds: breaker}]\n", 43, "reports[0]: a report has a 'kind', such as breaker; add it"),
        (BUDGETS, "reports: [{kind: 7}]\n", 43, "reports[0]: a report has a 'kind', such as breaker; add it"),
        (BUDGETS, "reports: breaker\n", 43, "reports: expected a list, found 'breaker'; put it into a list"),
        (BUDGETS, f"then:\n{NEXT.replace('id: b, ', '')}", 44, "then[0]: key 'id' is missing; add it"),
        (
            BUDGETS,
            f"then:\n{NEXT}{NEXT}",
            45,
            "then[1].id: a task before has the id 'b' already; give this one another",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT.replace('id: b', 'id: task-1')}",
            44,
            "then[0].id: a task before has the id 'task-1' already; give this one another",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT.replace('id: b', 'id: b, tols: {}')}",
            44,
            "then[0].tols: unknown key 'tols'. Known: after_s, arrives, cause, expect, id, model, "
            "path, reports, task, workflow, world.",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT.replace('id: b', 'id: b, expect: sucess')}",
            44,
            "then[0].expect: unknown outcome 'sucess'. Did you mean 'success'? "
            "Known: cancelled, failed, limit, partial, success, unknown.",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT.replace('text: Done.', 'call: {offers.lst: {}}')}",
            44,
            "then[0].model[0].call.offers.lst: unknown tool 'offers.lst'; add it to 'tools'. "
            "Did you mean 'offers.list'? Known: accounts.close, accounts.open, company.record, contracts.send, "
            "contracts.void, offers.choose, offers.list, risk.check.",
        ),
    ],
)
@pytest.mark.parametrize("options", [(), ("--chaos",)], ids=["clean", "chaos"])
def test_a_field_that_is_wrong(run: Run, old: str, new: str, line: int, said: str, options: Sequence[str]) -> None:
    result = run(old, new, *options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert told(result) == [f"scenarios/one.yaml:{line} {said}"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("event-duplicate", "event-duplicated"),
        ("orchestrations.*", "orchestration.*"),
        # A control comes with its fault, and is not asked for by itself.
        ("reply-slow", "reply-lost"),
    ],
)
def test_a_fault_that_there_is_not(run: Run, name: str, near: str) -> None:
    result = run(BUDGETS, f"faults:\n  - tool.*\n  - {name}\n")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    (line,) = told(result)
    assert line.startswith(f"scenarios/one.yaml:45 faults[1]: no fault fits '{name}'. Did you mean '{near}'? Known: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            PATH,
            "path:\n  - COLLECT_COMPANY_DATA\n  - RISK_CHEK\n",
            f":44 path[1]: unknown stage 'RISK_CHEK'. Did you mean 'RISK_CHECK'? {STAGES}",
        ),
        (PATH, "path: ['']\n", f":42 path[0]: unknown stage ''. {STAGES}"),
        (
            MESSAGE,
            "  - {id: m, event: e, source: tool}\n",
            ":31 arrives[0].source: source 'tool' is the agent's own; name the system that sends the event",
        ),
        (
            "contracts.void",
            "contracts.annul",
            ":2 agent: 'agentfsm.agents.business_account' cannot be built with these 'tools' (DefinitionError: "
            "workflow 'business_account' needs tools [",
        ),
        (
            PATH,
            "path: [COLLECT_COMPANY_DATA, CONTRACT_SIGNING]\n",
            ":42 path: the agent went COLLECT_COMPANY_DATA -> RISK_CHECK -> OFFER_SELECTION -> ACCOUNT_OPENING -> "
            "CONTRACT_SIGNING, expected COLLECT_COMPANY_DATA -> CONTRACT_SIGNING; correct the path, or the agent",
        ),
        (
            BUDGETS,
            "workflow: business_account@2\n",
            ":43 workflow: the task is on 'business_account@1', expected 'business_account@2'; correct the version, "
            "or the rollout",
        ),
        (
            BUDGETS,
            "reports:\n  - {kind: waiting, cause: needs_user}\n",
            ":43 reports: the agent reported {'kind': 'waiting', 'cause': 'waiting_signature', ",
        ),
        (
            BUDGETS,
            "reports:\n  - {kind: waiting, cause: needs_user}\n  - {kind: waiting, cause: needs_person}\n",
            ":45 reports[1]: the agent reported {'kind': 'waiting', 'cause': 'waiting_signature', ",
        ),
        (
            BUDGETS,
            "reports:\n  - {kind: breaker, state: open}\n",
            ":44 reports[0]: the agent reported no more, expected {'kind': 'breaker', 'state': 'open'}; correct it",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT.replace('id: b', 'id: b, path: [RISK]')}",
            ":44 then[0].path[0]: unknown stage 'RISK'. ",
        ),
        (
            BUDGETS,
            f"then:\n{NEXT}",
            ":44 then[0].expect: the agent ended as 'partial' (cause 'needs_user'), expected 'success'",
        ),
        (
            BUDGETS,
            "budgets: {model_calls: 8, tool_calls: 30}\n",
            ":43 budgets.model_calls: 9 were used, expected at most 8; raise the budget, or have the agent use less",
        ),
        (
            BUDGETS,
            "budgets: {tool_calls: 6}\n",
            ":43 budgets.tool_calls: 7 were used, expected at most 6; raise the budget, or have the agent use less",
        ),
        (
            MESSAGE,
            "  - {id: m, event: user.said, source: user}\n",
            ":41 expect: the agent ended as 'partial' (cause 'needs_user'), expected 'success'",
        ),
    ],
)
@pytest.mark.parametrize("options", [(), ("--chaos",)], ids=["clean", "chaos"])
def test_what_only_the_agent_can_tell_fails_the_test_in_one_line(
    run: Run, old: str, new: str, said: str, options: Sequence[str]
) -> None:
    result = run(old, new, *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    (line,) = told(result)
    assert line.startswith(f"scenarios/one.yaml{said}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PATH, "path: []\n"),
        (PATH, ""),
        (BUDGETS, "budgets: {}\n"),
        (BUDGETS, "budgets: {seconds: 0.5}\n"),
        (BUDGETS, "workflow: business_account@1\n"),
        (BUDGETS, "reports:\n  - {kind: waiting, cause: needs_user}\n  - {kind: waiting, cause: waiting_signature}\n"),
        (BUDGETS, f"then:\n{NEXT.replace('id: b', 'id: b, after_s: 9, expect: partial, cause: needs_user')}"),
        (BUDGETS, "budgets: {model_calls: 9, tool_calls: 7}\n"),
        (MESSAGE, f"{MESSAGE}  - {{id: m, event: never.heard.of, source: elsewhere}}\n"),
        (ARRIVES, ARRIVES.replace(", payload: {contract_id: C-1}", "")),
    ],
)
def test_what_is_right(run: Run, old: str, new: str) -> None:
    run(old, new).assert_outcomes(passed=1)
