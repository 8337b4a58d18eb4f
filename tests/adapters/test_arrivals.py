"""What arrives from outside: in which order and when, under faults and over deaths, and when it is acknowledged."""

import asyncio
import json

import pytest

from pytest_agent import Arrival
from pytest_agent.adapters.arrivals import Mailbox
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.sites import list_sites
from pytest_agent.errors import ProcessDied, UsageError
from pytest_agent.trace import EventDelivered, FaultApplied, OutcomeClaimed

PLACED = Arrival("shop", "e1", "order.placed", {"order": 7})
PAID = Arrival("bank", "e2", "order.paid", {"order": 7})
PACKED = Arrival("shop", "e3", "order.packed")


class Heard:
    """Notes what comes and when; `fails` are what it ends with, the first time first."""

    def __init__(self, run, *fails):
        self.run, self.fails, self.events = run, list(fails), []

    async def __call__(self, event):
        self.events.append((event.event_id, self.run.clock.elapsed_s))
        if self.fails and (error := self.fails.pop(0)):
            raise error
        return event.event_id


def deliver(run, mailbox, heard):
    with run.inside():
        return asyncio.run(mailbox.deliver(run.seams, heard))


def acknowledged(run):
    return [event.event_id for event in run.trace.of(EventDelivered)]


def struck(run):
    return [(event.fault, event.site, event.detail) for event in run.trace.of(FaultApplied)]


@pytest.mark.parametrize(
    ("schedule", "came"),
    [
        ("", [("e1", 0), ("e2", 0), ("e3", 0)]),
        ("event-duplicated@event:order.placed", [("e1", 0), ("e1", 3), ("e2", 3), ("e3", 3)]),
        (
            "event-duplicated(times=3,apart_s=10)@event:order.packed",
            [("e1", 0), ("e2", 0), *[("e3", n) for n in (0, 10, 20)]],
        ),
        ("event-reordered@event:order.paid", [("e1", 0), ("e3", 0), ("e2", 0)]),
        ("event-unknown@event:order.paid", [("e1", 0), ("e2-stranger", 0), ("e2", 0), ("e3", 0)]),
        ("event-late@event:order.paid", [("e1", 0), ("e2", 2), ("e3", 2)]),
        ("event-much-later@event:order.placed", [("e1", 60), ("e2", 60), ("e3", 60)]),
        ("event-with-more@event:order.placed", [("e1", 0), ("e2", 0), ("e3", 0)]),
        # Two at one site act on the event that the site is named after, whatever came before it since.
        (
            "event-duplicated@event:order.paid; event-unknown@event:order.paid",
            [("e1", 0), ("e2-stranger", 0), ("e2", 0), ("e2", 3), ("e3", 3)],
        ),
        # What has moved up is struck as its own turn comes.
        ("event-late@event:order.paid; event-reordered@event:order.placed", [("e2", 2), ("e1", 2), ("e3", 2)]),
    ],
)
def test_what_comes_and_when(run_under, schedule, came):
    run = run_under(schedule)
    heard = Heard(run)
    assert deliver(run, Mailbox([PLACED, PAID, PACKED]), heard) == came[-1][0]
    assert heard.events == came
    assert acknowledged(run) == [event_id for event_id, _ in came]
    assert sorted(fault for fault, _, _ in struck(run)) == sorted(fault.name for fault in run.schedule.faults)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            "event-duplicated@event:order.placed",
            "there came order.placed shop/e1, then order.placed shop/e1 after 3 s",
        ),
        ("event-reordered@event:order.placed", "there came order.paid bank/e2, then order.placed shop/e1"),
        ("event-unknown@event:order.placed", "there came account.renamed shop/e1-stranger"),
        ("event-late@event:order.placed", "there came order.placed shop/e1 after 2 s"),
        ("event-with-more@event:order.placed", "there came order.placed shop/e1 with more in it"),
    ],
)
def test_what_struck_is_said_in_one_line(run_under, schedule, said):
    run = run_under(schedule)
    deliver(run, Mailbox([PLACED, PAID]), Heard(run))
    assert struck(run) == [(schedule.partition("@")[0], "event:order.placed#1", said)]


@pytest.mark.parametrize(
    ("schedule", "arrivals"),
    [
        ("event-reordered@event:order.placed", [PLACED]),
        ("event-reordered@event:order.paid", [PLACED, PAID]),
        ("event-reordered@event:order.placed", [PLACED, PLACED]),
        ("event-with-more@event:order.packed", [PACKED]),
        ("event-duplicated@event:order.placed#2", [PLACED]),
        ("event-unknown@event:order.paid", []),
    ],
)
def test_a_fault_that_finds_nothing_to_act_on_has_not_struck(run_under, schedule, arrivals):
    run = run_under(schedule)
    heard = Heard(run)
    deliver(run, Mailbox(arrivals), heard)
    assert [event_id for event_id, _ in heard.events] == [arrival.event_id for arrival in arrivals]
    assert struck(run) == []
    assert not run.seams.faulted


def test_nothing_is_acknowledged_that_was_not_taken_and_it_is_sent_again(run_under):
    run = run_under()
    mailbox, heard = Mailbox([PLACED, PAID]), Heard(run, None, OSError("no"), OSError("no"))
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            deliver(run, mailbox, heard)
        assert acknowledged(run) == ["e1"]
        assert not mailbox.is_empty
    deliver(run, mailbox, heard)
    assert acknowledged(run) == ["e1", "e2"]
    assert mailbox.is_empty
    assert deliver(run, mailbox, heard) is None
    assert len(heard.events) == 4


def test_a_dead_process_acknowledges_nothing_even_where_it_swallows_its_death(run_under):
    run = run_under()
    mailbox = Mailbox([PLACED])

    async def swallows(_event):
        run.seams.dead = True

    for _ in range(2):
        with pytest.raises(ProcessDied):
            deliver(run, mailbox, swallows)
        assert acknowledged(run) == []
    run.seams.dead = False
    deliver(run, mailbox, Heard(run))
    assert acknowledged(run) == ["e1"]


OVER_A_DEATH = [
    ("event-duplicated@event:order.placed", ["e1", "e1", "e2"]),
    ("event-reordered@event:order.placed", ["e2", "e1"]),
    ("event-unknown@event:order.placed", ["e1-stranger", "e1", "e2"]),
    ("event-much-later@event:order.placed", ["e1", "e2"]),
    ("event-with-more@event:order.placed", ["e1", "e2"]),
]


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in a file"])
@pytest.mark.parametrize(("schedule", "order"), OVER_A_DEATH)
def test_over_deaths_each_delivery_is_acknowledged_once_in_the_order_that_the_fault_has_given(
    run_under, schedule, order, stored
):
    for dies_at in range(len(order)):
        run = run_under(schedule)
        mailbox, heard = Mailbox([PLACED, PAID]), Heard(run, *[None] * dies_at, ProcessDied("here"))
        with pytest.raises(ProcessDied):
            deliver(run, mailbox, heard)
        if stored:
            data = json.loads(json.dumps(mailbox.snapshot()))
            mailbox = Mailbox([PLACED, PAID])
            mailbox.restore(data)
        deliver(run, mailbox, heard)
        assert acknowledged(run) == order
        assert [event_id for event_id, _ in heard.events] == [
            *order[: dies_at + 1],
            *order[dies_at:],
        ]
        assert len(struck(run)) == 1


def test_what_came_late_once_is_sent_again_at_once(run_under):
    run = run_under("event-much-later@event:order.placed")
    mailbox, heard = Mailbox([PLACED]), Heard(run, ProcessDied("here"))
    with pytest.raises(ProcessDied):
        deliver(run, mailbox, heard)
    deliver(run, mailbox, heard)
    assert heard.events == [("e1", 60), ("e1", 60)]


def test_what_an_agent_does_to_a_payload_is_not_seen_by_the_next_delivery(run_under):
    run = run_under("event-duplicated@event:order.placed")
    seen = []

    async def takes(event):
        seen.append(event.payload.pop("order", "gone"))

    deliver(run, Mailbox([PLACED]), takes)
    assert seen == [7, 7]


def test_the_sites_of_what_arrived(run_under):
    run = run_under()
    again = Arrival("shop", "e3", "order.placed", {"order": 8})
    deliver(run, Mailbox([PLACED, PAID, again, again, PACKED]), Heard(run))
    assert [(str(seen.site), seen.seam, seen.facts) for seen in list_sites(run.trace.events)] == [
        ("event:order.placed#1", "event", {"followed": True, "fields": True}),
        ("event:order.paid#1", "event", {"followed": True, "fields": True}),
        ("event:order.placed#2", "event", {"followed": False, "fields": True}),
        ("event:order.placed#3", "event", {"followed": False, "fields": True}),
        ("event:order.packed#1", "event", {"followed": False, "fields": False}),
    ]


# For any agent: `run_agent.deliver(handler, *arrivals)`.


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_any_function_can_be_handed_events(run_under, kind):
    run = run_under("event-duplicated@event:order.placed#2")
    seen = []

    def handler(event):
        seen.append((event.source, event.event_id, event.kind, event.payload))
        return "taken"

    async def ahandler(event):
        return handler(event)

    async def test():
        run_agent = AgentRunner(run.seams)
        chosen = handler if kind == "sync" else ahandler
        assert await run_agent.deliver(chosen, PLACED, PAID) == "taken"
        # The arrivals of a run are numbered on.
        await run_agent.deliver(chosen, Arrival("shop", "e4", "order.placed"))

    with run.inside():
        asyncio.run(test())
    assert seen == [
        ("shop", "e1", "order.placed", {"order": 7}),
        ("bank", "e2", "order.paid", {"order": 7}),
        ("shop", "e4", "order.placed", None),
        ("shop", "e4", "order.placed", None),
    ]
    assert [event.outcome for event in run.trace.of(OutcomeClaimed)] == ["success", "success"]


def test_what_a_handler_raises_is_a_failure_and_raised_again(run_under):
    run = run_under()

    def handler(event):
        raise LookupError(event.kind)

    with run.inside(), pytest.raises(LookupError):
        asyncio.run(AgentRunner(run.seams).deliver(handler, PLACED, PAID))
    (claim,) = run.trace.of(OutcomeClaimed)
    assert (claim.outcome, claim.detail, claim.crash) == ("failed", "LookupError: order.placed", True)
    assert acknowledged(run) == []


def test_a_claim_that_is_no_outcome_is_refused_before_anything_is_delivered(run_under):
    run = run_under()
    with pytest.raises(UsageError, match=r"unknown outcome 'sucess'\. Did you mean 'success'\?"):
        asyncio.run(AgentRunner(run.seams).deliver(lambda _: None, PLACED, claims="sucess"))
    assert acknowledged(run) == []
