"""What the command line asks of the search."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_agent.chaos.search.bounds import Bounds, Shard, parse_level
from pytest_agent.errors import UsageError

MEMORY_MB = 1024
"""What an agent may add to its process: more than any that only talks, less than what brings down a machine of CI."""
HANG_S = 60.0
"""Real seconds of one run. Virtual time costs none: what takes longer than this waits for what never comes."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """The options of one session.

    `confirm`: so many replays of each failure in a fresh process, 0 for none. `supervised`: runs are in a child process
    that may die, `memory_mb` and `hang_s` its limits. `save`: the folder into which failures are written as scenarios.
    `accept`: the reason with which all new failures become known ones.
    """

    bounds: Bounds
    seed: int
    confirm: int
    supervised: bool
    memory_mb: int
    hang_s: float
    save: Path | None
    accept: str | None

    @classmethod
    def of(cls, config: pytest.Config) -> SearchOptions:
        """Read them. Raises UsageError that names the option."""
        level = parse_level(config.getoption("chaos_level"))
        shard = config.getoption("chaos_shard")
        time_s, runs = config.getoption("chaos_time"), config.getoption("chaos_runs")
        if time_s is not None and not (time_s > 0 and math.isfinite(time_s)):
            raise UsageError(f"--chaos-time: {time_s:g} is no time to search; give seconds above 0")
        if runs is not None and runs < 1:
            raise UsageError(f"--chaos-runs: {runs} is no number of runs; give 1 or more")
        confirm = config.getoption("chaos_confirm")
        if confirm < 0:
            raise UsageError(f"--chaos-confirm: {confirm} is no number of replays; give 0 for none")
        memory_mb, hang_s = config.getoption("chaos_memory"), config.getoption("chaos_hang")
        memory_mb, hang_s = MEMORY_MB if memory_mb is None else memory_mb, HANG_S if hang_s is None else hang_s
        if memory_mb < 1:
            raise UsageError(f"--chaos-memory: {memory_mb} MB is no limit; give 1 or more")
        if not (hang_s > 0 and math.isfinite(hang_s)):
            raise UsageError(f"--chaos-hang: {hang_s:g} is no time to wait; give seconds above 0")
        save = config.getoption("chaos_save")
        return cls(
            bounds=Bounds(level, time_s, runs, Shard.parse(shard) if shard else Shard()),
            seed=int(config.getoption("chaos_seed")),
            confirm=confirm,
            supervised=bool(config.getoption("chaos_supervised")),
            memory_mb=memory_mb,
            hang_s=hang_s,
            save=config.invocation_params.dir / save if save else None,
            accept=config.getoption("chaos_accept"),
        )


def check_options(config: pytest.Config) -> None:
    """Refuse options that cannot be read before any test runs. Raises pytest.UsageError: exit code 4."""
    try:
        options = SearchOptions.of(config)
        if options.supervised:
            check_supervised(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if options.accept is None:
        return
    if not options.accept.strip():
        raise pytest.UsageError("--chaos-accept: the reason is empty; say why these failures are put up with for now")
    if not config.getoption("chaos") or config.getoption("chaos_replay") is not None:
        raise pytest.UsageError("--chaos-accept: only a search has failures to accept; use it with --chaos alone")


def check_supervised(config: pytest.Config) -> None:
    """Raise UsageError where runs cannot be in a process of their own."""
    if not hasattr(os, "fork"):
        raise UsageError("supervised runs need os.fork, which this system has not; run without --chaos-supervised")
    for option, name in (("usepdb", "--pdb"), ("trace", "--trace")):
        if config.getoption(option, False):
            raise UsageError(
                f"{name} and supervised runs: a debugger does not reach the process in which the agent runs; "
                f"give one of {name} and --chaos-supervised (or supervised=True)"
            )
