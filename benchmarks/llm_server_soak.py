"""Memory of the model server over 200,000 requests of all kinds: none of them like another, as agents send them.

    python benchmarks/llm_server_soak.py [--requests 200000]

Held where every request was answered as it should be, and the second half adds no more than a tenth to the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

CONNECTIONS = 16
SCRIPT = {
    "rules": [{"when": {"last": "question"}, "says": ["An answer of some length. " * 20]}],
    "conversations": {"agent-0": {"persona": {"answer": "Always."}}},
}
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


def request(number: int) -> tuple[bytes, int]:
    """The bytes of a request, and the status it must have. Every tenth is refused or has no answer."""
    said = f"question {number} " + "and what there is to say of it " * 20
    kind = number % 20
    path, status = (MESSAGES, 200) if kind % 4 == 3 else (CHAT, 200)
    data: dict[str, object] = {"model": "gpt-5", "messages": [{"role": "user", "content": said}]}
    if path == MESSAGES:
        data["max_tokens"] = 100
    if kind % 5 == 1:
        data["stream"] = True
    if kind == 8:
        data, status = {"model": "gpt-5", "messages": []}, 400
    if kind == 18:
        data, status = {**data, "messages": [{"role": "user", "content": f"nothing answers {number}"}]}, 400
    body = json.dumps(data).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nanthropic-version: 2023-06-01\r\nx-conversation-id: c{number}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body, status


async def ask(port: int, numbers: range) -> int:
    """Send them over one connection; how many were not answered as they should be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wrong = 0
    for number in numbers:
        sent, status = request(number)
        writer.write(sent)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "content-length: " in head:
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        wrong += int(head.split()[1]) != status
    writer.close()
    return wrong


def rss_mb(pid: int) -> float:
    """Resident memory of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


async def soak(port: int, pid: int, requests: int) -> tuple[int, list[float]]:
    """All of them in ten parts; how many went wrong, and the memory after each part."""
    wrong, sizes = 0, []
    part = requests // 10
    for first in range(0, requests, part):
        share = part // CONNECTIONS
        parts = [range(first + n * share, first + (n + 1) * share) for n in range(CONNECTIONS)]
        wrong += sum(await asyncio.gather(*(ask(port, numbers) for numbers in parts)))
        sizes.append(rss_mb(pid))
    return wrong, sizes


def main() -> int:
    """Print what happened. Exits 1 where something did not hold."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=200_000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.yaml"
        script.write_text(json.dumps(SCRIPT))
        command = [sys.executable, "-m", "pytest_agent.cli.main", "serve", str(script), "--json"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            port = int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])  # type: ignore[union-attr]
            wrong, sizes = asyncio.run(soak(port, server.pid, chosen.requests))
        finally:
            server.terminate()
            code = server.wait()
    print("memory over", chosen.requests, "requests, MB:", " ".join(f"{size:.0f}" for size in sizes))
    print(f"answered otherwise than they should be: {wrong}; the server ended with {code}")
    return 0 if not wrong and not code and sizes[-1] <= sizes[len(sizes) // 2] * 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
