"""The entry: parse, run one subcommand, and turn every error into one clear line and an exit code.

0: done, also where a task waits. 1: a task failed. 2: usage or bad input. 70: an error of agentfsm itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from agentfsm.cli import cancel, config, event, flags, incidents, migrate, new, run, show, submit, worker
from agentfsm.cli.context import Context
from agentfsm.cli.output import Output
from agentfsm.errors import AgentError

OK, FAILED, BAD_USE, OWN_ERROR, INTERRUPTED = 0, 1, 2, 70, 130
_SUBCOMMANDS = (run, submit, event, show, cancel, worker, migrate, config, flags, incidents, new)


def main(argv: Sequence[str] | None = None, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    output = Output(out or sys.stdout, err or sys.stderr, as_json=args.json)
    try:
        code: int = asyncio.run(args.act(Context(args, output)))
        return code
    except AgentError as error:
        output.error(error)
        return BAD_USE
    except KeyboardInterrupt:
        output.error(AgentError("interrupted; what was done is stored: `agentfsm show` tells", code="interrupted"))
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has gone, as `head` does; there is nobody to tell
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the flush at exit
        return OK
    except Exception as error:  # noqa: BLE001 - the one place that turns whatever is left into a line
        said = f"an error of agentfsm itself: {type(error).__name__}: {error}; please report it with the command"
        output.error(AgentError(said, code="internal"))
        return OWN_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agentfsm", description="Run and look after durable agents.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _SUBCOMMANDS:
        module.add(commands)
    return parser
