"""A fresh pytest process for one test: the command of its replay line, and what makes it find the same test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_agent.chaos.mark import usable_mark
from pytest_agent.chaos.state import test_id
from pytest_agent.report.replay import Begun, seen_from

_NOT_INHERITED = ("PYTEST_XDIST_", "PYTEST_CURRENT_TEST")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, in words. `late`: it was ended, because it took too long."""

    how: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class FreshProcess:
    """How to start pytest anew for a test: `words` are its arguments, `folder` is where it is started."""

    folder: Path
    words: tuple[str, ...]
    plugins: frozenset[str]

    @classmethod
    def of(cls, item: pytest.Item) -> FreshProcess:
        """For a collected test, in the main process or in a worker of xdist."""
        config = item.config
        folder = config.invocation_params.dir
        words = [seen_from(folder, config.rootpath, test_id(item)), *_same_setting(config)]
        if config.getoption("chaos_supervised") or usable_mark(item).supervised:
            words += Begun.of(config).supervision
        known = ("cacheprovider", "junitxml", "logging", "pytest_cov", "xdist")
        return cls(folder, tuple(words), frozenset(name for name in known if config.pluginmanager.hasplugin(name)))

    def command(self, schedule: str, into: Path) -> list[str]:
        """Replay the schedule; whatever is written on the way goes `into` a folder of its own."""
        # Where the current folder is not on the path of this process, `-m` must not put it there.
        python = [sys.executable] if {"", str(self.folder)} & set(sys.path) else [sys.executable, "-P"]
        apart = {
            "cacheprovider": ["-o", f"cache_dir={into / 'cache'}"],
            "junitxml": ["--junitxml="],
            "logging": [f"--log-file={os.devnull}"],
            "pytest_cov": ["--no-cov"],
            "xdist": ["-n", "0"],
        }
        # In one word each: what stands by itself pytest takes for a path, among which it looks for its configuration.
        words = [*self.words, f"--chaos-replay={schedule}", f"--chaos-answers={into}", f"--basetemp={into / 'tmp'}"]
        for plugin, options in apart.items():
            words += options if plugin in self.plugins else []
        return [*python, "-m", "pytest", *words]

    def run(self, schedule: str, into: Path, limit_s: float) -> Ended:
        """Start it, and wait for its end at most `limit_s` real seconds. Its output is `into / "output.txt"`."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        with (into / "output.txt").open("wb") as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter, and the arguments of this session
                    self.command(schedule, into),
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                return Ended(f"it cannot be started ({error.strerror or error})")
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                return Ended(f"it was not done after {limit_s:.0f} s", late=True)
            finally:
                _end(process)
        return Ended(f"it ended with {_said(code)}{_last_words(into / 'output.txt')}")


def _same_setting(config: pytest.Config) -> Iterator[str]:
    option = config.option
    # A worker of xdist has no terminal; a process of its own has.
    for plugin in getattr(option, "plugins", None) or ():
        if plugin != "no:terminal":
            yield from ("-p", plugin)
    if config.getoption("inifilename") and config.inipath is not None:
        yield from ("-c", str(config.inipath))
    yield f"--rootdir={config.rootpath}"
    for name, word in (("confcutdir", "--confcutdir"), ("importmode", "--import-mode")):
        if getattr(option, name, None):
            yield f"{word}={getattr(option, name)}"
    if getattr(option, "noconftest", False):
        yield "--noconftest"
    for setting in getattr(option, "override_ini", None) or ():
        yield from ("-o", setting)
    for warning in getattr(option, "pythonwarnings", None) or ():
        yield from ("-W", warning)
    yield f"--chaos-seed={config.getoption('chaos_seed')}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of it may outlive us: neither itself nor what it has started."""
    # Mostly everything of it is gone already.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _last_words(output: Path) -> str:
    lines: Sequence[str] = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR", "E  "))] or lines
    return f": {telling[-1][:300]}" if telling else ""
