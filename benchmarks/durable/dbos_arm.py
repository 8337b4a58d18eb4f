"""Ten no-op steps on DBOS with its SQLite system database, as it comes. It needs SQLite 3.42: pysqlite3 has it."""

import asyncio
import sys

import pysqlite3

sys.modules["sqlite3"] = pysqlite3

from arms import run  # noqa: E402 - the driver has to be replaced first
from dbos import DBOS, DBOSConfig, SetWorkflowID  # noqa: E402

path, steps, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config: DBOSConfig = {"name": "ten", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"}
DBOS(config=config)


@DBOS.step()
async def step(n: int) -> int:
    return n + 1


@DBOS.workflow()
async def ten() -> int:
    n = 0
    for _ in range(10):
        n = await step(n)
    return n


async def task(number: int) -> object:
    with SetWorkflowID(f"task-{number}"):
        return await ten()


DBOS.launch()
asyncio.run(run(task, steps // 10, at_once))
DBOS.destroy()
