"""Rolling out: which version a new task starts on, what a shadow does otherwise, when a canary is taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentfsm.contracts import canonical
from agentfsm.conversation import latest
from agentfsm.errors import AgentError, Conflict, DefinitionError
from agentfsm.ports import Store
from agentfsm.reading import snapshot
from agentfsm.records import Control, Step, Task, TaskResult
from agentfsm.rollout import Rollout, choose, judge
from agentfsm.states import TERMINAL
from agentfsm.workflow import Workflow

if TYPE_CHECKING:
    from agentfsm.runtime import Runtime

SHADOW = "~shadow"
"""What the id of a shadow adds to that of the task it follows."""


class Canary:
    """The rollout of one workflow. Without a `Rollout`, every new task starts on the newest version."""

    def __init__(self, newest: Workflow, labels: tuple[str, ...], rollout: Rollout | None, store: Store) -> None:
        self._newest = newest
        self._rollout = rollout
        self._store = store
        self._key = f"rollout:{newest.name}"
        if rollout is not None:
            named = {rollout.stable, rollout.canary, rollout.shadow} - {None}
            if missing := sorted(v for v in named if v is not None and f"{newest.name}@{v}" not in labels):
                raise DefinitionError(f"the rollout names versions {missing} of {newest.name!r}; here are {labels}")

    def label_for(self, request_id: str, controls: Mapping[str, Control]) -> str:
        """Return the version a new task starts on; a canary that was taken back gets none."""
        if self._rollout is None:
            return self._newest.label
        taken_back = self._key in controls and bool((controls[self._key].value or {}).get("rolled_back"))
        version = self._rollout.stable if taken_back else choose(self._rollout, self._newest.name, request_id)
        return f"{self._newest.name}@{version}"

    async def ended(self, runtime: Runtime, task: Task, result: TaskResult) -> None:
        """See to what follows from an end: take the canary back where it does worse, let the shadow run."""
        if self._rollout is None or task.mode != "live" or result.state not in TERMINAL:
            return
        if self._rollout.canary is not None:
            await self._judge(runtime)
        if self._rollout.shadow is not None:
            await shadow(runtime, task.request_id, f"{self._newest.name}@{self._rollout.shadow}")

    async def _judge(self, runtime: Runtime) -> None:
        assert self._rollout is not None
        worse = judge(self._rollout, self._newest.name, await self._store.outcomes(self._newest.name))
        if worse is None:
            return
        known = (await self._store.controls())[1].get(self._key)
        if known is not None and (known.value or {}).get("rolled_back"):
            return
        value = {"rolled_back": worse.reason, "canary": self._rollout.canary}
        try:
            await self._store.set_control(
                self._key, value, runtime.clock.time(), expected=0 if known is None else known.version
            )
        except Conflict:  # another worker has just said so
            return


async def shadow(runtime: Runtime, request_id: str, label: str) -> list[dict[str, Any]]:
    """Run another version beside a finished task, its effects stubbed; return and store where it differs.

    The events the task waited for are given to the shadow as well. Whatever becomes of it never touches the task.
    """
    live, steps = await snapshot(runtime.store, request_id)
    name = request_id + SHADOW
    try:
        result = await runtime.run_as(label, request_id=name, text=live.text, mode="shadow")
        for step in steps:
            if step.kind != "event" or "source" not in (step.input_data or {}) or result.state in TERMINAL:
                continue
            given = step.input_data
            result = await runtime.deliver(
                request_id=name,
                source=given["source"],
                event_id=given["event_id"] + SHADOW,
                kind=given["kind"],
                payload=given["payload"],
            )
        other, its_steps = await snapshot(runtime.store, name)
    except AgentError as error:
        found: list[dict[str, Any]] = [{"what": "error", "live": None, "shadow": error.code}]
    else:
        found = differences(live, steps, other, its_steps, runtime.effects(label))
    await runtime.note(name, "shadow_difference", found)
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
