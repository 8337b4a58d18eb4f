"""What the arms of the durable benchmark share."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable


def report(steps: int, seconds: float) -> None:
    """Print the result as one JSON line, the last of the output."""
    print(json.dumps({"steps": steps, "seconds": seconds}))


async def run(task: Callable[[int], Awaitable[object]], tasks: int, at_once: int) -> None:
    """Run ten-step tasks, `at_once` at the same time, after one that is not counted."""
    await task(-1)
    began = time.perf_counter()
    for first in range(0, tasks, at_once):
        await asyncio.gather(*(task(number) for number in range(first, min(first + at_once, tasks))))
    report(tasks * 10, time.perf_counter() - began)
