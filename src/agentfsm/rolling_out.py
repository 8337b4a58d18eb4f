"""Rolling out: which version a new task starts on, what a shadow does otherwise, when a canary is taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentfsm.contracts import Effect, canonical
from agentfsm.conversation import latest
from agentfsm.errors import AgentError, Conflict, DefinitionError
from agentfsm.incidents import notice
from agentfsm.reading import snapshot
from agentfsm.records import Inbound, Step, Task, TaskResult
from agentfsm.rollout_plan import Rollout, choose, judge
from agentfsm.states import TERMINAL
from agentfsm.switchboard import Switchboard
from agentfsm.workflow import Workflow

if TYPE_CHECKING:
    from agentfsm.desk import Desk

SHADOW = "~shadow"
"""What the id of a shadow adds to that of the task it follows."""


class RollingOut:
    """The rollout of one workflow: the one it was given, or the one that the control `rollout:NAME` holds by now.

    Without any, every new task starts on the newest version.
    """

    def __init__(self, newest: Workflow, labels: tuple[str, ...], given: Rollout | None, board: Switchboard) -> None:
        self._name = newest.name
        self._newest = newest.version
        self._labels = labels
        self._given = given
        self._board = board
        if given is not None:
            named = (v for v in (given.stable, given.canary, given.shadow) if v is not None)
            if missing := sorted(v for v in named if self._label(v) not in labels):
                raise DefinitionError(f"the rollout names versions {missing} of {self._name!r}; here are {labels}")

    @property
    def under_way(self) -> bool:
        """Whether new tasks may start on different versions, so that the latest word counts."""
        return self._now() is not None

    def label_for(self, request_id: str) -> str:
        """Return the version a new task starts on; one that is not here falls back to the newest."""
        rollout = self._now()
        label = self._label(self._newest if rollout is None else choose(rollout, self._name, request_id))
        return label if label in self._labels else self._label(self._newest)

    async def ended(self, desk: Desk, task: Task, result: TaskResult) -> None:
        """See to what follows from an end: take the canary back where it does worse, let the shadow run."""
        rollout = self._now()
        if rollout is None or task.mode != "live" or result.state not in TERMINAL:
            return
        if rollout.canary is not None:
            await self._judge(desk, rollout, task)
        if rollout.shadow is not None and self._label(rollout.shadow) in self._labels:
            await shadow(desk, task.request_id, self._label(rollout.shadow))

    async def _judge(self, desk: Desk, rollout: Rollout, task: Task) -> None:
        worse = judge(rollout, await desk.shared.store.outcomes(self._name))
        if worse is None:
            return
        known, now = self._board.controls.get(self._key), desk.shared.clock.time()
        with contextlib.suppress(Conflict):  # another worker has just done so
            value = worse.then.describe()
            await desk.shared.store.set_control(self._key, value, now, expected=known.version if known else 0)
            facts = {name: value for name, value in vars(worse).items() if name != "then"}
            told = notice("canary_rolled_back", about=task, now=now, facts=facts, masker=desk.shared.masker)
            await desk.note(task.request_id, "canary_rolled_back", facts, (told,))
        await self._board.read()

    def _now(self) -> Rollout | None:
        return self._board.switches.rollouts.get(self._name, self._given)

    def _label(self, version: int) -> str:
        return f"{self._name}@{version}"

    @property
    def _key(self) -> str:
        return f"rollout:{self._name}"


async def shadow(desk: Desk, request_id: str, label: str) -> list[dict[str, Any]]:
    """Run another version beside a finished task, its effects stubbed; return and store where it differs.

    The events the task waited for are given to the shadow as well. Whatever becomes of it never touches the task: a
    shadow that crashes is a difference, noted with the task itself where the shadow could not even begin.
    """
    live, steps = await snapshot(desk.shared.store, request_id)
    name = request_id + SHADOW
    try:
        result = await desk.drive(await desk.task(name, live.text, "shadow", 0, label))
        for step in steps:
            if step.kind != "event" or "source" not in (step.input_data or {}) or result.state in TERMINAL:
                continue
            given = step.input_data
            event = Inbound(given["source"], given["event_id"] + SHADOW, given["kind"], given["payload"])
            result = await desk.deliver(name, event)
        other, its_steps = await snapshot(desk.shared.store, name)
    except Exception as error:  # noqa: BLE001 - the new version's bug is what a shadow is there to find
        code = error.code if isinstance(error, AgentError) else type(error).__name__
        found: list[dict[str, Any]] = [{"what": "error", "live": None, "shadow": code}]
    else:
        known = (desk.parts_of(live).workflow, desk.parts[label].workflow)
        found = differences(live, steps, other, its_steps, frozenset().union(*map(_with_effect, known)))
    begun = await desk.shared.store.load(name) is not None
    await desk.note(name if begun else request_id, "shadow_difference", found)
    return found


def differences(
    live: Task, steps: Sequence[Step], other: Task, its_steps: Sequence[Step], effects: frozenset[str]
) -> list[dict[str, Any]]:
    """Return where two runs of one request differ: effects in order, outcome, cause, stage."""
    found = []
    for place, (one, two) in enumerate(_pairs(_effects(steps, effects), _effects(its_steps, effects)), 1):
        if one != two:
            found.append({"what": f"effect {place}", "live": one, "shadow": two})
    expected = {"shadow": ("success", None), "dry_run": ("success", None)}
    outcome = expected.get(other.cause or "", (other.outcome, other.cause))
    for what, one, two in (
        ("outcome", live.outcome, outcome[0]),
        ("cause", live.cause, outcome[1]),
        ("stage", live.current_step, other.current_step),
        ("state", live.fsm_state.value, other.fsm_state.value),
    ):
        if one != two:
            found.append({"what": what, "live": one, "shadow": two})
    return found


def _with_effect(workflow: Workflow) -> frozenset[str]:
    return frozenset(c.name for c in workflow.contracts if c.effect is not Effect.PURE)


def _effects(steps: Sequence[Step], effects: frozenset[str]) -> list[str]:
    """Name the successful calls with an effect, in order; what a shadow was spared counts as done."""
    return [
        f"{step.tool}({canonical(step.input_data)})"
        for step in latest(steps)
        if step.kind == "tool" and step.status == "success" and step.tool in effects
    ]


def _pairs(one: Sequence[str], two: Sequence[str]) -> list[tuple[str | None, str | None]]:
    longest = max(len(one), len(two))
    fill: list[str | None] = [None] * longest
    return list(zip([*one, *fill][:longest], [*two, *fill][:longest], strict=True))
