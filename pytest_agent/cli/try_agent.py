"""`pytest-agent try module:agent "a task"`: what breaks an agent for which there is no test yet."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_agent.errors import UsageError

if TYPE_CHECKING:
    from pytest_agent.trial.session import Trial

OK, FAILED, NO_VERDICT, INTERRUPTED = 0, 1, 4, 130
LEVELS = ("smoke", "ci", "full")

# No file of the project configures this session, and no plugin but ours is in it: only the agent is.
_ALONE = (
    *("-p", "pytest_agent.plugin", "-p", "pytest_agent.trial.plugin", "-p", "no:cacheprovider", "-p", "no:warnings"),
    *("-c", os.devnull, "--noconftest", "--tb=short", "-rN"),
)


def add(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "try",
        help="find what breaks an agent, without a test",
        description="Call an agent of the current folder with a task, under every fault at every place, and print what "
        "broke it. The model calls each tool once that the agent declares, with arguments made from its schema, and "
        "then answers. An agent(task, tools) is given stand-ins for its tools; the tools of an agent(task) run for "
        "real. Exit codes: 0 it held, 1 something broke it, 2 bad use, 4 nothing to strike, 70 an error of our own.",
    )
    parser.add_argument("agent", metavar="MODULE:AGENT", help="a callable, sync or async: agent(task[, tools])")
    parser.add_argument("task", help="what it is asked to do")
    parser.add_argument("--replay", metavar="SCHEDULE", help="run under this one schedule, as it was printed")
    parser.add_argument("--faults", metavar="GLOB", action="append", help="these faults only; may be given again")
    parser.add_argument("--level", choices=LEVELS, help="which faults, and how long a search")
    parser.add_argument("--time", type=_positive(float), metavar="SECONDS", help="end the search after so long")
    parser.add_argument("--runs", type=_positive(int), metavar="N", help="end the search after so many runs")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness (default: 0)")
    parser.set_defaults(act=_try)


def _try(arguments: argparse.Namespace) -> int:
    from pytest_agent.faults.catalogue import load_catalogue
    from pytest_agent.trial.found import find_agent

    if not arguments.task.strip():
        raise UsageError("the task is empty; say what the agent is asked to do")
    try:
        load_catalogue().select(tuple(arguments.faults or ("*",)))
    except UsageError as error:
        raise UsageError(f"--faults: {error}") from None
    # As `python -m` has it, and with nothing left behind but the results.
    sys.path.insert(0, str(Path.cwd()))
    sys.dont_write_bytecode = True
    try:
        found = find_agent(arguments.agent)
    except KeyboardInterrupt:
        return INTERRUPTED
    if not found.takes_tools:
        print(
            f"{found.name} takes no tools: its own run for real, many times, with arguments made from their schemas. "
            "What they change is on no ledger; connections that leave this machine are refused.",
            flush=True,
        )

    try:
        code, trial = _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    if code in (OK, FAILED) and trial is not None and not trial.struck and trial.unexplained is None:
        print(
            f"{found.name} never asked a model over HTTP and used no tool: there is nothing to strike. "
            "It may ask one in another process, or over something that is no HTTP: run it with run_agent in a test.",
            file=sys.stderr,
        )
        return NO_VERDICT
    return _exit_code(code)


def _run(arguments: argparse.Namespace) -> tuple[int, Trial | None]:
    """One session of pytest in this process: its exit code, and what it has seen."""
    from pytest_agent.trial.plugin import NAME, VARIABLE
    from pytest_agent.trial.session import Wish

    wish = Wish(arguments.agent, arguments.task, tuple(arguments.faults or ("*",)), arguments.seed)
    outer = dict(os.environ)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ |= {VARIABLE: wish.to_text(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    seen = _Seen()
    try:
        code = pytest.main([*_ALONE, f"--rootdir={Path.cwd()}", *_options(arguments), wish.agent], plugins=[seen])
    finally:
        os.environ.clear()
        os.environ.update(outer)
    return int(code), None if seen.config is None else seen.config.pluginmanager.get_plugin(NAME)


class _Seen:
    """Keeps the session's configuration for afterwards."""

    config: pytest.Config | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config


def _options(arguments: argparse.Namespace) -> list[str]:
    options = ["--chaos"] if arguments.replay is None else ["--chaos-replay", arguments.replay]
    if arguments.seed:
        options += ["--chaos-seed", str(arguments.seed)]
    for name in ("level", "time", "runs"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--chaos-{name}", str(value)]
    return options


def _exit_code(code: int) -> int:
    match code:
        case pytest.ExitCode.OK:
            return OK
        case pytest.ExitCode.TESTS_FAILED:
            return FAILED
        case pytest.ExitCode.INTERRUPTED:
            return INTERRUPTED
        case pytest.ExitCode.USAGE_ERROR:
            raise UsageError("the search could not begin, see above")
    raise RuntimeError(f"pytest ended with {code}")


def _positive(kind: type[int] | type[float]) -> Any:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
        return value

    return read
