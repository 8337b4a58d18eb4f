"""Where a session writes: `.pytest_agent/` under pytest's root, one folder for each session at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

_KEY = pytest.StashKey["Folder"]()
WORKER_INPUT = "pytest_agent_folder"


class Folder:
    """`results.json`, `results.jsonl` as they come, `run.json`, `traces/`, `ledgers/`."""

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def claim(cls, root: Path) -> Folder:
        """The session's own folder: `root`, or `root-2`, … while another session writes there."""
        number = 1
        while True:
            path = root if number == 1 else root.with_name(f"{root.name}-{number}")
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                number += 1
                continue
            (path / ".gitignore").write_text("*\n")
            (path / "results.jsonl").write_bytes(b"")
            return cls(path, lock)

    def trace_path(self, nodeid: str) -> Path:
        """The trace file of a test."""
        return self.path / "traces" / f"{_slug(nodeid)}.jsonl"

    def ledger_path(self, nodeid: str) -> Path:
        """The ledger of a test's current run."""
        return self.path / "ledgers" / f"{_slug(nodeid)}.jsonl"

    def append_result(self, result: dict[str, Any]) -> None:
        """One test's result, as soon as it is known; one write, so that workers do not mix."""
        line = json.dumps(result, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self.path / "results.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def read_results(self) -> list[dict[str, Any]]:
        """All results so far, sorted by test: the order of tests and workers leaves no trace."""
        path = self.path / "results.jsonl"
        lines = path.read_bytes().splitlines() if path.is_file() else []
        # A worker that was killed may have left half a line.
        whole = [line for line in lines if line.endswith(b"}")]
        return sorted((json.loads(line) for line in whole), key=lambda result: str(result["test"]))

    def write_results(self, results: list[dict[str, Any]], run: dict[str, Any]) -> None:
        """`results.json`, canonical; machine facts and times beside it in `run.json`. Replaced in one step."""
        _replace(self.path / "results.json", {"version": 1, "tests": results})
        _replace(self.path / "run.json", run)

    def release(self) -> None:
        """Let the next session have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def folder_of(config: pytest.Config) -> Folder:
    """The folder of this session; a worker of xdist writes into its controller's."""
    folder = config.stash.get(_KEY, None)
    if folder is None:
        given = getattr(config, "workerinput", {}).get(WORKER_INPUT)
        folder = Folder(Path(given), None) if given else Folder.claim(config.rootpath / ".pytest_agent")
        config.stash[_KEY] = folder
    return folder


def known_folder(config: pytest.Config) -> Folder | None:
    """The folder if this session has used one."""
    return config.stash.get(_KEY, None)


def _replace(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _slug(nodeid: str) -> str:
    short = re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid).strip("-")[-80:]
    return f"{short}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"
