"""The table of causes: it is complete, it keeps apart whose fault it was, and words of others mean nothing in it."""

import ast
import re
from pathlib import Path

import pytest

import agentfsm
from agentfsm import errors
from agentfsm.asking import ASKS
from agentfsm.budgets import Limits, over
from agentfsm.causes import BY_OUTCOME, CAUSES, CHECK
from agentfsm.explaining import explain
from agentfsm.models import failures
from agentfsm.records import Step
from agentfsm.recovery import ErrorClass

ROOT = Path(agentfsm.__file__).parent
# Where the code stands in a call: End(event, outcome, CODE), and so on.
PLACES = {"End": 2, "conclude": 4, "_end": 4, "end": 2, "Refuse": 2, "not_sent": 0, "lost": 0, "stand_in": 2,
          "_answer": 3}  # fmt: skip
KEYWORDS = {"code", "error_code"}
RAISERS = {"Reply", "ModelError", "IncompleteTurn", "but", "finish", "_Reply"}
OUTCOMES = set(BY_OUTCOME)


def constants(trees):
    """Module constants by name, for codes that have one."""
    return {
        target.id: node.value.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    } | pairs(trees)


def pairs(trees):
    return {
        name.id: value.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
        for name, value in zip(node.targets[0].elts, node.value.elts, strict=True)
        if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def given(tree, named):
    """Yield every code that this source gives as the cause of an end, or to an attempt."""

    def text(node):
        if isinstance(node, ast.IfExp):
            return [*text(node.body), *text(node.orelse)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value]
        return [named[node.id]] if isinstance(node, ast.Name) and node.id in named else []

    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = PLACES.get(name)
            if place is not None and len(node.args) > place:
                yield from text(node.args[place])
            if name in RAISERS:
                for keyword in node.keywords:
                    if keyword.arg in KEYWORDS:
                        yield from text(keyword.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("limit_"):
            yield node.value
        if isinstance(node, ast.FunctionDef) and node.name in {"_lost_code", "refusal"}:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    first = inner.value.elts[0] if isinstance(inner.value, ast.Tuple) else inner.value
                    yield from text(first)


def unlisted(sources):
    trees = [ast.parse(source) for source in sources]
    named = constants(trees)
    codes = {code for tree in trees for code in given(tree, named)}
    shaped = {code for code in codes if re.fullmatch(r"[a-z][a-z_]*[a-z]", code)}
    return sorted(shaped - set(CAUSES) - OUTCOMES - {"limit_reached"})


def sources():
    apart = {"agents", "cli", "config", "store", "starter", "asking"}
    return [p.read_text() for p in ROOT.rglob("*.py") if not apart & set(p.relative_to(ROOT).with_suffix("").parts)]


def test_every_code_that_the_runtime_gives_has_an_entry():
    assert unlisted(sources()) == []


def test_the_search_for_codes_finds_them_wherever_they_are_given():
    planted = """
NEW = "by_name"
A, B = "in_pair", "in_pair_too"
End(event, "failed", "as_argument")
conclude(parts, draft, event, "failed", NEW)
Reply(error=kind, code="as_keyword")
Refuse(None, "", B, "why")
lost("one" if x else "the_other")
raise ModelError("m", code="raised")
x = "limit_of_ours"
def _lost_code(e): return "returned"
"""
    assert unlisted([planted]) == [
        "as_argument", "as_keyword", "by_name", "in_pair_too", "limit_of_ours", "one", "raised", "returned",
        "the_other",
    ]  # fmt: skip
    assert len({c for s in sources() for c in given(ast.parse(s), {})}) > 30


def test_every_code_of_a_provider_has_an_entry():
    codes = {pair[0] for table in (failures._BY_CODE, failures._BY_STATUS) for pair in table.values()}
    codes |= {pair[1] for pair in failures._BY_WORDS}
    codes |= {errors.ModelError.default_code, errors.IncompleteTurn.default_code, errors.Throttled.default_code}
    codes |= {errors.ContractViolation.default_code, errors.InvalidArguments.default_code}
    assert codes - set(CAUSES) == set()


def test_every_question_to_a_person_has_an_entry():
    assert {ask.cause for ask in ASKS.values()} <= set(CAUSES)


def test_every_limit_has_an_entry():
    spent = {"steps": 9**9, "model_calls": 9**9, "tool_calls": 9**9, "tokens": 9**9}
    assert {over({name: value}, Limits()) for name, value in spent.items()} <= set(CAUSES)


def test_every_outcome_has_a_default():
    assert set(BY_OUTCOME) == {"success", "partial", "failed", "cancelled", "limit", "unknown"}


def test_every_entry_says_what_the_user_can_do():
    for code, cause in [*CAUSES.items(), *BY_OUTCOME.items()]:
        assert cause.words.endswith("."), code
        assert cause.next_step.endswith("."), code
        assert "_" not in cause.words + cause.next_step, code


def step(code, kind=None, status="failed", tool="pay", error_class=ErrorClass.PERMANENT):
    tool = None if kind == "model" else tool
    return Step("r1", 3, 1, kind or "tool", "h", 1.0, status, tool=tool, error_code=code, error_class=error_class)


@pytest.mark.parametrize(
    ("code", "outcome", "attempt", "fault", "incident"),
    [
        (None, "success", None, "none", False),
        ("cancelled", "cancelled", None, "user", False),
        ("kill_switch", "cancelled", None, "operator", False),
        ("limit_tokens", "limit", None, "none", False),
        ("limit_new_kind", "limit", None, "none", False),
        ("risk_refused", "failed", None, "none", False),  # a business says no
        ("order_closed", "failed", step("order_closed"), "none", False),  # and so does a tool
        ("not_found", "failed", step("not_found"), "none", False),
        ("bad_iban", "failed", step("bad_iban", error_class=ErrorClass.INVALID_INPUT), "user", False),
        ("not_found", "failed", step("not_found", "model"), "provider", True),
        ("not_found", "failed", None, "none", False),  # a workflow's own word
        ("insufficient_quota", "failed", step("insufficient_quota", "model"), "provider", True),
        ("content_filter", "failed", step("content_filter", "model"), "provider", False),
        ("their_own", "failed", step("their_own", "model"), "system", True),
        ("timeout", "failed", step("timeout", error_class=ErrorClass.TRANSIENT), "tool", True),
        ("timeout", "failed", step("timeout", "model", error_class=ErrorClass.TRANSIENT), "provider", True),
        ("timeout", "failed", step("timeout"), "none", False),  # a tool that refuses for good and calls it so
        ("besy", "failed", step("besy", error_class=ErrorClass.TRANSIENT), "tool", True),
        ("http_503", "failed", step("http_503", error_class=ErrorClass.TRANSIENT), "tool", True),
        ("http_403", "failed", step("http_403"), "tool", True),
        ("tool_crashed", "failed", step("tool_crashed"), "tool", True),
        ("tool_disabled", "failed", step("tool_disabled"), "operator", False),
        ("contract_violation", "failed",
         step("contract_violation", error_class=ErrorClass.CONTRACT_VIOLATION), "tool", True),
        ("not_done", "failed", step("not_done", "refusal", tool=None, error_class=None), "system", True),
        ("timeout", "unknown", step("timeout", status="in_doubt", error_class=ErrorClass.TRANSIENT), "tool", True),
        ("interrupted", "unknown",
         step("interrupted", status="in_doubt", error_class=ErrorClass.TRANSIENT), "system", True),
        ("order_closed", "unknown", None, "tool", True),
    ],
)  # fmt: skip
def test_whose_fault_it_was_and_whether_anybody_has_to_look(code, outcome, attempt, fault, incident):
    said = explain(code, outcome, [attempt] if attempt else [])
    assert (said.fault, said.cause.incident) == (fault, incident)
    assert (said.cause.next_step == CHECK) == (outcome == "unknown")


def test_a_wait_that_a_workflow_declares_is_told_as_a_wait():
    assert explain("needs_user", "partial", [], waits=True).cause is CAUSES["waiting"]
    assert explain("needs_approval", "partial", [], waits=True).cause is CAUSES["needs_approval"]
