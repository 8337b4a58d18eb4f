"""The entry: parse, run one subcommand, and turn every error into one clear line and an exit code.

0: held. 1: something failed. 2: usage or bad input. 4: no verdict. 70: an error of pytest-agent itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_agent.cli import serve, try_agent
from pytest_agent.errors import PytestAgentError, UsageError

OK, FAILED, BAD_USE, OWN_ERROR = 0, 1, 2, 70
_SUBCOMMANDS = (serve, try_agent)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.act(arguments)
    except UsageError as error:
        return _say(str(error), BAD_USE)
    except PytestAgentError as error:
        return _say(str(error), FAILED)
    except Exception as error:  # noqa: BLE001 - the one place that turns whatever is left into a line
        said = f"an error of pytest-agent itself: {type(error).__name__}: {error}; please report it with the command"
        return _say(said, OWN_ERROR)
    return code


def _say(message: str, code: int) -> int:
    print(f"pytest-agent: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pytest-agent", description="Test LLM agents, and break them on purpose.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _SUBCOMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
