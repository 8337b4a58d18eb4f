"""What every store has to do: the same calls give the same results on both."""

import asyncio
from dataclasses import replace

import pytest

from agentfsm import Commit, Conflict, InputChanged, State
from agentfsm.reading import snapshot
from agentfsm.records import Control, Inbound, Incident, Receipt


def test_what_is_committed_is_read_back(store, task, step):
    assert store.put(inserted=(step,), audit=({"kind": "x"}, {"kind": "y"})) == 1
    assert store.load("r1") == replace(task, version=1)
    assert store.steps("r1") == [step]
    assert store.audit("r1") == [{"kind": kind, "version": 1, "at": 1.5} for kind in "xy"]
    assert store.load("r2") is None


def test_every_field_of_a_task_comes_back(store, task):
    full = replace(
        task, attempt=3, business_state={"ü": [1, None, {"b": True}]}, last_error="late", budget_used={"usd": 0.1},
        outcome="partial", cause="c", answer="ja 🙂", ending={"outcome": "failed"}, wait_until=9.5, waited_s=0.25,
        next_run_at=8.0, asked={"kind": "approval"}, mode="dry_run", depth=2, owner="me", lease_until=7.5, fence=4,
        fsm_state=State.WAITING_EXTERNAL,
    )  # fmt: skip
    store.write(full)
    assert store.load("r1") == replace(full, version=1)
    changed = replace(full, version=1, answer="", ending=None, outcome=None, wait_until=None, owner=None, asked=None)
    store.write(changed)
    assert store.load("r1") == replace(changed, version=2)


def test_every_field_of_a_step_comes_back(store, step):
    full = replace(
        step, status="in_doubt", output_data=[1, "ü"], error_code="timeout", error_class="transient", finished_at=3.5,
        undoes=2, stands_in_for=1, not_before=2.5, tool_version=7, model="m", prompt="p@1:abc",
    )  # fmt: skip
    store.put(inserted=(full,))
    assert store.steps("r1") == [full]


def test_the_key_of_a_step_is_a_column(store, step):
    store.put(inserted=(replace(step, step_id=12),))
    assert store.raw("SELECT idempotency_key FROM agent_steps") == [("r1:12",)]


def test_versions_grow_by_one(store):
    assert [store.put(version) for version in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("stale", [0, 1, 3, 9])
def test_a_stale_version_is_refused_and_nothing_of_it_is_written(store, step, stale):
    store.put()
    store.put(1)
    before = store.whole()
    with pytest.raises(Conflict) as refused:
        store.put(stale, **everything(step))
    assert refused.value.fields == {"request_id": "r1", "version": stale}
    assert store.whole() == before
    assert store.put(2, **everything(step)) == 3


def everything(step):
    return {
        "inserted": (step,),
        "audit": ({"kind": "x"},),
        "event": Inbound("mail", "e1", "reply"),
        "incidents": (Incident("r1", "k", "code", "transient", "w@1", 1.0),),
        "controls": (Control("flag:a", True),),
    }


@pytest.mark.parametrize("fence", [0, 1, 3])
def test_a_stale_fence_is_refused_and_nothing_of_it_is_written(store, task, step, done, fence):
    """The result of a worker that was taken over is not accepted, however right it looks."""
    store.write(replace(task, fence=2), inserted=(step,))
    before = store.whole()
    with pytest.raises(Conflict) as refused:
        store.write(
            replace(task, version=1, fence=fence),
            finished=(done,),
            **{**everything(replace(step, step_id=2)), "audit": ({"kind": "late"},)},
        )
    assert (refused.value.code, refused.value.fields["fence"]) == ("fenced", fence)
    assert store.whole() == before


def test_a_commit_that_claims_raises_the_fence_by_one(store, task):
    store.put()
    store.write(replace(task, version=1, fence=1), claims=True)
    assert store.load("r1").fence == 1
    with pytest.raises(Conflict, match="taken over"):
        store.write(replace(task, version=2, fence=1), claims=True)
    store.write(replace(task, version=2, fence=1))


def test_an_attempt_is_finished_once(store, step, done):
    store.put(inserted=(step,))
    store.put(1, finished=(done,))
    assert store.steps("r1") == [done]
    with pytest.raises(Conflict, match="not pending"):
        store.put(2, finished=(replace(done, output_data={"receipt": "other"}),))
    assert store.steps("r1") == [done]


@pytest.mark.parametrize("ended", ["failed", "in_doubt"])
def test_a_key_that_is_open_or_done_takes_no_other_attempt_and_one_that_failed_does(store, step, done, ended):
    again = replace(step, attempt=2)
    store.put(inserted=(step,))
    with pytest.raises(InputChanged):
        store.put(1, inserted=(again,))
    store.put(1, finished=(replace(step, status=ended, error_code="timeout"),), inserted=(again,))
    with pytest.raises(InputChanged):
        store.put(2, finished=(replace(done, attempt=2),), inserted=(replace(step, attempt=3),))
    assert store.load("r1").version == 2


def test_another_input_under_a_taken_key_is_refused(store, step):
    store.put(inserted=(replace(step, status="failed"),))
    with pytest.raises(InputChanged):
        store.put(1, inserted=(replace(step, attempt=2, input_hash="other"),))
    assert store.put(1, inserted=(replace(step, attempt=2),)) == 2


def test_another_input_is_refused_in_the_very_commit_that_closes_the_attempt_before(store, step):
    store.put(inserted=(step,))
    failed = replace(step, status="failed")
    with pytest.raises(InputChanged):
        store.put(1, finished=(failed,), inserted=(replace(step, attempt=2, input_hash="other"),))
    assert [s.status for s in store.steps("r1")] == ["pending"]


def test_one_commit_takes_a_whole_group_of_steps(store, step):
    group = tuple(replace(step, step_id=n, call_id=f"c{n}") for n in range(1, 7))
    store.put(inserted=group)
    ended = tuple(replace(s, status="success", output_data=s.step_id) for s in group)
    store.put(1, finished=ended)
    assert store.steps("r1") == list(ended)
    with pytest.raises(InputChanged):
        store.put(2, inserted=(replace(step, step_id=9), replace(step, step_id=9, attempt=2)))
    assert store.steps("r1") == list(ended)


def test_half_a_commit_is_none(store, step, done):
    store.put(inserted=(step,))
    before = store.whole()
    for change in (
        {"inserted": (replace(step, step_id=2),), "finished": (replace(done, step_id=9),)},
        {"finished": (done,), "inserted": (replace(step, step_id=2), replace(step, attempt=2))},
        {"finished": (done,), "event": Inbound("mail", "e0", "x"), "controls": (Control("c", 1),)},
    ):
        if "event" in change:
            store.put(1, event=change["event"], audit=({"kind": "z"},))
            before = store.whole()
        with pytest.raises((Conflict, InputChanged)):
            store.put(store.load("r1").version, audit=({"kind": "z"},), **change)
        assert store.whole() == before


def test_an_event_that_is_delivered_twice_is_applied_once(store):
    event = Inbound("user", "e1", "start", {"a": [1]})
    store.put(event=event)
    assert store.event("user", "e1") == event
    assert store.event("user", "e2") is None
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=event)
    assert store.put(1, event=replace(event, event_id="e2")) == 2


def test_an_event_that_was_applied_can_no_longer_be_ignored_and_a_held_one_can(store):
    event = Inbound("signing", "e1", "signed")
    store.put(event=event)
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=replace(event, reason="late"), moves=False)
    assert store.event("signing", "e1").reason is None
    held = Inbound("signing", "e2", "signed", reason="early")
    store.put(1, event=held, moves=False)
    assert store.inbox("r1") == [held]
    with pytest.raises(Conflict, match="stored before"):
        store.put(1, event=held, moves=False)
    store.put(1, event=replace(held, reason="late"), moves=False)
    assert (store.inbox("r1"), store.event("signing", "e2").reason) == ([], "late")
    assert store.load("r1").version == 1


def test_an_event_of_one_task_is_not_taken_by_another(store, task):
    store.put(event=Inbound("mail", "e1", "x", reason="early"), moves=False)
    with pytest.raises(Conflict, match="stored before"):
        store.write(replace(task, request_id="r2"), event=Inbound("mail", "e1", "x"))
    assert store.load("r2") is None


def test_an_event_may_come_before_its_task(store):
    store.put(event=Inbound("mail", "e1", "x", reason="unknown_task"), moves=False, audit=({"kind": "event"},))
    assert store.load("r1") is None
    store.put(event=Inbound("mail", "e1", "x"))
    assert store.event("mail", "e1").reason is None


def test_events_are_held_in_the_order_they_came(store):
    held = [Inbound("mail", f"e{9 - n}", "x", n, reason="early") for n in range(5)]
    for event in held:
        store.put(event=event, moves=False)
    assert store.inbox("r1") == held
    assert store.inbox("r2") == []


def test_notes_beside_a_task_follow_those_of_its_version(store):
    store.put(audit=({"n": 1},))
    for n in (2, 3):
        store.put(1, audit=({"n": n},), moves=False)
    store.put(1, audit=({"n": 4}, {"n": 5}))
    assert [row["n"] for row in store.audit("r1")] == [1, 2, 3, 4, 5]
    assert [row["version"] for row in store.audit("r1")] == [1, 1, 1, 2, 2]


def test_a_receipt_tells_what_others_asked_for(store, task):
    def at_version(version):
        return replace(task, version=version)

    assert store.write(at_version(0)) == Receipt(1, 0, cancel=False)
    store.set_control("kill:all", "now", 2.0)
    assert store.request_cancel("r1")
    assert store.write(at_version(1)) == Receipt(2, 1, cancel=True)
    assert store.load("r1").cancel_requested
    assert store.write(at_version(2), controls=(Control("a", 1), Control("b", 2))) == Receipt(3, 3, cancel=True)
    assert store.write(at_version(3), moves=False) == Receipt(3, 3, cancel=False)


def test_controls_are_written_and_counted(store):
    assert store.controls() == (0, {})
    assert [store.set_control("a", {"n": n}, 2.0) for n in range(3)] == [1, 2, 3]
    store.put(controls=(Control("b", [1]), Control("a", None), Control("b", [2])))
    assert store.controls() == (6, {"a": Control("a", None, 4), "b": Control("b", [2], 2)})
    assert [row["value"] for row in store.audit("")] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_control_is_compared_before_it_is_set(store):
    with pytest.raises(Conflict, match="version 0, not 1"):
        store.set_control("a", 1, 2.0, expected=1)
    assert store.set_control("a", 1, 2.0, expected=0) == 1
    before = store.whole()
    for stale in (0, 2):
        with pytest.raises(Conflict, match=f"version 1, not {stale}"):
            store.set_control("a", 2, 2.0, expected=stale)
    assert store.whole() == before
    assert store.set_control("a", 3, 2.0, expected=1) == 2


def test_a_task_that_is_over_cannot_be_cancelled(store, task):
    assert not store.request_cancel("r1")
    store.write(replace(task, fsm_state=State.DONE, outcome="success"))
    assert not store.request_cancel("r1")
    assert not store.load("r1").cancel_requested


def test_what_is_due_is_claimed_and_nothing_else(store, task):
    kinds = {
        "new": {},
        "paused": {"next_run_at": 50.0},
        "due": {"next_run_at": 10.0},
        "waits": {"fsm_state": State.WAITING_EXTERNAL, "next_run_at": 60.0},
        "over": {"fsm_state": State.WAITING_EXTERNAL, "next_run_at": 9.0},
        "doubt": {"fsm_state": State.WAITING_EXTERNAL},
        "ended": {"fsm_state": State.DONE},
        "held": {"owner": "x", "lease_until": 30.0},
        "lost": {"owner": "x", "lease_until": 20.0},
        "theirs": {"workflow": "w@2"},
    }
    for n, (name, changes) in enumerate(kinds.items()):
        store.write(replace(task, request_id=name, created_at=1.0 + n / 10, **changes))
    claimed = store.claim("me", ["w@1", "v@1"], 20.0, 15.0, 10)
    assert [t.request_id for t in claimed] == ["new", "lost", "over", "due"]
    assert {(t.owner, t.lease_until, t.fence, t.version) for t in claimed} == {("me", 35.0, 1, 1)}
    assert store.load("new") == claimed[0]
    assert store.claim("you", ["w@1"], 20.0, 15.0, 10) == []
    for name in ("doubt", "waits", "ended", "held"):
        store.request_cancel(name)
    assert [t.request_id for t in store.claim("you", ["w@1"], 20.0, 15.0, 10)] == ["doubt", "waits"]
    assert store.claim("you", [], 1000.0, 15.0, 10) == []


def test_a_claim_takes_no_more_than_it_may_and_the_longest_due_first(store, task):
    for n in range(6):
        store.write(replace(task, request_id=f"r{n}", created_at=float(9 - n)))
    assert [t.request_id for t in store.claim("me", ["w@1"], 100.0, 5.0, 4)] == ["r5", "r4", "r3", "r2"]
    assert [t.request_id for t in store.claim("me", ["w@1"], 100.0, 5.0, 4)] == ["r1", "r0"]


def test_claims_at_the_same_time_share_out_the_tasks(store, task):
    async def race():
        stores = [store.inner, *(store.open() for _ in range(3))]
        await asyncio.gather(
            *(store.inner.commit(Commit("x", replace(task, request_id=f"r{n}"), 1.0)) for n in range(40))
        )
        return await asyncio.gather(*(s.claim(str(n % 4), ["w@1"], 9.0, 5.0, 7) for n, s in enumerate(stores * 2)))

    names = [t.request_id for claimed in store.run(race()) for t in claimed]
    assert (len(names), len(set(names))) == (40, 40)


def test_a_commit_of_the_one_before_is_fenced_after_a_claim(store, task, step, done):
    store.write(replace(task, owner="old", lease_until=5.0), inserted=(step,))
    (claimed,) = store.claim("new", ["w@1"], 9.0, 5.0, 1)
    with pytest.raises(Conflict, match="taken over"):
        store.write(replace(task, version=1, owner="old", lease_until=20.0), finished=(done,))
    assert store.write(claimed, finished=(done,)).version == 2


def test_tasks_are_listed_the_last_changed_first(store, task):
    for n, (state, label) in enumerate([(State.DONE, "w@1"), (State.PLANNING, "w@1"), (State.DONE, "w@2")]):
        store.commit(Commit("x", replace(task, request_id=f"r{n}", fsm_state=state, workflow=label), float(n)))

    def names(**chosen):
        return [t.request_id for t in store.tasks(**chosen)]

    assert names() == ["r2", "r1", "r0"]
    assert names(limit=2) == ["r2", "r1"]
    assert names(state="DONE") == ["r2", "r0"]
    assert names(label="w@1") == ["r1", "r0"]
    assert names(label="w@1", state="DONE", limit=5) == ["r0"]


def test_outcomes_count_the_live_ends_of_one_workflow(store, task):
    ends = [
        ("w@1", "live", "success"), ("w@1", "live", "success"), ("w@2", "live", "failed"), ("w@1", "shadow", "failed"),
        ("w", "live", "failed"), ("ww@1", "live", "failed"), ("W@1", "live", "failed"),
        ("w0@1", "live", "failed"), ("x@1", "live", "success"),
    ]  # fmt: skip
    for n, (label, mode, outcome) in enumerate(ends):
        ended = {"fsm_state": State.DONE, "workflow": label, "mode": mode, "outcome": outcome}
        store.write(replace(task, request_id=f"r{n}", **ended))
    store.write(replace(task, request_id="open"))
    assert store.outcomes("w") == {"w@1": {"success": 2}, "w@2": {"failed": 1}}
    assert store.outcomes("none") == {}


def test_incidents_are_listed_the_last_first(store):
    found = [Incident("r1", "k", "c", "transient", "w@1", float(n), "p@1", {"n": n}) for n in range(3)]
    store.put(incidents=tuple(found[:2]))
    store.put(1, incidents=(replace(found[2], prompt=None),), moves=False)
    assert store.incidents() == [replace(found[2], prompt=None), found[1], found[0]]
    assert len(store.incidents(limit=1)) == 1


def test_a_snapshot_never_joins_a_task_with_the_steps_of_another_version(store, task, step):
    store.put()

    class Racing:
        def __init__(self):
            self.late = [Commit("x", replace(task, version=1), 1.0, inserted=(step,))]

        async def load(self, name):
            return await store.inner.load(name)

        async def steps(self, name):
            if self.late:
                await store.inner.commit(self.late.pop())
            return await store.inner.steps(name)

    found, steps = store.run(snapshot(Racing(), "r1"))
    assert (found.version, steps) == (2, [step])


def test_of_two_writers_at_one_version_one_wins(store, task):
    async def race():
        stores = [store.inner, *(store.open() for _ in range(3))]
        await store.inner.commit(Commit("first", task, 1.0))
        same = Commit("second", replace(task, version=1), 1.0)
        return await asyncio.gather(*(s.commit(same) for s in stores * 3), return_exceptions=True)

    results = store.run(race())
    assert [r.version for r in results if not isinstance(r, Conflict)] == [2]


def test_fifty_tasks_at_once_get_a_version_each(store, task):
    async def race():
        async def one(n):
            mine = replace(task, request_id=f"r{n}")
            for version in range(5):
                receipt = await store.inner.commit(Commit("x", replace(mine, version=version), 1.0))
                assert receipt.version == version + 1

        await asyncio.gather(*(one(n) for n in range(50)))

    store.run(race())
    assert {t.version for t in store.tasks(limit=60)} == {5}


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancelled_commit_is_whole_before_the_caller_goes_on(store, task, times):
    async def main():
        job = asyncio.create_task(store.inner.commit(Commit("x", task, 1.0)))
        for _ in range(times):
            await asyncio.sleep(0)
            job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        return await store.inner.load("r1")

    assert store.run(main()).version == 1
