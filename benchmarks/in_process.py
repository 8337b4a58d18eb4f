"""CPU of one call through the `openai` SDK: answered by the plugin, against the same call over `httpx2.MockTransport`.

Both arms use the same SDK, ask the same and receive the same bytes in the same pieces, plain and streamed. The plugin's
arm stands in the whole world of a run: script, codec, guard, virtual clock, and the journal, written to a file event
by event. Batches are interleaved in one process; each pair gives one ratio of process CPU, and the median is printed.

    python benchmarks/in_process.py [pairs] [calls in a batch]
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import openai

from pytest_agent.faults.schedule import Schedule
from pytest_agent.run import Run
from pytest_agent.trace import TraceFile

TARGET = 1.15
WARM_UP = 20
TEXT = "The order is on its way and will be there on Thursday, at the latest. " * 3
MESSAGES: list[dict[str, str]] = [
    {"role": "system", "content": "You help customers of a shop with their orders. " * 4},
    {"role": "user", "content": "Where is my order?"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Do {name} for one order.",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
        },
    }
    for name in ("orders_lookup", "payments_refund", "shop_escalate")
]
Call = Callable[[openai.OpenAI], None]


def plain(client: openai.OpenAI) -> None:
    """One call that is answered in one body."""
    client.chat.completions.create(model="gpt-5", messages=MESSAGES, tools=TOOLS)


def streamed(client: openai.OpenAI) -> None:
    """One call whose stream is read to the end."""
    for _ in client.chat.completions.create(model="gpt-5", messages=MESSAGES, tools=TOOLS, stream=True):
        pass


def new_run(folder: Path) -> Run:
    """A run that journals into a file."""
    file = TraceFile(folder / "trace.jsonl")
    return Run("bench", schedule=Schedule(), armed=(), seed=0, trace_file=file, ledger=folder / "ledger.jsonl")


def over_mock_transport(call: Call, folder: Path) -> openai.OpenAI:
    """A client that gets what the plugin would send, piece by piece, from a handler of three lines."""
    kept: list[tuple[list[tuple[bytes, bytes]], list[bytes]]] = []

    class Keep(httpx2.BaseTransport):
        inner = httpx2.HTTPTransport()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            reply = self.inner.handle_request(request)
            pieces = list(reply.iter_raw())
            kept.append((reply.headers.raw, pieces))
            return httpx2.Response(200, headers=reply.headers.raw, content=b"".join(pieces))

    run = new_run(folder)
    with run.inside():
        run.llm.says(TEXT)
        call(openai.OpenAI(api_key="bench", http_client=httpx2.Client(transport=Keep())))
    ((headers, pieces),) = kept

    def handler(request: httpx2.Request) -> httpx2.Response:
        del request
        return httpx2.Response(200, headers=headers, content=iter(pieces) if len(pieces) > 1 else pieces[0])

    return openai.OpenAI(api_key="bench", http_client=httpx2.Client(transport=httpx2.MockTransport(handler)))


def batch(call: Call, client: openai.OpenAI, calls: int) -> float:
    """CPU seconds of one call, once the interpreter has adapted to the world it is in."""
    gc.collect()
    for _ in range(WARM_UP):
        call(client)
    began = time.process_time()
    for _ in range(calls):
        call(client)
    return (time.process_time() - began) / calls


def measure(name: str, call: Call, pairs: int, calls: int, folder: Path) -> float:
    """Print both arms and give their ratio."""
    mock, ours = over_mock_transport(call, folder), openai.OpenAI(api_key="bench")
    found: list[tuple[float, float]] = []
    for _ in range(pairs):
        bare = batch(call, mock, calls)
        run = new_run(folder)
        run.llm.says(*[TEXT] * (WARM_UP + calls))
        with run.inside():
            plugin = batch(call, ours, calls)
        found.append((bare, plugin))
    ratio = statistics.median(plugin / bare for bare, plugin in found)
    bare, plugin = (statistics.median(column) * 1e6 for column in zip(*found, strict=True))
    verdict = f"target {TARGET}: {'kept' if ratio <= TARGET else 'MISSED'}"
    print(f"{name:8} MockTransport {bare:7.0f} µs   plugin {plugin:7.0f} µs   ratio {ratio:.3f} ({verdict})")
    return ratio


def main() -> None:
    """Both ways."""
    pairs, calls = (int(word) for word in (sys.argv[1:] + ["20", "100"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        measure("plain", plain, pairs, calls, Path(folder))
        measure("stream", streamed, pairs, max(1, calls // 5), Path(folder))


if __name__ == "__main__":
    main()
