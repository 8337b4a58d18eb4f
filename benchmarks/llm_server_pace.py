"""How late the events of many paced streams are at the client, beside a bare asyncio sleeper in the same minute."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

FIRST_S, GAP_S, EVENTS = 0.2, 0.02, 50
WORST_MS = 5.0
"""What the 99th percentile may have more than that of the sleeper."""


async def stream(port: int, late: list[float]) -> int:
    """Read one stream; how many events it had."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": "go"}]}
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    began = time.perf_counter()
    writer.write(head + body)
    count = 0
    await reader.readuntil(b"\r\n\r\n")
    while size := int(await reader.readline(), 16):
        data = await reader.readexactly(size + 2)
        if b'"content":"word' in data:
            late.append((time.perf_counter() - began) - (FIRST_S + count * GAP_S))
            count += 1
    writer.close()
    return count


async def sleeper(late: list[float]) -> None:
    """The same times, with nothing to do."""
    began = time.perf_counter()
    for number in range(EVENTS):
        await asyncio.sleep(max(0.0, began + FIRST_S + number * GAP_S - time.perf_counter()))
        late.append(time.perf_counter() - (began + FIRST_S + number * GAP_S))


async def many_streams(port: int, count: int, late: list[float]) -> int:
    """Begin them over two seconds, as agents do that did not agree on a time."""

    async def one(number: int) -> int:
        await asyncio.sleep(number * 2 / count)
        return await stream(port, late)

    return sum(await asyncio.gather(*(one(number) for number in range(count))))


async def many_sleepers(count: int, late: list[float]) -> None:
    """As many that only sleep."""

    async def one(number: int) -> None:
        await asyncio.sleep(number * 2 / count)
        await sleeper(late)

    await asyncio.gather(*(one(number) for number in range(count)))


def percentile_ms(values: list[float], part: float) -> float:
    """Milliseconds."""
    return sorted(values)[int(len(values) * part)] * 1000


def lateness(folder: Path, count: int) -> bool:
    """Print the percentiles; whether the 99th is within reach of the sleeper's."""
    words = " ".join("word" for _ in range(EVENTS))
    script = folder / "paced.yaml"
    pace = {"first_s": FIRST_S, "gap_s": GAP_S}
    script.write_text(json.dumps({"pace": pace, "rules": [{"when": {"last": "go"}, "says": [words]}]}))
    command = [sys.executable, "-m", "pytest_agent.cli.main", "serve", str(script), "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        port = int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])  # type: ignore[union-attr]
        streams: list[float] = []
        sleepers: list[float] = []
        events = asyncio.run(many_streams(port, count, streams))
        asyncio.run(many_sleepers(count, sleepers))
    finally:
        server.terminate()
        server.wait()
    held = events == count * EVENTS and percentile_ms(streams, 0.99) <= percentile_ms(sleepers, 0.99) + WORST_MS
    for name, late in ((f"{count} streams", streams), (f"{count} bare sleepers", sleepers)):
        print(f"{name:24} late by p50 {percentile_ms(late, 0.5):.1f} ms, p99 {percentile_ms(late, 0.99):.1f} ms")
    verdict = "met" if held else "MISSED"
    print(f"events {events} of {count * EVENTS}; target p99 of the sleepers + {WORST_MS:g} ms {verdict}")
    return held
