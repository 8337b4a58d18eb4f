"""The faults of events on agents: planted ones are found, their correct twins hold, over a death too."""

import asyncio
from pathlib import Path

import pytest

from agentfsm import SQLiteStore
from pytest_agent import Arrival
from pytest_agent.adapters.arrivals import Mailbox
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.invariants import Evidence, check_all
from pytest_agent.scenarios.check import find_build, read_scenario
from pytest_agent.scenarios.runner import prepare
from pytest_agent.trace import AgentEvent, Died, EventDelivered, FaultApplied, OutcomeClaimed, StoreCommitted

CATALOGUE = load_catalogue()
ACCOUNT = Path(__file__).parents[2] / "scenarios" / "business_account.yaml"
PLACED, PAID = Arrival("shop", "e1", "order.placed", {"order": 7}), Arrival("bank", "e2", "order.paid", {"order": 7})
CONTROLS = ["event-late", "event-with-more", "event-much-later"]
SITES = ["event:order.placed", "event:order.paid"]


class Careful:
    """Ships an order that was placed and is paid, whatever comes twice, early or unasked."""

    def __init__(self, ship):
        self.ship = ship
        self.seen, self.placed, self.paid = set(), set(), set()

    def __call__(self, event):
        if (event.source, event.event_id) in self.seen:
            return
        self.seen.add((event.source, event.event_id))
        if event.kind in {"order.placed", "order.paid"}:
            order = event.payload["order"]
            (self.placed if event.kind == "order.placed" else self.paid).add(order)
            if order in self.placed and order in self.paid:
                self.ship(order=order)


class ActsOnEach(Careful):
    """Takes each delivery for another event."""

    def __call__(self, event):
        self.seen.clear()
        super().__call__(event)


class TrustsTheOrder(Careful):
    """Drops what it is not ready for, and has acknowledged it."""

    def __call__(self, event):
        super().__call__(event)
        if not self.placed:
            self.paid.clear()


class FallsOverTheOrder(Careful):
    """Looks up what only comes with an event that it believes to come first."""

    def __call__(self, event):
        if event.kind == "order.paid":
            {order: order for order in self.placed}[event.payload["order"]]
        super().__call__(event)


class TakesAnyForThePayment(Careful):
    """Whatever comes once the order was placed, and is not known, is what it waits for."""

    def __call__(self, event):
        if self.placed and event.kind != "order.placed":
            for order in self.placed:
                self.ship(order=order)
        else:
            super().__call__(event)


class FallsOverTheUnknown(Careful):
    """Has a table of what it knows, and nothing beside it."""

    def __call__(self, event):
        {"order.placed": 1, "order.paid": 2}[event.kind]
        super().__call__(event)


def run_shop(run, kind):
    """The run of one agent to its end: its events."""

    @run.sandbox.tool("ship", effect=True)
    def ship(order: int):
        return "shipped"

    agent = kind(ship)
    error = None
    with run.inside():
        try:
            asyncio.run(AgentRunner(run.seams).deliver(agent, PLACED, PAID))
        except Exception as caught:  # noqa: BLE001 - judged below
            error = caught
        run.body_ended(error)
    return tuple(run.trace.events)


def judged(run_under, kind, schedule):
    """The ids of what does not hold. The clean run holds, and the fault has struck."""
    clean = run_shop(run_under(), kind)
    assert check_all(Evidence(clean, clean))[0] == []
    run = run_under(schedule)
    events = run_shop(run, kind)
    assert len([event for event in events if isinstance(event, FaultApplied)]) == 1
    named = tuple(CATALOGUE[fault.id] for fault in run.schedule.faults)
    return {violation.id for violation in check_all(Evidence(events, clean, named))[0]}


@pytest.mark.parametrize(
    ("kind", "schedule", "ids"),
    [
        (ActsOnEach, "event-duplicated@event:order.paid", {"I1"}),
        (ActsOnEach, "event-duplicated(times=3,apart_s=0)@event:order.paid", {"I1"}),
        (TrustsTheOrder, "event-reordered@event:order.placed", {"I3"}),
        (FallsOverTheOrder, "event-reordered@event:order.placed", {"I3"}),
        (TakesAnyForThePayment, "event-unknown@event:order.paid", {"I1"}),
        (FallsOverTheUnknown, "event-unknown@event:order.placed", {"I3"}),
        (FallsOverTheUnknown, "event-unknown@event:order.paid", {"I3"}),
    ],
)
def test_an_agent_that_mishandles_events_is_found_and_its_twin_holds(run_under, kind, schedule, ids):
    assert judged(run_under, kind, schedule) == ids
    assert judged(run_under, Careful, schedule) == set()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(
    "kind", [Careful, ActsOnEach, TrustsTheOrder, FallsOverTheOrder, TakesAnyForThePayment, FallsOverTheUnknown]
)
def test_a_control_hurts_nobody(run_under, kind, control, site):
    assert judged(run_under, kind, f"{control}@{site}") == set()


class Moves:
    """An agent that says which way its order goes. `early` says what it does with a payment that comes too soon."""

    TABLE = [("NEW", "placed", "PLACED"), ("PLACED", "paid", "SHIPPED")]  # noqa: RUF012

    def __init__(self, run, early):
        self.trace, self.state, self.early, self.held = run.trace, "NEW", early, []

    def __call__(self, event):
        name = event.kind.removeprefix("order.")
        if name not in {"placed", "paid"}:
            return
        if self.state == "NEW" and name == "paid" and self.early == "holds":
            self.held.append(name)
            return
        for told in (name, *self.held):
            to = "PLACED" if told == "placed" else "SHIPPED"
            move = {"kind": "transition", "request_id": "7", "from": self.state, "event": told, "to": to}
            self.trace.append(AgentEvent(data=move))
            self.state = to
        self.held.clear()

    def describe(self):
        return {"transitions": [{"state": a, "event": event, "to": b} for a, event, b in self.TABLE]}


class Restartable:
    """`Moves` as an agent that describes itself, which I11 needs."""

    def __init__(self, moves):
        self.moves = moves

    def describe(self):
        return self.moves.describe()

    async def start(self, seams):
        async def take(event):
            self.moves(event)

        return await Mailbox([PLACED, PAID]).deliver(seams, take)

    async def resume(self, seams):
        raise AssertionError("nobody has died")


@pytest.mark.parametrize(
    ("early", "schedule", "ids"),
    [
        ("moves on", "event-reordered@event:order.placed", {"I11"}),
        ("holds", "event-reordered@event:order.placed", set()),
        ("moves on", "event-unknown@event:order.placed", set()),
        ("moves on", "event-late@event:order.paid", set()),
    ],
)
def test_a_machine_that_an_early_event_moves_where_no_way_leads_is_found(run_under, early, schedule, ids):
    run = run_under(schedule)
    with run.inside():
        asyncio.run(AgentRunner(run.seams)(Restartable(Moves(run, early))))
    named = tuple(CATALOGUE[fault.id] for fault in run.schedule.faults)
    violations, not_judged = check_all(Evidence(run.trace.events, None, named))
    assert "I11" not in not_judged
    assert {violation.id for violation in violations} == ids
    assert run.seams.faulted


def test_through_pytest_the_careless_one_fails_with_its_line_and_the_careful_one_holds(project, results):
    project.makepyfile(
        """
        import pytest
        from pytest_agent import Arrival

        PAID = Arrival("bank", "e1", "order.paid", {"order": 7})

        def shop(sandbox):
            @sandbox.tool("ship", effect=True)
            def ship(order: int):
                return "shipped"
            return ship

        @pytest.mark.chaos(faults="event-*")
        async def test_careless(sandbox, run_agent):
            ship = shop(sandbox)
            await run_agent.deliver(lambda event: ship(order=7) if event.kind == "order.paid" else None, PAID)

        @pytest.mark.chaos(faults="event-*")
        async def test_careful(sandbox, run_agent):
            ship, seen = shop(sandbox), set()

            async def handle(event):
                if event.kind == "order.paid" and event.event_id not in seen:
                    seen.add(event.event_id)
                    ship(order=event.payload["order"])

            await run_agent.deliver(handle, PAID)
        """
    )
    project.runpytest("--chaos", "-q").assert_outcomes(failed=1, passed=1)
    careless, careful = results()["test_careless"], results()["test_careful"]
    (failure,) = careless["failures"]
    assert failure["ids"] == ["I1"]
    assert failure["replay"].endswith("--chaos-replay 'event-duplicated@event:order.paid#1'")
    # One event alone has none that it could change places with.
    assert careless["not_applied"] == careful["not_applied"] == ["event-reordered"]
    # It shows neither commits nor transitions: what cannot be judged is never said to have held.
    assert {run["verdict"] for run in careful["runs"]} == {"not judged"}
    assert {id_ for run in careful["runs"] for id_ in run["not_judged"]} == {"I11", "I13"}
    line = "event-duplicated@event:order.paid"
    project.runpytest("-k", "test_careless", "--chaos-replay", line).assert_outcomes(failed=1)
    project.runpytest("-k", "test_careful", "--chaos-replay", line).assert_outcomes(passed=1)


def test_a_replayed_fault_that_finds_no_event_is_not_applied(project, results):
    project.makepyfile(
        """
        import pytest
        from pytest_agent import Arrival

        @pytest.mark.chaos
        async def test_one(run_agent):
            await run_agent.deliver(lambda event: None, Arrival("bank", "e1", "order.paid"))
        """
    )
    for line in ("event-reordered@event:order.paid", "event-duplicated@event:order.payed"):
        project.runpytest("--chaos-replay", line)
        (run,) = results()["test_one"]["runs"]
        assert (run["schedule"].partition("#")[0], run["verdict"]) == (line, "not applied")


# The reference agent.


def test_the_shipped_account_survives_every_fault_of_an_event_at_every_event(project, results):
    (project.path / "scenarios").mkdir()
    text = ACCOUNT.read_text() + "faults: ['event-*']\n"
    (project.path / "scenarios" / "account.yaml").write_text(text)
    project.runpytest("-o", "agent_scenarios=scenarios", "--chaos", "scenarios").assert_outcomes(passed=1)
    found = results()["account"]
    assert {run["verdict"] for run in found["runs"]} == {"survived"}
    assert found["not_applied"] == []
    everywhere = ["event:contract.signed#1", "event:contract.signed#2", "event:user.message#1"]
    sites = {}
    for run in found["runs"]:
        fault, _, site = run["schedule"].partition("@")
        sites.setdefault(fault, []).append(site)
    assert {fault: sorted(where) for fault, where in sites.items()} == {
        "event-duplicated": everywhere,
        "event-late": everywhere,
        # The callback and its repetition are one event.
        "event-reordered": ["event:user.message#1"],
        "event-with-more": everywhere,
        "event-unknown": everywhere,
        "event-much-later": everywhere,
    }


def run_account(run):
    """The run of the agent to its end: its events, and the ids of those that arrived and are in its database."""
    file, scenario = read_scenario(ACCOUNT, "business_account.yaml")
    agent = prepare(scenario, find_build(file, scenario), run.llm, run.sandbox)
    with run.inside():
        asyncio.run(AgentRunner(run.seams)(agent, scenario.task))
        stored = asyncio.run(in_the_store(run))
        run.body_ended(None)
    return tuple(run.trace.events), stored


async def in_the_store(run):
    store = SQLiteStore(run.sandbox.folder / "tasks.db")
    try:
        return [
            event.event_id
            for event in run.trace.of(EventDelivered)
            if await store.event(event.source, event.event_id) is not None
        ]
    finally:
        await store.close()


@pytest.mark.parametrize(
    "fault",
    [
        "event-duplicated@event:contract.signed",
        "event-reordered@event:user.message",
        "event-unknown@event:contract.signed",
        "event-much-later@event:contract.signed",
    ],
)
def test_the_account_survives_it_with_a_death_at_any_commit_and_nothing_acknowledged_is_lost(run_under, fault):
    clean, _ = run_account(run_under())
    alone, _ = run_account(run_under(fault))
    usual = [event.event_id for event in alone if isinstance(event, EventDelivered)]
    commits = sorted({event.site for event in alone if isinstance(event, StoreCommitted)})
    assert len(commits) > 30
    for site in commits:
        run = run_under(f"crash-around-commit@process@{site}; {fault}")
        events, stored = run_account(run)
        named = tuple(CATALOGUE[item.id] for item in run.schedule.faults)
        assert check_all(Evidence(events, clean, named))[0] == [], site
        assert [event.outcome for event in events if isinstance(event, OutcomeClaimed)] == ["success"], site
        assert len([event for event in events if isinstance(event, Died)]) == 1, site
        assert {event.fault for event in events if isinstance(event, FaultApplied)} == {item.id for item in named}, site
        delivered = [event for event in events if isinstance(event, EventDelivered)]
        assert [event.event_id for event in delivered] == usual, site
        assert stored == usual, site
