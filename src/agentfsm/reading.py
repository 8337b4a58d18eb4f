"""Reading a task and its steps as they were at one moment, while others may be writing."""

from __future__ import annotations

from agentfsm.errors import UnknownTask
from agentfsm.ports import Store
from agentfsm.records import Step, Task


async def snapshot(store: Store, request_id: str) -> tuple[Task, list[Step]]:
    """Return the task and the steps that belong to its version; raise UnknownTask where there is none."""
    task = await store.load(request_id)
    while task is not None:
        steps = await store.steps(request_id)
        again = await store.load(request_id)
        if again is not None and again.version == task.version:
            return task, steps
        task = again
    raise UnknownTask(f"there is no task {request_id!r}; start it with run()", request_id=request_id)
