"""Each invariant on planted traces: it fires on what is wrong, and keeps quiet on the right twin."""

import dataclasses

import pytest

from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.invariants import CHECKS, Evidence, check_all
from pytest_agent.trace import (
    AgentLeft,
    AgentStarted,
    CancelAsked,
    Died,
    EffectCommitted,
    FaultApplied,
    ModelRefused,
    ModelReplied,
    ModelRequested,
    OutcomeClaimed,
    RunAborted,
    StoreCommitted,
    ToolCalled,
    ToolReplied,
    WorldChecked,
)

CATALOGUE = load_catalogue()
USER = {"role": "user", "content": "refund order 7"}


def site(seam, n, attempt=1):
    return f"{seam}#{n}" + (f"/{attempt}" if attempt > 1 else "")


def asked(n=1, attempt=1, *, model="m", history=()):
    return ModelRequested(
        site=site("llm", n, attempt),
        call=n,
        attempt=attempt,
        model=model,
        stream=True,
        messages=[USER, *history],
        body_sha256="",
    )


def said(n=1, attempt=1, *, text="", calls=(), end="complete", status=200, error=None):
    return ModelReplied(
        site=site("llm", n, attempt),
        call=n,
        attempt=attempt,
        status=status,
        end=end,
        streamed=True,
        events=9,
        delivered=4,
        terminal_at=7,
        text=text,
        error_code=error,
        heard=end == "complete",
        calls=[
            {"id": f"call_{n}_{i}" + ("" if attempt == 1 else f"_{attempt}"), "name": name, "arguments": "{}"}
            for i, name in enumerate(calls)
        ],
    )


def turn(n=1, attempt=1, **more):
    history = more.pop("history", ())
    return [asked(n, attempt, history=history), said(n, attempt, **more)]


def refused(n=1, attempt=1, *, model="m", error="insufficient_quota"):
    return [asked(n, attempt, model=model), said(n, attempt, status=429, error=error)]


def not_taken(body="b", *, about="history"):
    return ModelRefused(
        codec="Anthropic Messages",
        status=400,
        param="messages.1",
        message="messages.1: `tool_use` ids were found without `tool_result` blocks",
        about=about,
        body_sha256=body,
        at_fault='{"role": "assistant"}',
    )


def called(n=1, attempt=1, *, tool="refund", effect=True, key=None, problem=None, **arguments):
    arguments = arguments or {"order": 7}
    return ToolCalled(
        site=site(f"tool:{tool}", n, attempt),
        tool=tool,
        call=n,
        attempt=attempt,
        arguments=arguments,
        key=key,
        effect=effect,
        problem=problem,
    )


def committed(n=1, attempt=1, *, tool="refund", key=None, entry=1, **arguments):
    arguments = arguments or {"order": 7}
    return EffectCommitted(entry=entry, site=site(f"tool:{tool}", n, attempt), tool=tool, arguments=arguments, key=key)


def replied(n=1, attempt=1, *, tool="refund", status="ok"):
    return ToolReplied(site=site(f"tool:{tool}", n, attempt), tool=tool, status=status, detail=status)


def used(n=1, attempt=1, *, status="ok", effect=True, **more):
    """A whole use of a tool; lost after its work was done."""
    key = more.get("key")
    arguments = {name: value for name, value in more.items() if name not in ("tool", "key")}
    tool = more.get("tool", "refund")
    done = [committed(n, attempt, tool=tool, key=key, **arguments)] if effect and status != "error" else []
    return [
        called(n, attempt, effect=effect, tool=tool, key=key, **arguments),
        *done,
        replied(n, attempt, tool=tool, status=status),
    ]


def durable(n=1, life=1):
    return StoreCommitted(site=f"store:commit#{n}.after", label="failed", life=life)


def began():
    return AgentStarted(life=1, description={"workflow": "refund@1"})


def claim(outcome="success", *, cause=None, crash=False, detail="returned"):
    return OutcomeClaimed(outcome=outcome, cause=cause, detail=detail, errors=["boom"], crash=crash)


def struck(at="llm#1", fault="insufficient-quota"):
    return FaultApplied(fault=fault, site=at, detail="")


def cancelled(by="disconnect"):
    return CancelAsked(site="process@llm#1", by=by)


def died():
    return Died(site="process@store:commit#1.before")


def nothing_left():
    return AgentLeft(tasks=[], threads=[], children=[], sockets=[])


def flat(events):
    made = []
    for event in events:
        made += event if isinstance(event, list) else [event]
    return tuple(dataclasses.replace(event, seq=n, t_s=float(n)) for n, event in enumerate(made, start=1))


def evidence(*events, clean=None, faults=(), must_recover=False):
    baseline = None if clean is None else flat(clean)
    return Evidence(flat(events), baseline, tuple(CATALOGUE[fault] for fault in faults), must_recover)


CLEAN = [turn(1, calls=["refund"]), used(1), turn(2, text="Refunded."), claim()]
CUT = said(1, text="Order 7 is", end="cut")
CUT_CALL = said(1, calls=["refund"], end="cut")
STORM = dict.fromkeys(["insufficient-quota"])


def ev(*events, **more):
    return evidence(*events, **more)


# id, what it is, the evidence, what the headline says
WRONG = [
    ("I1", "the same effect twice", ev(used(1, status="lost"), used(1, 2)), "refund(order=7) committed twice"),
    ("I1", "under two keys", ev(used(1, status="lost", key="a"), used(2, key="b")), "committed twice"),
    (
        "I1",
        "thrice where the clean run has it twice",
        ev(used(1), used(2), used(3), clean=[used(1), used(2)]),
        "committed 3 times",
    ),
    (
        "I1",
        "a key that comes and goes",
        ev(used(1, status="error", key="a"), used(1, 2)),
        "2 different idempotency keys",
    ),
    (
        "I3",
        "a world that is not so",
        ev(*CLEAN, WorldChecked(name="paid", holds=False, detail="empty")),
        "'paid' does not hold",
    ),
    (
        "I3",
        "an effect missing",
        ev(turn(1, text="Done."), claim(), clean=CLEAN),
        "success was claimed without refund(order=7)",
    ),
    ("I3", "one of two missing", ev(used(1), claim(), clean=[used(1), used(2), claim()]), "without refund(order=7)"),
    ("I3", "wrong arguments", ev(used(1, order=None), claim(), clean=CLEAN), "without refund(order=7)"),
    (
        "I3",
        "an effect unknown",
        ev(used(1, status="lost"), turn(2, text="Done."), claim()),
        "the effect of refund(order=7) was unknown",
    ),
    (
        "I3",
        "unknown, although another tool with effects was used",
        ev(used(1, status="lost"), used(1, tool="mail", order=7), claim()),
        "was unknown",
    ),
    (
        "I3",
        "unknown, although something else was looked up",
        ev(used(1, status="lost"), used(1, tool="weather", effect=False, city="Rome"), claim()),
        "was unknown",
    ),
    ("I3", "a turn that never ended", ev(asked(1), CUT, claim()), "on a turn that never ended"),
    ("I3", "a crash", ev(claim("failed", crash=True, detail="KeyError: 'x'")), "the agent crashed: KeyError: 'x'"),
    (
        "I3",
        "a cause the fault does not explain",
        ev(claim("failed", cause="moon"), faults=["insufficient-quota"]),
        "for the cause 'moon'",
    ),
    ("I4", "a hang", ev(RunAborted(reason="hung", detail="no read timeout")), "hung: no read timeout"),
    (
        "I3",
        "left open after a death that is to be survived",
        ev(claim("unknown", cause="interrupted"), faults=["crash-before-call"]),
        "which this fault does not explain",
    ),
    (
        "I6",
        "a permanent error tried again",
        ev(refused(1), struck(), refused(1, 2), struck("llm#1/2"), faults=["insufficient-quota"]),
        "insufficient_quota is permanent and was tried 2 times",
    ),
    (
        "I6",
        "and again in another question",
        ev(refused(1), struck(), refused(2), struck("llm#2"), faults=["insufficient-quota"]),
        "tried 2 times",
    ),
    (
        "I6",
        "a permanent error tried again by a process that could know",
        ev(
            refused(1),
            struck(),
            durable(),
            Died(site="process@store:commit#1.after"),
            refused(1, 2),
            struck("llm#1/2"),
            faults=["insufficient-quota"],
        ),
        "tried 2 times",
    ),
    (
        "I6",
        "a permanent error tried again by a second worker that could know",
        ev(
            durable(),
            refused(1),
            struck(),
            durable(2),
            durable(3, life=2),
            refused(1, 2),
            struck("llm#1/2"),
            faults=["insufficient-quota", "second-worker"],
        ),
        "tried 2 times",
    ),
    (
        "I6",
        "no recovery",
        ev(struck(fault="stream-clean-eof"), claim("failed"), faults=["stream-clean-eof"], must_recover=True),
        "stream-clean-eof is transient and the agent did not recover: failed",
    ),
    (
        "I6",
        "no recovery, for a cause that the other fault does not explain",
        ev(
            struck(fault="stream-clean-eof"),
            struck("store:commit#1.before", "disk-full"),
            claim("failed", cause="stream_cut"),
            faults=["disk-full", "stream-clean-eof"],
            must_recover=True,
        ),
        "stream-clean-eof is transient and the agent did not recover: failed",
    ),
    (
        "I8",
        "a tool run on a cut turn",
        ev(asked(1), CUT_CALL, called(1), turn(2, text="Done.")),
        "refund was run on the cut turn of llm#1",
    ),
    (
        "I8",
        "a tool run before the cut is known",
        ev(asked(1), called(1), CUT_CALL, turn(2, text="Done.")),
        "refund was run on the cut turn of llm#1",
    ),
    (
        "I8",
        "cut text kept",
        ev(asked(1), CUT, turn(2, text="x", history=[{"role": "assistant", "content": "Order 7 is"}])),
        "the cut text of llm#1 is in the history of llm#2",
    ),
    (
        "I8",
        "cut text kept as parts",
        ev(
            asked(1),
            CUT,
            turn(2, text="x", history=[{"role": "assistant", "content": [{"type": "text", "text": "Order 7 is"}]}]),
        ),
        "the cut text of llm#1",
    ),
    (
        "I8",
        "cut text kept beside the retry",
        ev(
            asked(1),
            CUT,
            turn(1, 2, text="Order 7 is paid."),
            turn(2, text="x", history=[{"role": "assistant", "content": "Order 7 is "}]),
        ),
        "the cut text of llm#1",
    ),
    (
        "I8",
        "cut text kept, seen in a later request only",
        ev(
            asked(1),
            CUT,
            turn(2, text="x"),
            turn(3, text="y", history=[{"role": "assistant", "content": "Order 7 is"}]),
        ),
        "in the history of llm#3",
    ),
    (
        "I8",
        "a cut call kept",
        ev(
            asked(1),
            CUT_CALL,
            turn(2, text="x", history=[{"role": "assistant", "content": None, "tool_calls": [{"id": "call_1_0"}]}]),
        ),
        "a call of the cut turn of llm#1",
    ),
    (
        "I8",
        "a cut call kept as an item",
        ev(
            asked(1),
            CUT_CALL,
            turn(2, text="x", history=[{"type": "function_call", "call_id": "call_1_0", "name": "refund"}]),
        ),
        "a call of the cut turn of llm#1",
    ),
    ("I8", "success on a cut turn", ev(asked(1), CUT, claim()), "was taken for the whole answer"),
    (
        "I8",
        "success on a stall the agent gave up on",
        ev(asked(1), struck("llm#1", "stream-stall"), said(1, text="Order", end="closed"), claim()),
        "was taken for the whole answer",
    ),
    (
        "I8",
        "attempts glued",
        ev(
            asked(1),
            CUT,
            turn(1, 2, text="Order 7 is paid."),
            turn(2, text="x", history=[{"role": "assistant", "content": "Order 7 isOrder 7 is paid."}]),
        ),
        "the history of llm#2 joins several attempts of llm#1",
    ),
    (
        "I8",
        "attempts glued in a history of Gemini's",
        ev(
            asked(1),
            CUT,
            turn(1, 2, text="Order 7 is paid."),
            turn(2, text="x", history=[{"role": "model", "parts": [{"text": "Order 7 isOrder 7 is paid."}]}]),
        ),
        "the history of llm#2 joins several attempts of llm#1",
    ),
    (
        "I8",
        "attempts glued in the answer",
        ev(asked(1), CUT, turn(1, 2, text="Order 7 is paid."), claim(detail="'Order 7 isOrder 7 is paid.'")),
        "the answer joins several attempts of llm#1",
    ),
    (
        "I9",
        "arguments that are not valid",
        ev(turn(1, calls=["refund"]), called(1, problem="order: missing")),
        "refund(order=7) was run and is not valid: order: missing",
    ),
    ("I9", "a call of a cut turn", ev(asked(1), CUT_CALL, called(1)), "was run from a turn that never ended"),
    (
        "I9",
        "a call of a turn that is cut a moment later",
        ev(asked(1), called(1), CUT_CALL),
        "was run from a turn that never ended",
    ),
    (
        "I9",
        "a call of a cut turn under its name on the wire",
        ev(asked(1), said(1, calls=["payments_refund"], end="timeout"), called(1, tool="payments.refund")),
        "never ended",
    ),
    (
        "I10",
        "a history refused",
        ev(asked(1), not_taken()),
        "Anthropic Messages refuses the history: messages.1: `tool",
    ),
    (
        "I10",
        "the same parameter refused twice",
        ev(not_taken(about="request"), not_taken(about="request")),
        "the same request was refused 2 times in a row: messages.1",
    ),
    ("I14", "an effect after a cancel", ev(cancelled(), used(1), nothing_left()), "after the task had been cancelled"),
    (
        "I14",
        "an effect after a cancel, and then a death",
        ev(cancelled(), used(1), died(), nothing_left()),
        "after the task had been cancelled",
    ),
    (
        "I14",
        "what a user asked for, forgotten by another process",
        ev(cancelled("request"), died(), used(1), used(2, order=8), nothing_left()),
        "refund(order=8) was begun after the task had been cancelled",
    ),
]

RIGHT = [
    ("I1", "once", ev(*CLEAN)),
    ("I1", "twice, as in the clean run", ev(used(1), used(2), clean=[used(1), used(2)])),
    ("I1", "twice, for two orders", ev(used(1), used(2, order=8))),
    ("I1", "one key, one effect", ev(used(1, status="lost", key="a"), called(1, 2, key="a"), replied(1, 2))),
    (
        "I1",
        "failed, then done under another key by another step",
        ev(used(1, status="error", key="a"), used(2, key="b")),
    ),
    ("I1", "none, where the clean run has one", ev(claim("failed"), clean=CLEAN)),
    ("I3", "an honest success", ev(*CLEAN, WorldChecked(name="paid", holds=True, detail=""), clean=CLEAN)),
    (
        "I3",
        "another way to the same world",
        ev(used(1, tool="backup"), claim(), WorldChecked(name="paid", holds=True, detail=""), clean=CLEAN),
    ),
    (
        "I3",
        "an honest failure",
        ev(turn(1, text="x"), claim("failed"), WorldChecked(name="paid", holds=False, detail=""), clean=CLEAN),
    ),
    ("I3", "an honest unknown", ev(used(1, status="lost"), claim("unknown"), clean=CLEAN)),
    (
        "I3",
        "a cause the fault explains",
        ev(claim("failed", cause="insufficient_quota"), faults=["insufficient-quota"]),
    ),
    (
        "I3",
        "unknown, then tried again under its key",
        ev(used(1, status="lost", key="a"), called(1, 2, key="a"), replied(1, 2), claim()),
    ),
    (
        "I3",
        "unknown, then asked about",
        ev(used(1, status="lost"), used(1, tool="status", effect=False, order=7), claim()),
    ),
    ("I3", "a cut turn, asked again", ev(asked(1), CUT, turn(1, 2, text="Done."), claim())),
    ("I3", "a stream the agent itself stops reading", ev(asked(1), said(1, text="Yes", end="closed"), claim())),
    ("I3", "a failure on a cut turn", ev(asked(1), CUT, claim("failed"))),
    ("I4", "an end", ev(*CLEAN)),
    ("I6", "one attempt", ev(refused(1), struck(), claim("failed"), faults=["insufficient-quota"])),
    (
        "I3",
        "left open after a death, when by the clock the time for it is over",
        ev(claim("unknown", cause="interrupted"), faults=["crash-before-call", "wall-clock-jumps"]),
    ),
    (
        "I6",
        "a process that died with the answer",
        ev(
            refused(1),
            struck(),
            Died(site="process@store:commit#1.before"),
            refused(1, 2),
            struck("llm#1/2"),
            claim("failed"),
            faults=["insufficient-quota"],
        ),
    ),
    (
        "I6",
        "the next task asks once as well",
        ev(
            *(part for n in (1, 2) for part in (began(), refused(n), struck(f"llm#{n}"), claim("failed"))),
            faults=["insufficient-quota"],
        ),
    ),
    (
        "I6",
        "another model instead",
        ev(refused(1), struck(), refused(2, model="n"), struck("llm#2"), faults=["insufficient-quota"]),
    ),
    (
        "I6",
        "asked at once, before the first answer",
        ev(
            asked(1),
            asked(2),
            said(1, status=429),
            struck(),
            said(2, status=429),
            struck("llm#2"),
            faults=["insufficient-quota"],
        ),
    ),
    (
        "I6",
        "a limit, tried again",
        ev(refused(1, error="rate_limit_exceeded"), turn(1, 2, text="x"), claim(), faults=["stream-clean-eof"]),
    ),
    (
        "I6",
        "the control of a permanent fault",
        ev(
            turn(1),
            struck(fault="limit-just-used-up"),
            turn(2),
            struck("llm#2", "limit-just-used-up"),
            faults=["limit-just-used-up"],
        ),
    ),
    ("I6", "recovered", ev(claim(), faults=["stream-clean-eof"], must_recover=True)),
    (
        "I6",
        "tried once more by a second worker, as the first could not store what it had heard",
        ev(
            durable(),
            refused(1),
            struck(),
            struck("store:commit#2.before", "store-locked"),
            durable(3, life=2),
            refused(1, 2),
            struck("llm#1/2"),
            faults=["insufficient-quota", "second-worker", "store-locked"],
        ),
    ),
    (
        "I6",
        "no recovery from what never struck",
        ev(
            struck("store:commit#1.before", "disk-full"),
            claim("failed", cause="disk_full"),
            faults=["disk-full", "second-worker"],
            must_recover=True,
        ),
    ),
    (
        "I6",
        "no recovery where another fault explains it",
        ev(
            struck(fault="stream-clean-eof"),
            struck("store:commit#1.before", "disk-full"),
            claim("failed", cause="disk_full"),
            faults=["disk-full", "stream-clean-eof"],
            must_recover=True,
        ),
    ),
    ("I6", "no recovery, and none demanded", ev(claim("failed"), faults=["stream-clean-eof"])),
    ("I6", "no recovery from what is permanent", ev(claim("failed"), faults=["insufficient-quota"], must_recover=True)),
    ("I8", "a whole turn", ev(*CLEAN)),
    (
        "I8",
        "a call of the whole turn kept as an item",
        ev(
            asked(1),
            CUT_CALL,
            turn(1, 2, calls=["refund"]),
            turn(2, text="x", history=[{"type": "function_call", "call_id": "call_1_0_2", "name": "refund"}]),
        ),
    ),
    (
        "I8",
        "cut, and asked again",
        ev(
            asked(1),
            CUT,
            turn(1, 2, text="Order 7 is paid."),
            turn(2, history=[{"role": "assistant", "content": "Order 7 is paid."}]),
            claim(),
        ),
    ),
    (
        "I8",
        "cut just before its end, and asked again with the same words",
        ev(
            asked(1),
            said(1, text="Paid.", end="cut"),
            turn(1, 2, text="Paid."),
            turn(2, history=[{"role": "assistant", "content": "Paid."}]),
            claim(),
        ),
    ),
    (
        "I8",
        "a cut call, asked again under the same id",
        ev(
            asked(1),
            CUT_CALL,
            asked(1, 2),
            dataclasses.replace(CUT_CALL, site="llm#1/2", attempt=2, end="complete"),
            called(1),
            turn(2, history=[{"role": "assistant", "tool_calls": [{"id": "call_1_0"}]}]),
            claim(),
        ),
    ),
    (
        "I8",
        "cut text, and then a tool of the agent's own",
        ev(asked(1), CUT, called(1, tool="health", effect=False), turn(1, 2, text="x"), claim()),
    ),
    (
        "I8",
        "a tool of an earlier turn, run while another turn is cut",
        ev(turn(1, calls=["refund"]), asked(2), said(2, text="x", end="cut"), called(1), turn(2, 2, text="y"), claim()),
    ),
    (
        "I8",
        "the user quotes the cut text",
        ev(asked(1), CUT, turn(2, text="x", history=[{"role": "user", "content": "Order 7 is"}])),
    ),
    (
        "I8",
        "a thought of Gemini's is no text",
        ev(
            asked(1),
            CUT,
            turn(1, 2, text="Order 7 is paid."),
            turn(2, text="x", history=[{"role": "model", "parts": [{"text": "Order 7 is", "thought": True}]}]),
        ),
    ),
    ("I8", "an honest failure on a cut turn", ev(asked(1), CUT, claim("failed"))),
    (
        "I8",
        "the slower of two streams closed by the agent",
        ev(asked(1), asked(2), said(2, text="x"), said(1, text="y", end="closed"), claim()),
    ),
    ("I8", "an error is not a turn", ev(refused(1), claim("failed"))),
    ("I9", "valid calls", ev(*CLEAN)),
    ("I9", "none run, where the clean run has one", ev(asked(1), CUT_CALL, claim("failed"), clean=CLEAN)),
    ("I9", "cut, asked again, then run", ev(asked(1), CUT_CALL, turn(1, 2, calls=["refund"]), called(1))),
    ("I9", "a tool the cut turn does not call", ev(asked(1), CUT_CALL, called(1, tool="health"))),
    ("I9", "an eager agent on a turn that does end", ev(asked(1), called(1), said(1, calls=["refund"]))),
    ("I10", "a request taken", ev(turn(1, text="x"))),
    ("I10", "a parameter refused, and left out then", ev(not_taken(about="request"), turn(1, text="x"))),
    ("I10", "two parameters refused", ev(not_taken(about="request"), not_taken("c", about="request"))),
    ("I14", "an effect before the cancel", ev(used(1), cancelled(), nothing_left())),
    (
        "I14",
        "the process dies with the client that went away, and another one goes on",
        ev(cancelled(), died(), used(1), nothing_left()),
    ),
]

NOT_JUDGED = [
    ("I1", "no tool with effects", ev(used(1, effect=False), claim())),
    ("I3", "no claim", ev(turn(1, text="x"))),
    ("I8", "no model", ev(used(1), claim())),
    ("I9", "no tool", ev(turn(1, text="x"), claim())),
    ("I10", "no model", ev(used(1), claim())),
]


def ids(cases):
    return [f"{case[0]}-{case[1]}".replace(" ", "_") for case in cases]


@pytest.mark.parametrize(("id_", "what", "case", "headline"), WRONG, ids=ids(WRONG))
def test_it_fires(id_, what, case, headline):
    found = CHECKS[id_](case)
    assert found, what
    assert any(headline in violation.headline for violation in found), [violation.headline for violation in found]
    assert {violation.id for violation in found} == {id_}
    assert all(str(violation).startswith(f"{id_} {violation.name}: ") for violation in found)


@pytest.mark.parametrize(("id_", "what", "case"), RIGHT, ids=ids(RIGHT))
def test_it_keeps_quiet(id_, what, case):
    assert CHECKS[id_](case) == []


@pytest.mark.parametrize(("id_", "what", "case"), NOT_JUDGED, ids=ids(NOT_JUDGED))
def test_it_cannot_judge(id_, what, case):
    assert CHECKS[id_](case) is None


def test_every_check_has_both_kinds_of_case():
    # Those of a runtime's own log have theirs in test_runtime_checks.py.
    of_the_runtime = {"I5", "I11", "I12", "I13", "I20"}
    assert {case[0] for case in WRONG} == {case[0] for case in RIGHT} == set(CHECKS) - of_the_runtime


def test_all_at_once():
    violations, not_judged = check_all(ev(used(1, status="lost"), used(1, 2), claim("failed", crash=True)))
    assert [violation.id for violation in violations] == ["I1", "I3"]
    assert not_judged == ["I8", "I10", "I11", "I13", "I20"]


def test_a_check_leaves_the_evidence_as_it_is():
    case = ev(*CLEAN, clean=CLEAN, faults=["stream-clean-eof"], must_recover=True)
    before = (tuple(case.events), tuple(case.baseline))
    check_all(case)
    check_all(case)
    assert (tuple(case.events), tuple(case.baseline)) == before
