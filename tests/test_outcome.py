"""What an agent claims, and whether what it raises is an honest failure or a crash."""

import asyncio
import enum
import json
import pickle
from types import SimpleNamespace

import httpx
import pytest

from pytest_agent.errors import (
    LeftoverTurns,
    ProcessDied,
    RunAbort,
    UnansweredCall,
    UsageError,
    WorldDiffers,
    did_you_mean,
)
from pytest_agent.outcome import failure_claim, raised_by_tool, result_claim


class Word(enum.Enum):
    LIMIT = "limit"


class AgentError(Exception):
    pass


class OwnValueError(ValueError):
    pass


@pytest.mark.parametrize(
    ("result", "claims", "outcome", "cause"),
    [
        (None, None, "success", None),
        ("text", None, "success", None),
        ({"outcome": "failed"}, None, "success", None),
        (SimpleNamespace(outcome="partial"), None, "partial", None),
        (SimpleNamespace(outcome=Word.LIMIT, cause=Word.LIMIT), None, "limit", "limit"),
        (SimpleNamespace(outcome="success", cause="quota"), "unknown", "unknown", "quota"),
        (SimpleNamespace(outcome="won the game"), "success", "success", None),
    ],
)
def test_an_agent_that_returns(result, claims, outcome, cause):
    claim = result_claim(result, claims)
    assert (claim.outcome, claim.cause, claim.crash) == (outcome, cause, False)


def test_a_word_that_is_no_outcome():
    with pytest.raises(UsageError, match=r"unknown outcome 'sucess'. Did you mean 'success'\?.*claims='success'"):
        result_claim(SimpleNamespace(outcome="sucess"))


def raised(make):
    try:
        make()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("it did not raise")


def from_(inner, outer):
    def go():
        raise outer from inner

    return raised(go)


def during(inner, outer):
    def go():
        try:
            raise inner
        except type(inner):
            raise outer  # noqa: B904 - the point

    return raised(go)


REQUEST = httpx.Request("GET", "http://x")


@pytest.mark.parametrize(
    ("error", "crash"),
    [
        (TypeError("x"), True),
        (KeyError("x"), True),
        (AttributeError("x"), True),
        (RecursionError("x"), True),
        (IndexError("x"), True),
        (ZeroDivisionError("x"), True),
        (raised(lambda: json.loads("{")), True),
        (raised(lambda: b"\xff".decode()), True),
        (TimeoutError("x"), False),
        (ConnectionResetError("x"), False),
        (httpx.ReadTimeout("x", request=REQUEST), False),
        (AgentError("x"), False),
        (OwnValueError("x"), False),
        (RuntimeError("x"), False),
        (from_(httpx.ReadTimeout("x", request=REQUEST), ValueError("y")), False),
        (from_(AgentError("x"), KeyError("y")), False),
        (from_(KeyError("x"), AgentError("y")), False),
        (from_(KeyError("x"), ValueError("y")), True),
        (during(TimeoutError("x"), KeyError("y")), True),
        (ExceptionGroup("g", [TypeError("x")]), True),
        (ExceptionGroup("g", [AgentError("x"), TypeError("y")]), True),
        (ExceptionGroup("g", [AgentError("x"), ExceptionGroup("h", [TimeoutError("y")])]), False),
    ],
)
def test_an_agent_that_raises(error, crash):
    claim = failure_claim(error)
    assert (claim.outcome, claim.crash) == ("failed", crash)
    assert claim.errors[0] == claim.detail
    assert claim.detail.startswith(type(error).__qualname__)


def test_the_tools_own_error_is_honest_whatever_its_type():
    error = ValueError("order 7 is not refundable")
    raised_by_tool(error)
    assert not failure_claim(error).crash


def test_cancelled():
    assert failure_claim(asyncio.CancelledError()).outcome == "cancelled"


def test_the_whole_chain_is_told_even_where_it_is_a_circle():
    one, two = AgentError("one"), AgentError("two")
    one.__cause__, two.__cause__ = two, one
    assert failure_claim(one).errors == ["AgentError: one", "AgentError: two"]


def test_what_is_told_is_the_same_in_every_process_and_never_fails():
    class Rude(Exception):
        def __str__(self):
            raise RuntimeError("no")

    class Thing:
        outcome = "success"

    assert failure_claim(Rude()).detail.endswith("Rude: (its text raised RuntimeError)")
    assert " at 0x" not in failure_claim(AgentError(f"{object()}")).detail
    assert " at 0x" not in result_claim(Thing()).detail


@pytest.mark.parametrize(
    "error",
    [
        RunAbort("hung", "why"),
        UnansweredCall("x"),
        LeftoverTurns("x"),
        WorldDiffers("x"),
        UsageError("x"),
        ProcessDied("x"),
    ],
)
def test_errors_cross_from_worker_to_controller(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_did_you_mean():
    assert did_you_mean("reply-lots", ["reply-lost", "a"]) == " Did you mean 'reply-lost'? Known: a, reply-lost."
    assert did_you_mean("zzz", []) == " Known: none."
