"""The invariants of budgets, attempts, state machines, resumes and compensation: planted traces and planted agents."""

import asyncio
import dataclasses
import itertools
import json

import pytest
from openai import OpenAI, OpenAIError

from agentfsm.states import describe
from pytest_agent import call
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.site import Site
from pytest_agent.invariants import CHECKS, Evidence, check_all
from pytest_agent.invariants.budgets_kept import IDENTICAL_CALLS
from pytest_agent.trace import (
    AgentEvent,
    AgentStarted,
    Died,
    EffectCommitted,
    FaultApplied,
    ModelReplied,
    ModelRequested,
    OutcomeClaimed,
    RunAborted,
    StoreCommitted,
    ToolCalled,
    ToolReplied,
)

CATALOGUE = load_catalogue()
MINE = {"I4", "I5", "I11", "I12", "I13", "I20"}


def site(seam, n, attempt=1):
    return f"{seam}#{n}" + (f"/{attempt}" if attempt > 1 else "")


def at(t_s, *events):
    """The events, and all that follow, happen at this second."""
    first, *rest = flat_list(events)
    return [dataclasses.replace(first, t_s=float(t_s)), *rest]


def flat_list(events):
    made = []
    for event in events:
        made += flat_list(event) if isinstance(event, (list, tuple)) else [event]
    return made


def flat(events):
    now, made = 0.0, []
    for n, event in enumerate(flat_list(events), start=1):
        now = max(now, event.t_s)
        made.append(dataclasses.replace(event, seq=n, t_s=now))
    return tuple(made)


def ev(*events, clean=None, faults=()):
    return Evidence(flat(events), None if clean is None else flat(clean), tuple(CATALOGUE[fault] for fault in faults))


def started(life=1, **description):
    return AgentStarted(life=life, description=description)


def asked(n=1, attempt=1, *, key=None):
    return ModelRequested(
        site=site("llm", n, attempt),
        call=n,
        attempt=attempt,
        model="m",
        stream=True,
        messages=[],
        body_sha256="",
        key=key,
    )


def said(n=1, attempt=1):
    return ModelReplied(
        site=site("llm", n, attempt),
        call=n,
        attempt=attempt,
        status=200,
        end="complete",
        streamed=True,
        events=1,
        delivered=1,
        terminal_at=1,
        text="",
        calls=[],
        error_code=None,
        heard=True,
    )


def called(n=1, attempt=1, *, tool="look", key=None, effect=False, **arguments):
    return ToolCalled(
        site=site(f"tool:{tool}", n, attempt),
        tool=tool,
        call=n,
        attempt=attempt,
        arguments=arguments,
        key=key,
        effect=effect,
        problem=None,
    )


def replied(n=1, attempt=1, *, tool="look", status="ok", detail="same"):
    return ToolReplied(site=site(f"tool:{tool}", n, attempt), tool=tool, status=status, detail=detail)


def looked(n=1, attempt=1, *, detail="same", status="ok", tool="look", **arguments):
    return [called(n, attempt, tool=tool, **arguments), replied(n, attempt, tool=tool, detail=detail, status=status)]


def committed(tool, key=None, *, entry=1, **arguments):
    return EffectCommitted(entry=entry, site=f"tool:{tool}#1", tool=tool, arguments=arguments, key=key)


def stored(n=1, *finished, life=1, phase="after"):
    return StoreCommitted(site=f"store:commit#{n}.{phase}", label=f"commit {n}", finished=list(finished), life=life)


def died(n=1):
    return Died(site=f"process@store:commit#{n}.after")


def claim(outcome="success", *, cause=None):
    return OutcomeClaimed(outcome=outcome, cause=cause, detail="returned", errors=[], crash=False)


def paused(where="process@store:commit#1.after"):
    return FaultApplied(fault="process-stands-still-before-call", site=where, detail="")


# --- I4 ---------------------------------------------------------------------------------------------------------------

LIMITS = {"model_calls": 3, "tool_calls": 4, "wall_s": 100.0, "step_s": 30.0}
WITH_LIMITS = started(limits=LIMITS)
CONTRACTS = [
    {"name": "open", "effect_class": "idempotent", "compensation": "close"},
    {"name": "close", "effect_class": "idempotent", "compensation": None},
    {"name": "send", "effect_class": "idempotent", "compensation": "void"},
    {"name": "void", "effect_class": "idempotent", "compensation": None},
    {"name": "look", "effect_class": "pure", "compensation": None},
]


def asks(count, attempts=1):
    return [[asked(n, a), said(n, a)] for n in range(1, count + 1) for a in range(1, attempts + 1)]


def looks(count, **more):
    return [looked(n, **more) for n in range(1, count + 1)]


I4_WRONG = [
    ("a hang", ev(RunAborted(reason="hung", detail="no read timeout")), "hung: no read timeout"),
    ("runaway", ev(WITH_LIMITS, RunAborted(reason="runaway", detail="53 calls")), "runaway: 53 calls"),
    ("two calls over", ev(WITH_LIMITS, asks(5), claim()), "5 model calls were made; the agent's own limit is 3"),
    ("attempts count", ev(WITH_LIMITS, asks(1, attempts=5), claim()), "5 model calls were made"),
    ("tool calls", ev(WITH_LIMITS, [looked(n, at=n) for n in range(1, 7)], claim()), "6 tool calls were made"),
    ("over two lives", ev(WITH_LIMITS, asks(2), died(), started(2, limits=LIMITS), asks(3), claim()), "5 model calls"),
    (
        "in the second task",
        ev(WITH_LIMITS, asks(1), claim(), WITH_LIMITS, asks(5), claim()),
        "5 model calls were made",
    ),
    (
        "calls that begin too late",
        ev(WITH_LIMITS, asks(1), at(101, asked(2), said(2)), looked(1), claim("limit")),
        "2 calls began after 100 s",
    ),
    (
        "one call that takes for ever",
        ev(WITH_LIMITS, asked(1), at(131, said(1)), claim("limit")),
        "the task took 131 s; the agent's own limit is 100 s",
    ),
    (
        "late, as the process stood still for longer than that, and it goes on",
        ev(WITH_LIMITS, at(500, paused()), asks(2), claim()),
        "2 calls began after 100 s",
    ),
    (
        "round in circles",
        ev(looks(4), claim()),
        "look() was called 4 times with the same result",
    ),
    ("in circles, with arguments", ev(looks(4, city="Rome"), claim()), "look(city='Rome') was called 4 times"),
    (
        "in circles that cross one another",
        ev([[looked(2 * n, a=1), looked(2 * n + 1, a=2)] for n in range(4)]),
        "look(a=1) was called 4 times",
    ),
    ("more than the clean run", ev(looks(6), clean=[looks(5), claim()]), "6 times"),
    ("more than its own limit", ev(started(limits={"same_call": 2}), looks(3)), "3 times"),
    ("in circles over a restart", ev(looks(3), died(), [looked(n) for n in (4, 5)]), "5 times"),
]

I4_RIGHT = [
    ("an end", ev(WITH_LIMITS, asks(2), looks(2), claim())),
    ("nothing at all", ev()),
    ("one call in flight", ev(WITH_LIMITS, asks(4), [looked(n, at=n) for n in range(1, 6)], claim("limit"))),
    ("no limits described", ev(started(), asks(40), claim())),
    ("two tasks, each within its limits", ev(WITH_LIMITS, asks(3), claim(), WITH_LIMITS, asks(3), claim())),
    ("tasks at once, which nobody can tell apart", ev(WITH_LIMITS, WITH_LIMITS, asks(6), claim(), claim())),
    (
        "what undoes goes beyond",
        ev(
            started(limits=LIMITS, contracts=CONTRACTS),
            [looked(n, at=n) for n in range(1, 5)],
            [looked(n, tool="close", at=n) for n in range(1, 4)],
            claim("failed"),
        ),
    ),
    (
        "questions by which it learns of an effect are no calls of the model",
        ev(started(limits=LIMITS, contracts=CONTRACTS), [looked(n, tool="ask", at=n) for n in range(1, 9)], claim()),
    ),
    ("its last call goes on a little", ev(WITH_LIMITS, at(99, asked(1)), at(129, said(1)), claim("limit"))),
    ("one call begins a moment late", ev(WITH_LIMITS, at(100.5, asked(1)), said(1), claim("limit"))),
    (
        "undoing has a step's time of its own",
        ev(
            started(limits=LIMITS, contracts=CONTRACTS),
            at(99, called(1, tool="open")),
            at(128, replied(1, tool="open")),
            called(1, tool="close"),
            at(157, replied(1, tool="close")),
            claim("limit"),
        ),
    ),
    (
        "the test sleeps before and after",
        ev(at(1000, WITH_LIMITS), asks(1), claim(), at(2000, paused("clock#1"))),
    ),
    (
        "down for an hour between two lives",
        ev(WITH_LIMITS, asks(1), died(), at(3600, started(2, limits=LIMITS)), asks(1), claim()),
    ),
    ("the process stood still, and then it ends", ev(WITH_LIMITS, at(500, paused()), claim("limit"))),
    ("the store took long, and then it ends", ev(WITH_LIMITS, at(500, paused("store:commit#1.after")), claim("limit"))),
    (
        "a declared wait of a week",
        ev(
            started(limits=LIMITS, waits=[{"stage": "A"}]),
            asks(1),
            at(604800, AgentEvent(data={"kind": "event"})),
            asks(1),
            claim(),
        ),
    ),
    ("limits that are none", ev(started(limits={"model_calls": None, "wall_s": "long"}), asks(9), claim())),
    ("polling that sees something else each time", ev([looked(n, detail=f"{n} %") for n in range(1, 30)], claim())),
    ("as often as is allowed", ev(looks(IDENTICAL_CALLS), claim())),
    ("as often as the clean run", ev(looks(6), clean=[looks(6), claim()])),
    ("as often as its own limit says", ev(started(limits={"same_call": 8}), looks(8))),
    ("other arguments each time", ev([looked(n, page=n) for n in range(1, 30)])),
    ("the attempts of one call", ev([looked(1, a, detail="{'status': 'temporary_error'}") for a in range(1, 6)])),
    ("results too long to be told apart", ev(looks(9, detail="x" * 500))),
    ("what was not stored before a death is looked up again", ev(looks(3), died(), looked(4), claim())),
]


# --- I5 ---------------------------------------------------------------------------------------------------------------


def tries(count, n=1, **more):
    return [asked(n, attempt, **more) for attempt in range(1, count + 1)]


def knocks(count, *, status="lost"):
    return [looked(1, attempt, status=status) for attempt in range(1, count + 1)]


I5_WRONG = [
    ("nine", ev(tries(9)), "llm#1 made 9 wire requests; at most 5 are allowed over all layers"),
    ("six of the second call", ev(tries(1), tries(6, n=2)), "llm#2 made 6 wire requests"),
    ("over a restart", ev(tries(4), died(), [asked(1, a) for a in (5, 6)]), "llm#1 made 6"),
    ("more than its own limit", ev(started(limits={"attempts": 2}), tries(3)), "at most 2"),
    ("a tool that does not answer", ev(knocks(6)), "tool:look#1 made 6 attempts"),
    ("a tool that refuses", ev(knocks(5, status="error"), looked(1, 6)), "tool:look#1 made 6 attempts"),
]

I5_RIGHT = [
    ("five", ev(tries(5))),
    ("many calls", ev([tries(1, n=n) for n in range(1, 20)])),
    ("its own limit", ev(started(limits={"attempts": 8}), tries(8))),
    ("a limit that is none", ev(started(limits={"attempts": True}), tries(5))),
    ("a tool that is polled under one key", ev([looked(1, attempt) for attempt in range(1, 20)])),
    ("a tool that answers at last", ev(knocks(4), looked(1, 5), [looked(1, a) for a in range(6, 20)])),
]


# --- I11 --------------------------------------------------------------------------------------------------------------

TABLE = [
    {"state": "INIT", "event": "go", "to": "WORK"},
    {"state": "WORK", "event": "again", "to": "WORK"},
    {"state": "WORK", "event": "ask", "to": "WAIT"},
    {"state": "WAIT", "event": "answer", "to": "WORK"},
    {"state": "WORK", "event": "done", "to": "DONE"},
    {"state": "WORK", "event": "give_up", "to": "FAILED"},
]
MACHINE = started(transitions=TABLE)
TO = {(row["state"], row["event"]): row["to"] for row in TABLE}


def move(version, begins, event, to=None, *, again=False, task="t"):
    data = {"kind": "transition", "from": begins, "event": event, "to": to or TO.get((begins, event), "WORK")}
    data |= {"request_id": task} if task else {}
    data |= {} if version is None else {"version": version}
    return AgentEvent(data={**data, "again": True} if again else data)


def note(version, kind="proposal", *, again=False):
    data = {"kind": kind, "version": version, "request_id": "t"}
    return AgentEvent(data={**data, "again": True} if again else data)


GO, DONE = move(1, "INIT", "go"), move(2, "WORK", "done")

I11_WRONG = [
    ("a move that is not in the table", ev(MACHINE, GO, move(2, "WORK", "answer")), "WORK --answer--> WORK is not in"),
    ("to another state than the table's", ev(MACHINE, GO, move(2, "WORK", "ask", "DONE")), "is not in the agent's own"),
    ("from a state that it is not in", ev(MACHINE, GO, move(2, "WAIT", "answer")), "begins in another state than WORK"),
    ("a first state that is none", ev(MACHINE, move(1, "WORK", "done")), "WORK is no initial state"),
    ("after the end", ev(MACHINE, GO, DONE, move(3, "WORK", "again")), "follows the terminal state DONE"),
    ("two ends", ev(MACHINE, GO, DONE, move(3, "WORK", "give_up")), "follows the terminal state DONE"),
    ("a gap", ev(MACHINE, GO, move(3, "WORK", "done")), "is version 3, 2 is missing"),
    ("a gap at the beginning", ev(MACHINE, move(2, "INIT", "go")), "is version 2, 1 is missing"),
    ("a gap that a note shows", ev(MACHINE, GO, note(3), move(4, "WORK", "done")), "the event 'proposal' is version 3"),
    ("a gap after a death", ev(MACHINE, died(), move(2, "INIT", "go", again=True)), "1 is missing"),
    (
        "one version committed twice",
        ev(MACHINE, GO, move(2, "WORK", "ask"), move(2, "WORK", "done")),
        "begins in another state than WAIT",
    ),
    (
        "told again as something else",
        ev(MACHINE, GO, move(2, "WORK", "ask"), died(), move(2, "WORK", "done", again=True)),
        "begins in another state than WAIT",
    ),
    (
        "the second task only",
        ev(MACHINE, GO, DONE, move(1, "INIT", "go", task="u"), move(2, "WAIT", "answer", task="u")),
        "WAIT --answer--> WORK begins in another state",
    ),
    ("success that came to no end", ev(MACHINE, GO, claim()), "success was claimed and no terminal state"),
    (
        "a log without versions",
        ev(MACHINE, move(None, "INIT", "go"), move(None, "WAIT", "answer")),
        "begins in another",
    ),
    (
        "a move that lacks its parts",
        ev(MACHINE, GO, AgentEvent(data={"kind": "transition", "version": 2, "request_id": "t"})),
        "None --None--> None is not in",
    ),
]

I11_RIGHT = [
    ("from beginning to end", ev(MACHINE, GO, note(2), DONE, claim())),
    ("not at its end yet", ev(MACHINE, GO, move(2, "WORK", "ask"), claim("partial"))),
    ("an honest failure half way", ev(MACHINE, GO, claim("failed"))),
    ("several moves in one version", ev(MACHINE, GO, move(1, "WORK", "ask"), move(2, "WAIT", "answer"))),
    ("the same move twice in one version", ev(MACHINE, GO, [move(2, "WORK", "again")] * 2, move(3, "WORK", "done"))),
    (
        "told again after a restart",
        ev(
            MACHINE,
            GO,
            note(2),
            move(2, "WORK", "ask"),
            died(),
            note(2, again=True),
            move(2, "WORK", "ask", again=True),
        ),
    ),
    (
        "told again twice",
        ev(MACHINE, GO, died(), [move(1, "INIT", "go", again=True)] * 2, DONE, claim()),
    ),
    (
        "told for the first time after a restart",
        ev(MACHINE, GO, died(), move(2, "WORK", "ask", again=True), move(3, "WAIT", "answer")),
    ),
    (
        "the very first telling is one again",
        ev(MACHINE, died(), move(1, "INIT", "go", again=True), died(), move(1, "INIT", "go", again=True), DONE),
    ),
    (
        "told again by another process before the first one tells it",
        ev(MACHINE, GO, move(2, "WORK", "ask", again=True), move(3, "WAIT", "answer"), move(2, "WORK", "ask")),
    ),
    (
        "told out of order by two processes",
        ev(MACHINE, move(2, "WORK", "ask"), GO, move(4, "WORK", "done"), move(3, "WAIT", "answer"), claim()),
    ),
    (
        "a death in the middle of a telling",
        ev(MACHINE, GO, note(2), died(), note(2, again=True), move(2, "WORK", "done", again=True), claim()),
    ),
    (
        "a task that is older than the run",
        ev(MACHINE, note(7, again=True), move(7, "WORK", "ask", again=True), move(8, "WAIT", "answer")),
    ),
    (
        "two tasks that cross each other",
        ev(MACHINE, GO, move(1, "INIT", "go", task="u"), DONE, move(2, "WORK", "give_up", task="u"), claim()),
    ),
    ("a log without versions", ev(MACHINE, move(None, "INIT", "go", task=None), move(None, "WORK", "done", task=None))),
    ("versions that are no numbers", ev(MACHINE, move("a", "INIT", "go"), move("b", "WORK", "done"))),
    ("agentfsm's own table", ev(started(transitions=describe()), move(1, "INIT", "user_request_received", "PLANNING"))),
]


# --- I12 --------------------------------------------------------------------------------------------------------------

PAID = committed("pay", "t:2")
CLEAN = [started(), stored(1), called(1, tool="pay", key="t:2", effect=True), PAID, stored(2, "t:2"), claim()]

I12_WRONG = [
    ("another outcome", ev(PAID, died(), claim("failed"), clean=CLEAN), "ended as failed, the uninterrupted one as"),
    (
        "an effect more",
        ev(PAID, died(), PAID, claim(), clean=CLEAN),
        "pay() was committed 2 time(s) in the resumed run",
    ),
    ("an effect less", ev(died(), claim(), clean=CLEAN), "pay() was committed 0 time(s)"),
    ("another effect", ev(died(), committed("pay", order=8), claim(), clean=CLEAN), "pay(order=8) was committed 1"),
    (
        "a finished step again",
        ev(PAID, stored(2, "t:2"), died(), called(1, 2, tool="pay", key="t:2"), claim(), clean=CLEAN),
        "tool:pay#1/2 ran the step t:2 again, which store:commit#2.after had finished",
    ),
    (
        "a finished question again",
        ev(asked(1, key="t:1"), stored(1, "t:1"), died(), asked(1, 2, key="t:1"), PAID, claim(), clean=CLEAN),
        "llm#1/2 ran the step t:1 again",
    ),
    ("again, and nothing died", ev(stored(1, "t:1"), asked(1, key="t:1"), claim()), "ran the step t:1 again"),
    (
        "again, and no clean run",
        ev(stored(1, "t:1"), died(), asked(1, key="t:1"), claim()),
        "ran the step t:1 again",
    ),
    (
        "a cause that a death does not explain",
        ev(PAID, died(), claim("failed", cause="moon"), clean=CLEAN, faults=["crash-around-commit"]),
        "ended as failed",
    ),
]

I12_RIGHT = [
    ("nothing died", ev(PAID, stored(1, "t:2"), claim("failed"), clean=CLEAN)),
    ("as if nothing had happened", ev(PAID, stored(2, "t:2"), died(), claim(), clean=CLEAN)),
    (
        "a step whose commit never happened is tried again",
        ev(
            called(1, tool="pay", key="t:2"),
            PAID,
            died(),
            called(1, 2, tool="pay", key="t:2"),
            stored(2, "t:2"),
            claim(),
            clean=CLEAN,
        ),
    ),
    ("an honest unknown", ev(PAID, died(), claim("unknown"), clean=CLEAN)),
    ("an honest unknown without the effect", ev(died(), claim("unknown"), clean=CLEAN)),
    (
        "a cause that the death explains",
        ev(died(), claim("partial", cause="in_doubt"), clean=CLEAN, faults=["crash-around-commit"]),
    ),
    (
        "another fault besides",
        ev(died(), claim("failed"), clean=CLEAN, faults=["crash-around-commit", "insufficient-quota"]),
    ),
    ("a key of none", ev(stored(1, "t:1"), asked(1), called(1, tool="pay"), claim())),
    (
        "the keys of another task",
        ev(started(a=1), stored(1, "t:1"), claim(), started(a=1), asked(1, key="t:1"), claim()),
    ),
    ("before the commit is seen to have been made", ev(stored(1, "t:1", phase="before"), asked(1, key="t:1"))),
]


# --- I13 --------------------------------------------------------------------------------------------------------------

I13_WRONG = [
    (
        "a process that had been taken for dead",
        ev(stored(1), stored(2, life=2), stored(3)),
        "process 1 committed store:commit#3.after after process 2 had taken over",
    ),
    (
        "the one before the last",
        ev(stored(1), stored(2, life=3), stored(3, life=2)),
        "process 2 committed store:commit#3.after after process 3",
    ),
]

I13_RIGHT = [
    ("one life", ev(stored(1), stored(2))),
    ("one after the other", ev(stored(1), died(), stored(2, life=2), stored(3, life=2), stored(4, life=3))),
    (
        "two tasks, each with its lives",
        ev(started(a=1), stored(1), stored(2, life=2), claim(), started(a=1), stored(1), stored(2), claim()),
    ),
]


# --- I20 --------------------------------------------------------------------------------------------------------------

BANK = started(contracts=CONTRACTS, transitions=TABLE)
OPENED, SENT = committed("open", "t:1"), committed("send", "t:2", entry=2)
CLOSED, VOIDED = committed("close", "t:4", entry=4), committed("void", "t:3", entry=3)


def undoing(key, undoes):
    return AgentEvent(data={"kind": "compensation", "key": key, "undoes": undoes})


I20_WRONG = [
    ("missing", ev(BANK, OPENED, claim("failed")), "open was not undone by close in a workflow that ended as failed"),
    ("one of two missing", ev(BANK, OPENED, SENT, VOIDED, claim("limit")), "open was not undone by close"),
    ("the last one passed over", ev(BANK, OPENED, SENT, CLOSED, claim("cancelled")), "send was not undone by void"),
    ("in the order of the effects", ev(BANK, OPENED, SENT, CLOSED, VOIDED, claim("failed")), "undid send out of order"),
    ("twice", ev(BANK, OPENED, CLOSED, CLOSED, claim("failed")), "close ran again, after its effect was undone"),
    ("twice, and the outcome unknown", ev(BANK, OPENED, CLOSED, CLOSED, claim("unknown")), "close ran again"),
    ("out of order, and unknown", ev(BANK, OPENED, SENT, CLOSED, VOIDED, claim("unknown")), "out of order"),
    ("of an effect never made", ev(BANK, VOIDED, claim("failed")), "void ran and there was no effect to undo"),
    ("before the effect", ev(BANK, CLOSED, OPENED, claim("failed")), "close ran and there was no effect to undo"),
    ("a success", ev(BANK, OPENED, CLOSED, claim()), "a workflow that succeeded was partly undone, by close"),
    (
        "a success that undoes more than the clean one",
        ev(BANK, OPENED, CLOSED, OPENED, CLOSED, claim(), clean=[BANK, OPENED, CLOSED, OPENED, claim()]),
        "partly undone",
    ),
    ("a pure tool with an effect", ev(BANK, committed("look"), claim()), "look changed the world, and its contract"),
    ("a pure tool, and no claim", ev(BANK, committed("look")), "look changed the world"),
    (
        "one effect twice, the other never",
        ev(
            BANK,
            OPENED,
            committed("open", "t:2"),
            undoing("t:3", "t:2"),
            committed("close", "t:3"),
            committed("close", "t:3"),
            claim("failed"),
        ),
        "close ran again",
    ),
    (
        "two of one kind in the wrong order",
        ev(
            BANK,
            OPENED,
            committed("open", "t:2"),
            undoing("t:3", "t:1"),
            undoing("t:4", "t:2"),
            committed("close", "t:3"),
            committed("close", "t:4"),
            claim("failed"),
        ),
        "close undid open out of order",
    ),
    (
        "missing at a terminal state",
        ev(BANK, GO, OPENED, move(2, "WORK", "give_up"), claim("failed")),
        "open was not undone",
    ),
    ("missing in the first of two tasks", ev(BANK, OPENED, claim("failed"), BANK, claim()), "open was not undone"),
]

I20_RIGHT = [
    ("nothing was done", ev(BANK, claim("failed"))),
    ("a success", ev(BANK, OPENED, SENT, claim())),
    ("in reverse", ev(BANK, OPENED, SENT, VOIDED, CLOSED, claim("failed"))),
    ("an effect that declares no compensation", ev(BANK, committed("mail"), claim("failed"))),
    ("a person is to settle it", ev(BANK, OPENED, claim("unknown"))),
    ("unknown, with what could be undone undone", ev(BANK, OPENED, SENT, CLOSED, claim("unknown"))),
    ("still waiting", ev(BANK, OPENED, claim("partial"))),
    ("no claim, as it died for good", ev(BANK, OPENED, died())),
    ("the next resume goes on with it", ev(BANK, GO, OPENED, claim("cancelled"))),
    ("made twice under one key, undone once", ev(BANK, OPENED, OPENED, CLOSED, claim("failed"))),
    ("two of one kind", ev(BANK, OPENED, committed("open", "t:9"), CLOSED, CLOSED, claim("failed"))),
    (
        "a success that undoes what the clean run does",
        ev(BANK, OPENED, CLOSED, OPENED, claim(), clean=[OPENED, CLOSED]),
    ),
    ("a success, then a task that fails with nothing done", ev(BANK, OPENED, claim(), BANK, claim("failed"))),
    (
        "what comes after its good end cannot be stored",
        ev(
            BANK,
            GO,
            move(2, "WORK", "done"),
            OPENED,
            claim("failed"),
            clean=[BANK, GO, move(2, "WORK", "done"), claim()],
        ),
    ),
    ("a tool that no contract knows", ev(BANK, committed("diary"), claim())),
    (
        "two of one kind, as the agent says",
        ev(
            BANK,
            OPENED,
            committed("open", "t:2"),
            undoing("t:3", "t:2"),
            undoing("t:4", "t:1"),
            committed("close", "t:3"),
            committed("close", "t:4"),
            claim("failed"),
        ),
    ),
]


def cases(**tables):
    return [
        pytest.param(id_, *case, id=f"{id_}-{case[0]}".replace(" ", "_"))
        for id_, rows in tables.items()
        for case in rows
    ]


WRONG = cases(I4=I4_WRONG, I5=I5_WRONG, I11=I11_WRONG, I12=I12_WRONG, I13=I13_WRONG, I20=I20_WRONG)
RIGHT = cases(I4=I4_RIGHT, I5=I5_RIGHT, I11=I11_RIGHT, I12=I12_RIGHT, I13=I13_RIGHT, I20=I20_RIGHT)
NOT_JUDGED = cases(
    I5=[("no model and no tool", ev(claim()))],
    I11=[
        ("no table", ev(started(), GO, claim())),
        ("no log", ev(MACHINE, claim())),
        ("nothing but notes", ev(MACHINE, note(1), claim())),
    ],
    I12=[
        ("no clean run", ev(PAID, died(), claim())),
        ("a clean run that claims nothing", ev(PAID, died(), claim(), clean=[PAID])),
        ("not resumed", ev(PAID, died(), clean=CLEAN)),
        ("not resumed after its second death", ev(PAID, died(), claim("partial"), died(), clean=CLEAN)),
    ],
    I13=[
        ("no store", ev(asked(1), claim())),
        ("tasks at once", ev(started(a=1), started(a=1), stored(1, life=2), stored(1), claim())),
    ],
    I20=[
        ("no contracts", ev(started(), OPENED, claim("failed"))),
        ("tasks at once", ev(BANK, BANK, OPENED, claim("failed"), claim())),
    ],
)


@pytest.mark.parametrize(("id_", "what", "case", "headline"), WRONG)
def test_it_fires(id_, what, case, headline):
    found = CHECKS[id_](case)
    assert found, what
    assert any(headline in violation.headline for violation in found), [violation.headline for violation in found]
    assert {violation.id for violation in found} == {id_}


@pytest.mark.parametrize(("id_", "what", "case"), RIGHT)
def test_it_keeps_quiet(id_, what, case):
    assert CHECKS[id_](case) == [], what


@pytest.mark.parametrize(("id_", "what", "case"), NOT_JUDGED)
def test_it_cannot_judge(id_, what, case):
    assert CHECKS[id_](case) is None, what


def test_every_check_has_cases_of_each_kind():
    assert {case.values[0] for case in WRONG} == {case.values[0] for case in RIGHT} == MINE
    # A run always has an end to judge, or none, which is one too.
    assert {case.values[0] for case in NOT_JUDGED} == MINE - {"I4"}


def test_the_order_in_which_two_observers_tell_decides_nothing():
    told = [GO, move(2, "WORK", "ask"), move(3, "WAIT", "answer"), move(4, "WORK", "done")]
    wrong = [*told[:2], move(3, "WORK", "again"), told[3]]
    for order in itertools.permutations(range(4)):
        assert CHECKS["I11"](ev(MACHINE, [told[n] for n in order], claim())) == []
        assert [violation.headline for violation in CHECKS["I11"](ev(MACHINE, [wrong[n] for n in order]))] == [
            "WORK --again--> WORK begins in another state than WAIT, where the last one ended"
        ]


def test_no_check_breaks_on_what_is_planted_for_another():
    for case in [*WRONG, *RIGHT, *NOT_JUDGED]:
        check_all(case.values[2])


# --- planted agents ---------------------------------------------------------------------------------------------------


class Small:
    """An agent with a store of its own: pays, notes it, and is broken in the way that is asked for.

    `keyed`: the payment is made under the same key in every life. `looks_first`: a finished step is not run again.
    """

    def __init__(self, sandbox, *, keyed=True, looks_first=True, gives_up=False, stale=False):
        self.sandbox, self.keyed, self.looks_first = sandbox, keyed, looks_first
        self.gives_up, self.stale = gives_up, stale
        self.done, self.commits, self.life = set(), 0, 0

    def describe(self):
        return {"contracts": CONTRACTS, "transitions": TABLE, "limits": LIMITS}

    async def start(self, seams, *_):
        self.life += 1
        if self.life > 1 and self.gives_up:
            return OutcomeOf("failed")
        if not (self.looks_first and "t:1" in self.done):
            self.sandbox.tools["open"](company=1, idempotency_key="t:1" if self.keyed else f"t:{self.life}")
            self.commit(seams, "t:1")
        self.commit(seams, life=1 if self.stale else self.life)
        return "opened"

    async def resume(self, seams):
        return await self.start(seams)

    def commit(self, seams, *finished, life=None):
        self.commits += 1
        self.done.update(finished)
        for phase in ("before", "after"):
            place = Site("store", "commit", self.commits, phase=phase)
            seams.trace.append(
                StoreCommitted(site=str(place), label="", finished=list(finished), life=life or self.life)
            )
        seams.reach(place)


class OutcomeOf:
    def __init__(self, outcome):
        self.outcome = outcome


def lived(run, **broken):
    @run.sandbox.tool("open", effect=True, idempotent=True)
    def opened(company: int):
        return {"account": company}

    with run.inside():
        asyncio.run(AgentRunner(run.seams)(Small(run.sandbox, **broken), "go"))
        run.body_ended(None)
    return tuple(run.trace.events)


@pytest.mark.parametrize(
    ("broken", "schedule", "ids"),
    [
        ({}, "crash-around-commit@process@store:commit#1.after", ""),
        ({}, "crash-around-commit@process@store:commit#2.after", ""),
        ({}, "crash-before-call@process@tool:open#1", ""),
        ({}, "crash-after-effect@process@tool:open#1", ""),
        ({"looks_first": False}, "crash-around-commit@process@store:commit#1.after", "I12"),
        ({"looks_first": False}, "crash-after-effect@process@tool:open#1", ""),
        ({"keyed": False}, "crash-after-effect@process@tool:open#1", "I1 I12"),
        ({"gives_up": True}, "crash-before-call@process@tool:open#1", "I12"),
        ({"gives_up": True}, "crash-around-commit@process@store:commit#1.after", "I12 I20"),
        ({"stale": True}, "crash-around-commit@process@store:commit#1.after", ""),
        ({"stale": True, "looks_first": False}, "crash-around-commit@process@store:commit#1.after", "I12 I13"),
    ],
    ids=str,
)
def test_an_agent_that_dies(run_under, broken, schedule, ids):
    clean = lived(run_under(), **broken)
    assert check_all(Evidence(clean, clean))[0] == []
    events = lived(run_under(schedule), **broken)
    assert any(isinstance(event, Died) for event in events)
    fault = CATALOGUE[schedule.partition("@")[0]]
    violations, _ = check_all(Evidence(events, clean, (fault,)))
    assert {violation.id for violation in violations} == set(ids.split()), [str(violation) for violation in violations]


def asking(run, agent):
    """The events of an agent on the openai SDK that has one tool without an effect."""

    @run.sandbox.tool("look")
    def look(city: str):
        return "rain"

    run.llm.says(call("look", city="Rome"), "It rains.")
    error = None
    with run.inside():
        try:
            agent(run.sandbox.tools)
        except BaseException as caught:  # noqa: BLE001 - a harness that ends the run is judged as well
            error = caught
        run.body_ended(error)
    return tuple(run.trace.events)


def sdk_agent(*, retries, loops, turns):
    client = OpenAI(api_key="test", max_retries=retries)

    def ask(messages):
        for attempt in range(loops):
            try:
                return client.chat.completions.create(model="m", messages=messages).choices[0].message
            except OpenAIError:
                if attempt == loops - 1:
                    raise
        raise AssertionError

    def agent(tools):
        messages = [{"role": "user", "content": "the weather in Rome"}]
        for _ in range(turns):
            said = ask(messages)
            if not said.tool_calls:
                return said.content
            messages.append(said.model_dump(exclude_none=True))
            for wanted in said.tool_calls:
                result = tools["look"](**json.loads(wanted.function.arguments))
                messages.append({"role": "tool", "tool_call_id": wanted.id, "content": result})
        raise OpenAIError("too many turns")

    return agent


@pytest.mark.parametrize(
    ("made", "schedule", "ids"),
    [
        ({"retries": 2, "loops": 3, "turns": 4}, "server-error-storm@llm#1", "I5"),
        ({"retries": 2, "loops": 1, "turns": 4}, "server-error-storm@llm#1", ""),
        ({"retries": 0, "loops": 5, "turns": 4}, "server-error-storm@llm#1", ""),
        ({"retries": 2, "loops": 1, "turns": 3}, "model-repeats-call@llm#2", ""),
        ({"retries": 2, "loops": 1, "turns": 9}, "model-repeats-call@llm#2", "I4"),
        ({"retries": 2, "loops": 1, "turns": 999}, "model-repeats-call@llm#2", "I4"),
    ],
    ids=str,
)
def test_an_agent_on_an_sdk(run_under, made, schedule, ids):
    agent = sdk_agent(**made)
    clean = asking(run_under(), agent)
    assert check_all(Evidence(clean, clean))[0] == []
    events = asking(run_under(schedule), agent)
    assert any(isinstance(event, FaultApplied) for event in events)
    fault = CATALOGUE[schedule.partition("@")[0]]
    violations, _ = check_all(Evidence(events, clean, (fault,)))
    assert {violation.id for violation in violations} == set(ids.split()), [str(violation) for violation in violations]
