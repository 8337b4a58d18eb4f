"""One bare autocommit insert a step with asyncpg, pool of 20: what PostgreSQL costs alone."""

import asyncio
import sys

import asyncpg
from arms import run


async def main(url: str, tasks: int, at_once: int) -> None:
    async with asyncpg.create_pool(url, min_size=min(20, at_once), max_size=20) as pool:
        await pool.execute("CREATE TABLE step (task TEXT, step INTEGER, output TEXT, PRIMARY KEY (task, step))")

        async def task(number: int) -> None:
            for step in range(10):
                await pool.execute("INSERT INTO step VALUES ($1, $2, $3)", f"task-{number}", step, '{"n": 1}')

        await run(task, tasks, at_once)


asyncio.run(main(sys.argv[1], int(sys.argv[2]) // 10, int(sys.argv[3])))
