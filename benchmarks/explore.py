"""Explored runs per second with the plugin, against the same re-entry of the same test under bare interception.

Both arms enter a pytest item again and again through `runtestprotocol`, make a new event loop for each run, and let one
agent make four calls through one shared `openai` client. The bare arm patches the transport to return fixed bytes: no
script, trace, clock, guard or verdict. Rounds are interleaved in one process; medians are printed.

A second figure: what the plugin adds to a clean test that uses `llm`, beside the bare twin of it.

    python benchmarks/explore.py [rounds] [runs per round]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

TESTS = """
import asyncio
import httpx2
import pytest
from openai import AsyncOpenAI

client = AsyncOpenAI(api_key="bench")
BODY = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"yes"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


async def agent():
    messages = [{"role": "user", "content": "hi"}]
    for _ in range(4):
        reply = await client.chat.completions.create(model="m", messages=messages)
        messages.append({"role": "assistant", "content": reply.choices[0].message.content})
        messages.append({"role": "user", "content": "go on"})


@pytest.mark.chaos(faults="insufficient-quota")
async def test_plugin(llm):
    llm.says("yes", "yes", "yes", "yes")
    await agent()


async def fixed(self, request):
    await request.aread()
    return httpx2.Response(200, headers={"content-type": "application/json"}, content=BODY)


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", fixed)


def test_bare(bare):
    with asyncio.Runner() as runner:
        runner.run(agent())
"""


class Bench:
    """Takes the two items over from pytest and times them in turn."""

    def __init__(self, rounds: int, runs: int) -> None:
        self.rounds, self.runs = rounds, runs
        self.items: dict[str, pytest.Item] = {}
        self.lines: list[str] = []

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Collect both items; measure when the last one is there."""
        self.items[item.name] = item
        if nextitem is None:
            self.measure()
        return True

    def measure(self) -> None:
        """Interleave the arms; keep the median of each and of the ratio of each round."""
        from pytest_agent.chaos.explore import Exploration
        from pytest_agent.chaos.mark import usable_mark
        from pytest_agent.faults.catalogue import load_catalogue
        from pytest_agent.faults.schedule import Schedule

        plugin, bare = self.items["test_plugin"], self.items["test_bare"]
        exploration = Exploration(plugin, usable_mark(plugin), load_catalogue())
        exploration.probe_clean()
        # The harmless twin: the agent goes the whole way, so that both arms make four calls.
        schedule = Schedule.parse("limit-just-used-up@llm#4")

        def explored() -> None:
            state = exploration.subject._probe(schedule)
            if state.run is None or state.error is not None or not state.run.seams.faulted or state.run.llm.calls != 4:
                raise RuntimeError(f"not the run that is to be measured: {state}")

        def clean() -> None:
            # As a session without --chaos has it: no fault, and a trace file of its own.
            exploration.subject._enter(Schedule(), probing=False)
            reports = runtestprotocol(plugin, log=False, nextitem=plugin.parent)  # type: ignore[arg-type]
            if any(report.failed for report in reports):
                raise RuntimeError(str([report.longrepr for report in reports]))

        def bare_run() -> None:
            reports = runtestprotocol(bare, log=False, nextitem=bare.parent)  # type: ignore[arg-type]
            if any(report.failed for report in reports):
                raise RuntimeError(str([report.longrepr for report in reports]))

        arms: dict[str, Callable[[], None]] = {"bare": bare_run, "explored": explored, "clean": clean}
        took: dict[str, list[float]] = {name: [] for name in arms}
        for arm in arms.values():
            arm()
        for _ in range(self.rounds):
            for name, arm in arms.items():
                began = time.perf_counter()
                for _ in range(self.runs):
                    arm()
                took[name].append((time.perf_counter() - began) / self.runs)
        ratio = statistics.median(b / e for b, e in zip(took["bare"], took["explored"], strict=True))
        added = statistics.median(c - b for c, b in zip(took["clean"], took["bare"], strict=True))
        for name, seconds in took.items():
            median = statistics.median(seconds)
            self.lines.append(f"{name:<9} {1 / median:8.1f} runs/s   {median * 1e3:6.2f} ms a run")
        self.lines.append(f"explored / bare, runs per second: {ratio:.2f}   (target: at least 0.75)")
        self.lines.append(f"the plugin adds to a clean test: {added * 1e3:.2f} ms")


def main() -> int:
    """Print the figures. Exits 1 where the target is missed."""
    rounds, runs = (int(text) for text in [*sys.argv[1:], *("7", "100")[len(sys.argv) - 1 :]][:2])
    bench = Bench(rounds, runs)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_bench.py").write_text(TESTS)
        pytest.main(
            ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir", folder, folder],
            plugins=[bench],
        )
    print("\n".join(bench.lines))
    return 0 if bench.lines and float(bench.lines[-2].split(": ")[1].split()[0]) >= 0.75 else 1


if __name__ == "__main__":
    sys.exit(main())
