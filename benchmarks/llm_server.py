"""The model server against its peers: aimock (npm) and llmock (PyPI), one process each, the same requests for all.

A rule matches every request and every request is in the journal, here and there. Rounds are interleaved; medians of the
ratios of each round are printed, by the clock and by the processor time of the server, which drifts less on a machine
that is shared. wrk (of the Linux distribution) asks. Then 800 paced streams, whose lateness is set beside that of a
bare asyncio sleeper in the same minute.

    python benchmarks/llm_server.py [--rounds 5] [--seconds 2] [--llmock FILE] [--node FOLDER] [--streams 800]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORDS = " ".join(["benchmark-completion", *(f"word-{number:014d}" for number in range(46))])
"""47 words of 20 characters, 1 KB: with the first and the last two events a stream of 50."""

TARGETS = {
    ("plain", "aimock"): 3.0,
    ("plain", "llmock"): 10.0,
    ("stream", "llmock"): 4.0,
    ("coalesced", "aimock"): 1.5,
}
PORTS = {"ours": 0, "coalesced": 0, "aimock": 18641, "llmock": 18642}


@contextlib.contextmanager
def running(
    command: list[str], url: str | None, prepare: tuple[str, object] | None = None
) -> Iterator[tuple[str, int]]:
    """Start a server; its address and process. `url` None: it says its address in its first line, as JSON.

    `prepare` is a path and what is posted there first.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE if url is None else subprocess.DEVNULL,
        stderr=None if url is None else subprocess.DEVNULL,
    )
    try:
        if url is None:
            url = json.loads(process.stdout.readline())["url"]  # type: ignore[union-attr]
        for _ in range(200):
            with contextlib.suppress(OSError):
                if prepare is not None:
                    post(url + prepare[0], prepare[1])
                ask(url)
                break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{command[0]} does not answer")
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def ask(url: str) -> None:
    """One request, so that what answers is known to work."""
    said = post(f"{url}/v1/chat/completions", json.loads(body(stream=False)))
    if said["choices"][0]["message"]["content"] != WORDS:
        raise SystemExit(f"{url} says something else: {said}")


def post(url: str, data: object) -> Any:
    """The JSON that comes back."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(data).encode(), headers)  # noqa: S310 - of this machine
    return json.loads(urllib.request.urlopen(request, timeout=5).read())  # noqa: S310


def body(*, stream: bool) -> bytes:
    """What all of them are asked."""
    asked = {"model": "gpt-5", "messages": [{"role": "user", "content": WORDS}]}
    return json.dumps({**asked, "stream": True} if stream else asked).encode()


def wrk_script(folder: Path, *, stream: bool) -> Path:
    """The request for wrk."""
    path = folder / f"{'stream' if stream else 'plain'}.lua"
    path.write_text(
        f"wrk.method = 'POST'\nwrk.body = [==[{body(stream=stream).decode()}]==]\n"
        "wrk.headers['content-type'] = 'application/json'\nwrk.headers['authorization'] = 'Bearer benchmark'\n"
    )
    return path


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far, its children's not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(url: str, pid: int, script: Path, seconds: int) -> tuple[float, float]:
    """Requests a second, and requests a processor second of the server."""
    before = cpu_s(pid)
    command = [
        "wrk",
        "-t1",
        "-c32",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        f"{url}/v1/chat/completions",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{url} did not answer all of it:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    return rate, requests / max(cpu_s(pid) - before, 0.01)


@contextlib.contextmanager
def all_servers(folder: Path, llmock: Path, node: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Ours, ours with events put together, and the peers."""
    script = folder / "script.yaml"
    rule = {"when": {"last": "benchmark-completion"}, "says": [WORDS]}
    script.write_text(json.dumps({"rules": [{"when": {"last": "something else"}, "says": ["no"]}, rule]}))
    fixtures = folder / "fixtures.json"
    match = {"match": {"userMessage": "benchmark-completion"}, "response": {"content": WORDS}}
    other = {"match": {"userMessage": "something else"}, "response": {"content": "no"}}
    fixtures.write_text(json.dumps({"fixtures": [other, match]}))
    ours = [sys.executable, "-m", "pytest_agent.cli.main", "serve", str(script), "--json"]
    aimock = ["node", str(node / "node_modules" / ".bin" / "llmock"), "-f", str(fixtures), "--log-level", "silent"]
    peer = [str(llmock), "serve", "--host", "127.0.0.1", "--log-level", "critical"]
    with contextlib.ExitStack() as stack:

        def start(name: str, command: list[str], prepare: tuple[str, object] | None = None) -> tuple[str, int]:
            port = PORTS[name]
            url = f"http://127.0.0.1:{port}" if port else None
            return stack.enter_context(running([*command, "--port", str(port)], url, prepare))

        replies = {"behaviors": [{"type": "reply", "text": WORDS, "times": None}]}

        yield {
            "ours": start("ours", ours),
            "coalesced": start("coalesced", [*ours, "--coalesce"]),
            "aimock": start("aimock", aimock),
            "llmock": start("llmock", peer, ("/_llmock/scenario", replies)),
        }


def rounds(servers: dict[str, tuple[str, int]], folder: Path, count: int, seconds: int) -> bool:
    """Measure in turn, print the ratios; whether the targets are met."""
    plain, stream = wrk_script(folder, stream=False), wrk_script(folder, stream=True)
    arms = {
        ("plain", "ours"): ("ours", plain),
        ("plain", "aimock"): ("aimock", plain),
        ("plain", "llmock"): ("llmock", plain),
        ("stream", "ours"): ("ours", stream),
        ("coalesced", "ours"): ("coalesced", stream),
        ("stream", "aimock"): ("aimock", stream),
        ("stream", "llmock"): ("llmock", stream),
    }
    found: dict[tuple[str, str], list[tuple[float, float]]] = {arm: [] for arm in arms}
    for _ in range(count):
        for arm, (name, script) in arms.items():
            found[arm].append(measure(*servers[name], script, seconds))
    print(f"{'':24}{'requests/s':>12}{'per CPU s':>12}   medians of {count} rounds")
    for arm, values in found.items():
        by_clock, by_cpu = (statistics.median(value[part] for value in values) for part in (0, 1))
        print(f"{arm[0] + ' ' + arm[1]:24}{by_clock:12.0f}{by_cpu:12.0f}")
    met = True
    for (kind, peer), target in TARGETS.items():
        theirs = found["stream" if kind == "coalesced" else kind, peer]
        ratios = [
            statistics.median(a[part] / b[part] for a, b in zip(found[kind, "ours"], theirs, strict=True))
            for part in (0, 1)
        ]
        held = max(ratios) >= target
        met = met and held
        said = f"{kind} over {peer}: {ratios[0]:.1f}x by the clock, {ratios[1]:.1f}x by processor time"
        print(f"{said}, target {target:g}x {'met' if held else 'MISSED'}")
    return met


def main() -> int:
    """Print the figures. Exits 1 where a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=2)
    arguments.add_argument("--llmock", type=Path, default=HERE.parent / ".venv-llm-peers" / "bin" / "llmock")
    arguments.add_argument("--node", type=Path, default=HERE / "node")
    arguments.add_argument("--streams", type=int, default=800)
    chosen = arguments.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed; install the package `wrk`")
    with tempfile.TemporaryDirectory() as folder:
        with all_servers(Path(folder), chosen.llmock, chosen.node) as servers:
            met = rounds(servers, Path(folder), chosen.rounds, chosen.seconds)
        if chosen.streams:
            from llm_server_pace import lateness

            met = lateness(Path(folder), chosen.streams) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
