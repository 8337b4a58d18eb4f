"""Where a session writes: `.pytest_agent/` under pytest's root, one folder for each session at a time.

A folder belongs to a session for as long as any of its processes holds a shared lock on the file `.lock`, which names
the session. The workers of one xdist session find the same name there and join; another session finds a name that is
not its own and takes the next folder. Nobody makes a folder before a test needs one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.errors import UsageError
from pytest_agent.report.parts import unite

_KEY = pytest.StashKey["Folder"]()
_SESSION = pytest.StashKey[str]()
WORKER_INPUT = "pytest_agent_session"


class Folder:
    """`results.json`, `results.jsonl` as they come, `run.json`, `traces/`, `failures/`, `ledgers/`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def claim(cls, root: Path, session: str, *, fresh_results: bool) -> Folder:
        """The folder of a session: `root`, or `root-2`, … while other sessions have those before it.

        `fresh_results`: the first process of the session there empties `results.jsonl`. Raises UsageError where
        nothing can be written.
        """
        number = 1
        while True:
            path = root if number == 1 else root.with_name(f"{root.name}-{number}")
            try:
                path.mkdir(parents=True, exist_ok=True)
                lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise UsageError(
                    f"{path}: cannot be written ({error.strerror}), and traces and results go there; "
                    "make the folder writable, or choose another root with --rootdir"
                ) from None
            if _enter(lock, path, session, fresh_results=fresh_results):
                return cls(path, lock)
            os.close(lock)
            number += 1

    def trace_path(self, nodeid: str) -> Path:
        """The trace file of a test."""
        return self.path / "traces" / f"{slug(nodeid)}.jsonl"

    def ledger_path(self, nodeid: str) -> Path:
        """The ledger of a test's current run."""
        return self.path / "ledgers" / f"{slug(nodeid)}.jsonl"

    def append_result(self, result: dict[str, Any]) -> None:
        """One test's result, as soon as it is known; one write, so that workers do not mix.

        A later line of the same test replaces an earlier one.
        """
        _append(self.path / "results.jsonl", result)

    def read_results(self) -> list[dict[str, Any]]:
        """All results so far, one for each test, sorted by test."""
        return unite(line for line in _lines(self.path / "results.jsonl") if "test" in line)

    def append_part(self, test: str, data: dict[str, Any]) -> None:
        """What one part of a test's search has found, for the part that is the last."""
        path = self.path / "parts" / f"{slug(test)}.jsonl"
        path.parent.mkdir(exist_ok=True)
        _append(path, data)

    def parts(self, test: str) -> list[dict[str, Any]]:
        """What the parts of a test's search have found so far, in the order in which they handed it in."""
        return _lines(self.path / "parts" / f"{slug(test)}.jsonl")

    def write_failure(self, test: str, schedule: str, trace: Iterable[bytes]) -> str:
        """The trace of one failing run, line by line, in a file of its own. Where it is, as seen from this folder."""
        name = f"failures/{slug(f'{test} {schedule}')}.jsonl"
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(trace))
        return name

    def write_results(self, results: list[dict[str, Any]], run: dict[str, Any]) -> None:
        """`results.json`, canonical; machine facts and times beside it in `run.json`. Replaced in one step."""
        _replace(self.path / "results.json", {"version": 1, "tests": results})
        _replace(self.path / "run.json", run)

    def release(self) -> None:
        """Let the next session have the folder. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def folder_of(config: pytest.Config) -> Folder:
    """The folder of this session, made on first use. The processes of one xdist session share it.

    The controller holds it too, from the first report of a worker that uses one.
    """
    folder = config.stash.get(_KEY, None)
    if folder is None:
        # A process that answers another one writes where it is told to.
        root = Path(config.getoption("chaos_answers") or config.rootpath) / ".pytest_agent"
        folder = Folder.claim(root, session_id(config), fresh_results=explores(config))
        config.stash[_KEY] = folder
        config.add_cleanup(folder.release)
    return folder


def session_id(config: pytest.Config) -> str:
    """A name for this session, the same in the controller of xdist and in its workers."""
    given: str | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    return given or config.stash.setdefault(_SESSION, secrets.token_hex(16))


def known_folder(config: pytest.Config) -> Folder | None:
    """The folder if this session has used one."""
    return config.stash.get(_KEY, None)


def explores(config: pytest.Config) -> bool:
    """Whether this session runs tests under faults, and so has results to write."""
    return bool(config.getoption("chaos")) or config.getoption("chaos_replay") is not None


def _enter(lock: int, path: Path, session: str, *, fresh_results: bool) -> bool:
    """Hold the folder together with the other processes of the session; False where another session has it."""
    name = session.encode()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody is there. The exclusive lock is held for a moment only, while a folder is made ready.
            fcntl.flock(lock, fcntl.LOCK_SH)
            return os.pread(lock, 200, 0) == name
        if os.pread(lock, 200, 0) != name:
            os.ftruncate(lock, 0)
            os.pwrite(lock, name, 0)
            (path / ".gitignore").write_text("*\n")
            if fresh_results:
                (path / "results.jsonl").write_bytes(b"")
                for left in ("failures", "parts"):
                    shutil.rmtree(path / left, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        # The change of the lock is not atomic: another session may have come in between.
        if os.pread(lock, 200, 0) == name:
            return True


def _append(path: Path, data: dict[str, Any]) -> None:
    """One line in one write, so that the lines of several processes do not mix."""
    # Not sorted: a trace that went through here says the arguments of a call in the order in which the model did.
    line = json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def _lines(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        # A worker that was killed may have left half a line.
        with contextlib.suppress(ValueError):
            data = json.loads(line)
            if isinstance(data, dict):
                found.append(data)
    return found


def _replace(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    temporary.replace(path)


def slug(nodeid: str) -> str:
    """A name for the files of a test, of its own and fit for any file system."""
    short = re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid).strip("-")[-80:]
    return f"{short}-{hashlib.sha256(nodeid.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
