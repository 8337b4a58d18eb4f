"""A PostgreSQL server of one's own, for tests and benchmarks: in a folder, on a free port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def program(name: str) -> str:
    """Return where a program of PostgreSQL is; raise SystemExit where it is not installed."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin")]
    found = shutil.which(name) or next((str(p / name) for p in places if (p / name).exists()), None)
    if found is None:
        raise SystemExit(f"{name} is not installed; on Debian: apt-get install postgresql")
    return found


def as_owner() -> dict[str, Any]:
    """Return how a process is started: `initdb` refuses root, so root becomes `postgres`."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}


@contextlib.contextmanager
def server(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server under an environment; yield the address of its first database."""
    data = folder / "postgres"
    data.mkdir()
    for place in (folder, data):
        place.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(data, "postgres", "postgres")
    plain = {key: value for key, value in environment.items() if key != "LD_PRELOAD"}
    command = [program("initdb"), "-D", str(data / "db"), "-A", "trust", "-U", "bench", "-E", "UTF8", "-N"]
    subprocess.run(command, check=True, env=plain, **_quiet())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=300"
    control(folder, environment, "-w", "-o", settings, "start")
    try:
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        control(folder, plain, "-m", "immediate", "stop", check=False)


def control(folder: Path, environment: Mapping[str, str], *words: str, check: bool = True) -> None:
    """Say something to the server of a folder: `-w -m immediate restart` is a crash and the recovery from it."""
    command = [program("pg_ctl"), "-D", str(folder / "postgres" / "db"), *words]
    subprocess.run(command, check=check, env=dict(environment), **_quiet())


def _quiet() -> dict[str, Any]:
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": "/", **as_owner()}


def new_database(address: str) -> str:
    """Make a database with the runtime's tables; return its address."""
    import asyncio

    from agentfsm.store import migrate

    url = copy_of(address)
    asyncio.run(migrate(url))
    return url


def copy_of(address: str, original: str = "") -> str:
    """Make a database like the one at `original`, or an empty one; return its address."""
    import asyncio

    import asyncpg

    name = f"bench_{uuid.uuid4().hex[:12]}"
    template = f" TEMPLATE {original.rpartition('/')[2]}" if original else ""

    async def make() -> None:
        connection = await asyncpg.connect(address)
        await connection.execute(f"CREATE DATABASE {name}{template}")
        await connection.close()

    asyncio.run(make())
    return address.rpartition("/")[0] + f"/{name}"
