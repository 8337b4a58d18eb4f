"""Both stores against a model that is a few dictionaries: any sequence of calls gives the same results on all three."""

import asyncio
import contextlib
import threading
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from agentfsm import Commit, Conflict, InputChanged, SQLiteStore, State
from agentfsm.errors import AgentError
from agentfsm.records import Control, Inbound, Incident, Receipt, Step, Task
from agentfsm.store import (
    batch,
    gathering,
    postgres,
    postgres_fused,
    postgres_text,
    postgres_writes,
    sqlite_fused,
    writes,
)
from agentfsm.store.postgres import PostgresStore

NAMES = {"a": ("w@1", 1.0), "b": ("w@2", 2.0), "c": ("v@1", 3.0)}
ENDED = {State.DONE, State.FAILED}


class Model:
    """What a store is, in words of its own."""

    def __init__(self):
        self.all, self.changed, self.history, self.arrived = {}, {}, {}, {}
        self.notes, self.seen, self.values, self.changes = {}, [], {}, 0

    def commit(self, change):
        task, name = change.task, change.task.request_id
        stored, held = self.all.get(name), task.fence - change.claims
        if change.moves:
            self._check(task, stored, held)
        history = dict(self.history.get(name, {}))
        for step in change.finished:
            before = history.get((step.step_id, step.attempt))
            if before is None or before.status != "pending":
                raise Conflict("not pending")
            ends = {key: getattr(step, key) for key in ("status", "output_data", "error_code", "error_class")}
            history[step.step_id, step.attempt] = replace(before, finished_at=step.finished_at, **ends)
        for step in change.inserted:
            same = [s for s in history.values() if s.step_id == step.step_id]
            shut = any(s.status in {"pending", "success"} or s.input_hash != step.input_hash for s in same)
            if shut or (step.step_id, step.attempt) in history:
                raise InputChanged("taken")
            history[step.step_id, step.attempt] = step
        version = task.version + change.moves
        arrived = dict(self.arrived)
        if change.event is not None:
            self._receive(arrived, name, change.event)
        self.arrived, self.history[name] = arrived, history
        cancel = False
        if change.moves:
            cancel = stored is not None and stored.cancel_requested
            self.all[name] = replace(task, version=version, cancel_requested=cancel)
            self.changed[name] = change.at
        self.notes.setdefault(name, []).extend({**row, "version": version, "at": change.at} for row in change.audit)
        self.seen += change.incidents
        for control in change.controls:
            self._set(control.key, control.value)
        return Receipt(version, self.changes, cancel)

    def commit_beside(self, changes):
        """Commits of different tasks are as if each came alone."""
        return [told(lambda change=change: self.commit(change)) for change in changes]

    def _check(self, task, stored, held):
        if task.version == 0 and stored is None:
            return
        if task.version == 0 or stored is None:
            raise Conflict("moved on")
        if stored.fence != held:
            raise Conflict("taken over", code="fenced")
        if stored.version != task.version:
            raise Conflict("moved on")

    def _receive(self, arrived, name, event):
        key = (event.source, event.event_id)
        owner, before = arrived.get(key, (name, None))
        if before is not None:
            held = before.reason in {"early", "unknown_task"} and before.reason != event.reason
            if owner != name or not held:
                raise Conflict("stored before")
            event = replace(before, reason=event.reason)
        arrived[key] = (name, event)

    def _set(self, key, value):
        self.changes += 1
        self.values[key] = Control(key, value, self.values[key].version + 1 if key in self.values else 1)
        return self.values[key].version

    def set_control(self, key, value, at, expected=None):
        known = self.values[key].version if key in self.values else 0
        if expected is not None and expected != known:
            raise Conflict("moved on")
        version = self._set(key, value)
        entry = {"kind": "control", "key": key, "value": value, "version": self.changes, "at": at}
        self.notes.setdefault("", []).append(entry)
        return version

    def claim(self, owner, labels, now, lease_s, limit):
        def due(task):
            if task.cancel_requested:
                return 0.0
            if task.next_run_at is None and task.fsm_state is not State.WAITING_EXTERNAL:
                return task.created_at
            return float("inf") if task.next_run_at is None else task.next_run_at

        free = [
            task
            for task in self.all.values()
            if task.workflow in labels
            and task.fsm_state not in ENDED
            and (task.owner is None or task.lease_until <= now)
            and due(task) <= now
        ]
        taken = []
        for task in sorted(free, key=lambda task: (due(task), task.request_id))[:limit]:
            mine = replace(task, owner=owner, lease_until=now + lease_s, fence=task.fence + 1)
            self.all[task.request_id] = mine
            taken.append(mine)
        return taken

    def request_cancel(self, name):
        task = self.all.get(name)
        if task is None or task.fsm_state in ENDED:
            return False
        self.all[name] = replace(task, cancel_requested=True)
        return True

    def readable(self):
        ends = {}
        for task in self.all.values():
            if task.workflow.startswith("w@") and task.fsm_state in ENDED and task.mode == "live":
                of_label = ends.setdefault(task.workflow, {})
                of_label[task.outcome] = of_label.get(task.outcome, 0) + 1
        last_first = sorted(self.all.values(), key=lambda task: self.changed[task.request_id], reverse=True)
        return {
            "tasks": [full(task) for task in last_first],
            "loaded": [full(self.all.get(name)) for name in NAMES],
            "steps": [
                [self.history.get(name, {})[key] for key in sorted(self.history.get(name, {}))] for name in NAMES
            ],
            "inbox": [[e for n, e in self.arrived.values() if n == name and e.reason == "early"] for name in NAMES],
            "events": sorted((e for _, e in self.arrived.values()), key=repr),
            "audit": [self.notes.get(name, []) for name in (*NAMES, "")],
            "incidents": self.seen[::-1],
            "controls": (self.changes, self.values),
            "outcomes": ends,
        }


def full(task):
    """A task that is compared with what was asked beside its worker, too."""
    return None if task is None else (task, task.cancel_requested)


class Real:
    """A store whose coroutines are run to their end."""

    def __init__(self, store, run):
        self.store, self.run = store, run

    def __getattr__(self, name):
        return lambda *args, **options: self.run(getattr(self.store, name)(*args, **options))

    def commit_beside(self, changes):
        """Commit all at once, while the store is busy: what waits is written together."""

        async def commit():
            async with busy(self.store):
                jobs = [asyncio.ensure_future(self.store.commit(change)) for change in changes]
                await asyncio.sleep(0)
            return await asyncio.gather(*jobs, return_exceptions=True)

        return [(type(e), e.code) if isinstance(e, AgentError) else e for e in self.run(commit())]

    def readable(self):
        async def read():
            store, names = self.store, list(NAMES)
            ids = [(source, f"e{n}") for source in ("mail", "chat") for n in range(3)]
            events = [await store.event(*key) for key in ids]
            return {
                "tasks": [full(task) for task in await store.tasks()],
                "loaded": [full(await store.load(name)) for name in names],
                "steps": [await store.steps(name) for name in names],
                "inbox": [await store.inbox(name) for name in names],
                "events": sorted(filter(None, events), key=repr),
                "audit": [await store.audit(name) for name in (*names, "")],
                "incidents": await store.incidents(),
                "controls": await store.controls(),
                "outcomes": await store.outcomes("w"),
            }

        return self.run(read())


@contextlib.asynccontextmanager
async def busy(store):
    """A store that writes something else meanwhile, which leaves nothing behind."""
    if isinstance(store, SQLiteStore):
        entered, leave = threading.Event(), threading.Event()

        def hold(_db):
            entered.set()
            leave.wait()

        job = asyncio.ensure_future(store._file._batches.write(hold))
        await asyncio.to_thread(entered.wait)
        yield
        leave.set()
        await job
    else:
        gone = [Task(f"gone{n}", "", "w@1", State.INIT, "", 1.0, version=1) for n in range(gathering.UNDER_WAY)]
        refused = [asyncio.ensure_future(store.commit(Commit("x", task, 1.0))) for task in gone]
        await asyncio.sleep(0)
        yield
        assert all(isinstance(e, Conflict) for e in await asyncio.gather(*refused, return_exceptions=True))


def told(act):
    """What a call gave, or which refusal."""
    try:
        return act()
    except AgentError as error:
        return type(error), error.code


values = st.none() | st.integers(-9, 9) | st.text("aé\0", max_size=3) | st.lists(st.booleans(), max_size=2)
times = st.sampled_from([0.5, 5.0, 50.0])
steps = st.builds(
    Step,
    request_id=st.just(""),
    step_id=st.integers(1, 3),
    attempt=st.integers(1, 3),
    kind=st.just("tool"),
    input_hash=st.sampled_from(["h", "h", "h", "i"]),
    created_at=times,
    status=st.sampled_from(["pending", "pending", "success", "failed", "in_doubt"]),
    output_data=values,
    error_code=st.sampled_from([None, "timeout"]),
    not_before=st.none() | times,
)
events = st.builds(
    Inbound,
    st.sampled_from(["mail", "chat"]),
    st.sampled_from(["e0", "e1", "e2"]),
    st.just("said"),
    values,
    st.sampled_from([None, None, "early", "early", "late", "unknown_task"]),
)
controls = st.builds(Control, st.sampled_from(["x", "y"]), values)
moves = st.fixed_dictionaries(
    {
        "fsm_state": st.sampled_from([*State, State.PLANNING, State.PLANNING, State.EXECUTING_STEP]),
        "business_state": st.dictionaries(st.sampled_from("ab"), values, max_size=2),
        "outcome": st.sampled_from([None, "success", "failed"]),
        "next_run_at": st.none() | times,
        "owner": st.sampled_from([None, "me", "you"]),
        "lease_until": times,
        "answer": st.sampled_from(["", "ja"]),
    }
)


def machine(make):
    class Stores(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.at = 1.0
            self.model = Model()
            self.undo = contextlib.ExitStack()
            self.real = self.undo.enter_context(make())

        def teardown(self):
            self.undo.close()

        def all_do(self, act):
            """Do it to all three; they say the same, and afterwards the same can be read."""
            expected = told(lambda: act(self.model))
            for name, real in self.real.items():
                assert (name, told(lambda real=real: act(real))) == (name, expected)
            readable = self.model.readable()
            for name, real in self.real.items():
                found = real.readable()
                assert (name, found) == (name, readable)

        def now(self):
            self.at += 1.0
            return self.at

        @rule(
            name=st.sampled_from(sorted(NAMES)),
            stale=st.sampled_from([0, 0, 0, 0, -1, 1]),
            fenced=st.sampled_from([0, 0, 0, 0, -1, 1]),
            claims=st.booleans(),
            moves=moves,
            ends=st.lists(st.sampled_from(["success", "failed", "in_doubt"]), max_size=3),
            begun=st.lists(steps, max_size=2),
            event=st.none() | events,
            notes=st.integers(0, 2),
            changed=st.lists(controls, max_size=2),
            incidents=st.integers(0, 2),
        )
        def commit(self, name, stale, fenced, claims, moves, ends, begun, event, notes, changed, incidents):
            label, created_at = NAMES[name]
            task = self.model.all.get(name) or Task(name, "text", label, State.INIT, "S", created_at)
            version, fence = max(0, task.version + stale), max(0, task.fence + fenced) + claims
            pending = [s for s in self.model.history.get(name, {}).values() if s.status == "pending"]
            finished = [replace(s, status=e, finished_at=9.0) for s, e in zip(pending, ends, strict=False)]
            if len(ends) == 3 and not pending:
                finished = [Step(name, 3, 3, "tool", "h", 1.0, status="success")]
            change = Commit(
                "x",
                replace(task, **moves, version=version, fence=fence),
                self.now(),
                finished=tuple(finished),
                inserted=tuple(replace(step, request_id=name) for step in begun),
                event=event,
                audit=tuple({"n": n} for n in range(notes)),
                incidents=tuple(Incident(name, "k", "c", "t", label, float(n)) for n in range(incidents)),
                controls=tuple(changed),
                claims=claims,
            )
            self.all_do(lambda store: store.commit(change))

        @initialize()
        def begin(self):
            """Two tasks under way, with an intent each, and a third that is still to come."""
            for name in ("a", "b"):
                label, created_at = NAMES[name]
                task = Task(name, "text", label, State.EXECUTING_STEP, "S", created_at, owner="me", lease_until=5.0)
                step = Step(name, 1, 1, "tool", "h", 1.0)
                self.real_commit(Commit("x", task, self.now(), inserted=(step,)))

        def real_commit(self, change):
            self.all_do(lambda store: store.commit(change))

        @rule(
            name=st.sampled_from(["a", "b"]),
            fenced=st.sampled_from([0, 0, -1, 1]),
            status=st.sampled_from(["success", "failed", "in_doubt"]),
        )
        def advance(self, name, fenced, status):
            """What a worker does all day, and what one does that was taken over without knowing."""
            self.real_commit(self.next_of(name, fenced, status))

        def next_of(self, name, fenced, status, number=None):
            task, history = self.model.all[name], self.model.history[name].values()
            pending = [step for step in history if step.status == "pending"]
            following = max((step.step_id for step in history), default=0) + 1
            return Commit(
                "x",
                replace(task, fence=max(0, task.fence + fenced)),
                self.now(),
                finished=tuple(replace(step, status=status, output_data="o") for step in pending),
                inserted=(Step(name, number or following, 1, "tool", "h", 1.0),),
                audit=({"kind": "x"},),
            )

        @rule(
            fenced=st.tuples(st.sampled_from([0, 0, 0, -1]), st.sampled_from([0, 0, 0, 1])),
            stale=st.sampled_from([0, 0, 0, 1]),
            status=st.sampled_from(["success", "failed"]),
            number=st.sampled_from([None, None, None, 1]),
            starts=st.booleans(),
        )
        def advance_together(self, fenced, stale, status, number, starts):
            """What many workers do at once: what one of them may not do leaves the others as they are."""
            changes = [self.next_of("a", fenced[0], status, number), self.next_of("b", fenced[1], "success")]
            changes[1] = replace(changes[1], task=replace(changes[1].task, version=changes[1].task.version + stale))
            if starts:
                label, created_at = NAMES["c"]
                task = Task("c", "text", label, State.PLANNING, "S", created_at)
                changes.append(Commit("x", task, self.now(), inserted=(Step("c", 1, 1, "tool", "h", 1.0),)))
            self.all_do(lambda store: store.commit_beside(changes))

        @rule(name=st.sampled_from(sorted(NAMES)), event=events, notes=st.integers(0, 2))
        def note(self, name, event, notes):
            task = self.model.all.get(name) or Task(name, "", "w@1", State.INIT, "", 1.0)
            audit = tuple({"note": n} for n in range(notes))
            change = Commit("x", task, self.now(), event=event, audit=audit, moves=False)
            self.all_do(lambda store: store.commit(change))

        @rule(
            labels=st.sets(st.sampled_from(["w@1", "w@2", "v@1", "none"])).map(sorted),
            now=times,
            limit=st.integers(1, 3),
            owner=st.sampled_from(["me", "you"]),
        )
        def claim(self, labels, now, limit, owner):
            self.all_do(lambda store: store.claim(owner, labels, now, 10.0, limit))

        @rule(name=st.sampled_from([*sorted(NAMES), "none"]))
        def cancel(self, name):
            self.all_do(lambda store: store.request_cancel(name))

        @rule(control=controls, expected=st.sampled_from([None, None, 0, 1, 2]))
        def set_control(self, control, expected):
            at = self.now()
            self.all_do(lambda store: store.set_control(control.key, control.value, at, expected=expected))

    return Stores


EMPTY = """
TRUNCATE task, agent_steps, event, audit, control, incident;
UPDATE meta SET value = 0 WHERE key = 'controls'
"""


class Trial:
    """Plays sequences of calls, each on empty stores."""

    def __init__(self, url, folder):
        self.url, self.folder = url, folder
        self.runner = asyncio.Runner()
        self.files = iter(range(10**6))

    def play(self, examples, phases=tuple(Phase)):
        options = settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        with self.runner:
            run_state_machine_as_test(machine(self.fresh), settings=options)

    @contextlib.contextmanager
    def fresh(self):
        self.runner.run(self.empty())
        path = self.folder / f"{next(self.files)}.db"
        stores = {"sqlite": SQLiteStore(path), "postgres": PostgresStore(self.url, pool_size=1)}
        try:
            yield {name: Real(store, self.runner.run) for name, store in stores.items()}
        finally:
            for store in stores.values():
                self.runner.run(store.close())
            for file in self.folder.glob(f"{path.name}*"):
                file.unlink()

    async def empty(self):
        db = await asyncpg.connect(self.url)
        await db.execute(EMPTY)
        await db.close()


@pytest.fixture
def trial(postgres_url, tmp_path):
    return Trial(postgres_url, tmp_path)


def test_any_sequence_of_calls_gives_what_the_model_gives_on_both_stores(trial):
    trial.play(examples=30)


def half_a_unit_stays(monkeypatch):
    """SQLite: what a refused unit has written already is not rolled back."""

    def do(db, unit):
        try:
            unit.result = unit.work(db)
        except AgentError as error:
            unit.error = error

    monkeypatch.setattr(batch, "_do", do)


def the_fence_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(writes, "_MOVE", writes._MOVE.replace("AND fence = ?", "AND ? IS NOT NULL"))


def a_part_is_not_gated(monkeypatch):
    """PostgreSQL: the result of an attempt is written whatever became of the task's own row."""
    real = postgres_text._finished
    monkeypatch.setattr(postgres_text, "_finished", lambda mark: real(mark).replace(" FROM moved", ""))
    monkeypatch.setattr(postgres_writes, "text", postgres_text.text.__wrapped__)


def a_live_lease_is_taken(monkeypatch):
    monkeypatch.setattr(postgres, "_CLAIM", postgres._CLAIM.replace("lease_until <= $2", "true"))


def the_fence_of_many_is_not_looked_at(monkeypatch):
    gate = "AND fence = NEW.held"
    monkeypatch.setattr(sqlite_fused, "_TRIGGER", sqlite_fused._TRIGGER.replace(gate, ""))


def a_key_that_is_taken_is_not_missed(monkeypatch):
    """PostgreSQL: an intent of many that is refused is left out, and the rest is written."""
    count = "OR (SELECT count(*) FROM begun) <> (SELECT count(new_step_id) FROM given)"
    monkeypatch.setattr(postgres_fused, "STATEMENT", postgres_fused.STATEMENT.replace(count, ""))


@pytest.mark.parametrize(
    "plant",
    [
        the_fence_of_many_is_not_looked_at,
        a_key_that_is_taken_is_not_missed,
        half_a_unit_stays,
        the_fence_is_not_looked_at,
        a_part_is_not_gated,
        a_live_lease_is_taken,
    ],
)
def test_a_planted_bug_is_found(trial, monkeypatch, plant):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        trial.play(examples=80, phases=(Phase.generate,))
