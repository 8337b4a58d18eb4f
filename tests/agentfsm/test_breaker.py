"""The breaker: when it opens, who may probe, and what a broken value does."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentfsm.breaker import ALLOWED, Blocked, Breaker, healthy, malformed, state_of
from agentfsm.breakers import SOON_S, Breakers
from agentfsm.errors import Conflict, DefinitionError, StoreError
from agentfsm.records import Control
from agentfsm.recovery import ErrorClass

RULES = Breaker(threshold=3, cool_s=10.0, probe_s=5.0)


def failed(times: int, now: float = 100.0):
    value = None
    for _ in range(times):
        value = RULES.after(value, False, now, "call")
    return value


def half_open(now: float = 110.0, owner: str = "probe"):
    return RULES.allow(failed(3), now, owner).claims


def test_it_opens_after_so_many_failures_in_a_row():
    assert state_of(failed(2), 100.0) == "closed"
    assert state_of(failed(3), 100.0) == "open"
    assert RULES.allow(failed(3), 109.9, "c") == Blocked(110.0)


def test_a_success_in_between_starts_the_count_anew():
    assert RULES.after(failed(2), True, 100.0, "c")["failures"] == 0


def test_a_success_where_all_is_well_writes_nothing():
    assert RULES.after(None, True, 100.0, "c") is None
    assert RULES.after(RULES.after(failed(1), True, 100.0, "c"), True, 100.0, "c") is None


def test_one_probe_at_a_time_is_let_through_and_its_claim_is_stored_first():
    value = half_open()
    assert state_of(value, 110.0) == "half_open"
    assert RULES.allow(value, 110.0, "other") == Blocked(115.0)
    assert RULES.allow(value, 110.0, "probe") == ALLOWED


def test_a_probe_whose_owner_died_is_given_up():
    taken = RULES.allow(half_open(), 115.0, "next").claims
    assert taken["probe"] == {"owner": "next", "until": 120.0}
    assert RULES.after(taken, True, 116.0, "probe") is None


@pytest.mark.parametrize(("ok", "state"), [(True, "closed"), (False, "open")])
def test_the_probe_decides(ok, state):
    assert state_of(RULES.after(half_open(), ok, 111.0, "probe"), 111.0) == state


def test_a_probe_that_was_not_heard_makes_room_for_the_next():
    value = RULES.after(half_open(), None, 111.0, "probe")
    assert RULES.allow(value, 111.0, "next").claims["probe"]["owner"] == "next"


@pytest.mark.parametrize("ok", [True, False, None])
def test_replies_of_calls_that_began_before_it_opened_change_nothing(ok):
    assert RULES.after(failed(3), ok, 101.0, "late") is None
    assert RULES.after(half_open(), ok, 111.0, "late") is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, "", True),
        (ErrorClass.TRANSIENT, "timeout", False),
        (ErrorClass.CONTRACT_VIOLATION, "contract_violation", False),
        (ErrorClass.PERMANENT, "tool_crashed", False),
        (ErrorClass.INVALID_INPUT, "invalid_input", True),
        (ErrorClass.PERMANENT, "order_closed", True),
        (ErrorClass.TRANSIENT, "throttled", None),
        (ErrorClass.TRANSIENT, "interrupted", None),
    ],
)
def test_only_what_the_tool_is_to_blame_for_counts(error, code, said):
    assert healthy(error, code) is said


PROBE = {"owner": "x", "until": 100}
OPEN_VALUE = {"state": "open", "failures": 3, "opened_at": 90.0, "until": 105.0, "probe": None}
BROKEN = [
    "open",
    [],
    {},
    {**OPEN_VALUE, "state": "ajar"},
    {**OPEN_VALUE, "state": ["open"]},
    {**OPEN_VALUE, "failures": True},
    {**OPEN_VALUE, "failures": -1},
    {**OPEN_VALUE, "until": 1e300},
    {**OPEN_VALUE, "until": float("nan")},
    {**OPEN_VALUE, "until": "tomorrow"},
    {**OPEN_VALUE, "probe": "x"},
    {**OPEN_VALUE, "probe": {"owner": 7, "until": 100}},
    {**OPEN_VALUE, "probe": {"owner": "x", "until": None}},
]


@pytest.mark.parametrize("value", BROKEN, ids=repr)
def test_what_is_no_state_blocks_nothing_and_the_next_reply_replaces_it(value):
    assert malformed(value, 100.0)
    assert RULES.allow(value, 100.0, "c") == ALLOWED
    assert malformed(RULES.after(value, True, 100.0, "c"), 100.0) is None
    assert RULES.after(value, False, 100.0, "c")["failures"] == 1


def test_a_sound_value_is_not_called_malformed():
    assert malformed(OPEN_VALUE, 100.0) is None
    assert malformed({**OPEN_VALUE, "state": "half_open", "probe": PROBE}, 100.0) is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
field = st.sampled_from(["state", "failures", "until", "probe"])


@given(change=st.dictionaries(field, plain | st.just(PROBE), max_size=3), whole=plain, take=st.booleans())
def test_no_stored_value_makes_it_raise(change, whole, take):
    value = whole if take else {**OPEN_VALUE, **change}
    said = RULES.allow(value, 100.0, "c")
    assert said.until <= 100.0 + 3600 if isinstance(said, Blocked) else True
    for ok in (True, False, None):
        RULES.after(value, ok, 100.0, "c")


@pytest.mark.parametrize("rules", [{"threshold": 0}, {"cool_s": 0}, {"cool_s": 1e9}, {"probe_s": float("nan")}])
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(DefinitionError, match="threshold must be at least 1"):
        Breaker(**rules)


class Now:
    def __init__(self):
        self.now = 100.0

    def time(self):
        return self.now


class Kept:
    """The controls of a store, with compare-and-set, and a way to break it."""

    def __init__(self):
        self.values: dict[str, Control] = {}
        self.writes = 0
        self.broken = self.unheard = False

    async def controls(self):
        if self.broken:
            raise StoreError("gone")
        return self.writes, dict(self.values)

    async def set_control(self, key, value, at, *, expected=None):
        version = self.values[key].version if key in self.values else 0
        if self.broken:
            raise StoreError("gone")
        if expected is not None and expected != version:
            raise Conflict("stale")
        self.writes += 1
        self.values[key] = Control(key, value, version + 1)
        if self.unheard:
            self.unheard = False
            raise StoreError("written, but nobody heard")
        return version + 1


class Bench:
    def __init__(self, **options):
        self.store, self.clock, self.reports = Kept(), Now(), []
        self.breakers = Breakers(
            self.store, self.clock, RULES, report=lambda *told: self.reports.append(told), **options
        )

    def allow(self, cache, owner="c", tool="t"):
        return asyncio.run(self.breakers.allow(cache, tool, owner))

    def record(self, cache, ok, owner="c", tool="t"):
        return asyncio.run(self.breakers.record(cache, tool, owner, ok))


def test_workers_with_stale_caches_count_together_and_one_of_them_probes():
    bench, caches = Bench(), [{}, {}, {}]
    assert [bench.record(cache, ok=False) for cache in caches] == [(), (), ("open",)]
    bench.clock.now += 10
    for cache in caches:
        cache.update(bench.store.values)
    said = [bench.allow(cache, f"call {i}") for i, cache in enumerate(caches)]
    assert said == [ALLOWED, Blocked(115.0), Blocked(115.0)]
    assert bench.record(caches[0], True, "call 0") == ("half_open", "closed")


def test_a_tool_that_is_well_costs_no_query_and_no_write():
    bench, cache = Bench(), {}
    bench.store.broken = True
    assert bench.allow(cache) == ALLOWED
    assert bench.record(cache, ok=True) == ()
    assert bench.reports == []


def test_tools_have_rules_of_their_own_and_do_not_share_a_count():
    bench, cache = Bench(per_tool={"brittle": Breaker(threshold=1)}), {}
    assert bench.record(cache, ok=False, tool="brittle") == ("open",)
    assert bench.record(cache, ok=False) == ()
    assert bench.allow(cache) == ALLOWED


def test_where_the_store_is_gone_a_probe_waits_and_a_reply_goes_on_uncounted():
    bench, cache = Bench(), {}
    for _ in range(3):
        bench.record(cache, ok=False)
    bench.clock.now += 10
    bench.store.broken = True
    assert bench.allow(cache) == Blocked(bench.clock.now + SOON_S)
    assert bench.record({}, ok=False) == ()
    assert [code for code, _ in bench.reports] == ["breaker_store", "breaker_store"]


def test_a_claim_that_was_stored_unheard_is_still_the_callers_own():
    bench, cache = Bench(), {}
    for _ in range(3):
        bench.record(cache, ok=False)
    bench.clock.now += 10
    bench.store.unheard = True
    assert isinstance(bench.allow(cache, "mine"), Blocked)
    assert bench.allow(cache, "mine") == ALLOWED


def test_a_malformed_value_is_reported_once():
    bench = Bench()
    bench.store.values["breaker:t"] = Control("breaker:t", {"state": "ajar"}, 4)
    cache = dict(bench.store.values)
    assert [bench.allow(cache), bench.allow(cache)] == [ALLOWED, ALLOWED]
    assert [(code, facts["tool"]) for code, facts in bench.reports] == [("breaker_malformed", "t")]
    assert bench.record(cache, ok=True) == ()
    assert bench.store.values["breaker:t"].value["state"] == "closed"


def test_asking_of_a_tool_that_is_well_is_a_look_into_a_dict():
    async def many():
        breakers, cache = Bench().breakers, {}
        started = time.perf_counter()
        for _ in range(10_000):
            await breakers.allow(cache, "t", "c")
            await breakers.record(cache, "t", "c", True)
        return (time.perf_counter() - started) / 10_000

    assert min(asyncio.run(many()) for _ in range(3)) < 20e-6  # measured: under 1 us


class Workers(RuleBasedStateMachine):
    """Several workers, each with a cache that may be stale, beside a plain account of what they may do."""

    def __init__(self):
        super().__init__()
        self.bench = Bench()
        self.caches = [{}, {}, {}]
        self.calls: dict[str, tuple[int, float]] = {}  # under way: worker and when it began
        self.dead: set[str] = set()
        self.made = 0

    def stored(self):
        held = self.bench.store.values.get("breaker:t")
        return held.value if held else None

    @rule(worker=st.integers(0, 2))
    def begin(self, worker):
        self.made += 1
        owner, now = f"call {self.made}", self.bench.clock.now
        said = self.bench.allow(self.caches[worker], owner)
        if said == ALLOWED:
            self.calls[owner] = (worker, now)
            cached = self.caches[worker].get("breaker:t")
            if cached is not None and cached.value["state"] != "closed":
                assert self.stored()["probe"]["owner"] == owner, "a probe that is not claimed"
        else:
            assert said.until > now

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), ok=st.sampled_from([True, False, False, None]))
    def end(self, data, ok):
        owner = data.draw(st.sampled_from(sorted(self.calls)))
        worker, _ = self.calls.pop(owner)
        before = self.stored()
        turned = self.bench.record(self.caches[worker], ok, owner)
        after = self.stored()
        probing = before is not None and (before["probe"] or {}).get("owner") == owner
        if before is not None and before["state"] != "closed" and not probing:
            assert (turned, after) == ((), before), "a reply that is not the probe's moved an open breaker"
        if turned:
            assert (turned[0] == "half_open") is probing
        if turned[-1:] == ("open",):
            assert ok is False
            assert probing or before["failures"] == RULES.threshold - 1
        if turned[-1:] == ("closed",):
            assert probing
            assert ok

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def die(self, data):
        owner = data.draw(st.sampled_from(sorted(self.calls)))
        del self.calls[owner]
        self.dead.add(owner)

    @rule(worker=st.integers(0, 2))
    def refresh(self, worker):
        self.caches[worker].update(self.bench.store.values)

    @rule(delay_s=st.sampled_from([0.1, 4.0, 11.0]))
    def wait(self, delay_s):
        self.bench.clock.now += delay_s

    @rule()
    def the_store_takes_a_write_unheard(self):
        self.bench.store.unheard = True

    @invariant()
    def at_most_one_probe_has_the_floor_and_the_state_is_sound(self):
        value = self.stored()
        assert malformed(value, self.bench.clock.now) is None
        if value is not None and value["state"] == "closed":
            assert value["failures"] < RULES.threshold

    def teardown(self):
        """Whatever happened, once all is well again the tool is to be had."""
        self.bench.store.unheard = False
        self.bench.clock.now += RULES.cool_s + RULES.probe_s
        cache = dict(self.bench.store.values)
        assert self.bench.allow(cache, "last") == ALLOWED
        self.bench.record(cache, True, "last")
        assert state_of(self.stored(), self.bench.clock.now) == "closed"


Workers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkers = Workers.TestCase
