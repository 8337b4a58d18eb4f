"""What a subcommand is given, and the options they share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentfsm.cli.output import Output
from agentfsm.errors import AgentError


class Commands(Protocol):
    """What subcommands are added to."""

    def add_parser(self, name: str, /, *, help: str, description: str) -> argparse.ArgumentParser:
        """Add one."""
        ...


class BadUse(AgentError):
    """An argument of the command names something that is not there or cannot be used."""

    default_code = "usage"


@dataclass(frozen=True)
class Context:
    """The arguments of one call, and where to print."""

    args: argparse.Namespace
    out: Output


Act = Callable[[Context], Awaitable[int]]


def command(commands: Commands, name: str, act: Act, summary: str) -> argparse.ArgumentParser:
    """Add a subcommand with the options that all of them have."""
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(act=act)
    parser.add_argument("--json", action="store_true", help="print JSON documents")
    return parser


def environment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose an environment."""
    parser.add_argument(
        "--env", default=os.environ.get("AGENTFSM_ENV") or "dev", help="environment (AGENTFSM_ENV; dev)"
    )
    parser.add_argument(
        "--environments", type=Path, metavar="DIR", help="folder with your own (./environments where there is one)"
    )


def store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose an environment and a store."""
    environment_options(parser)
    parser.add_argument("--store", metavar="URL", help="a file or postgresql://..., in place of the environment's")


def agent_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose an agent, its tools, an environment and a store."""
    parser.add_argument("agent", help="module or module:function that builds the agent")
    parser.add_argument(
        "--tools", metavar="MODULE:NAME", help="mapping of tool names to functions (`tools` of the agent's module)"
    )
    store_options(parser)


def task_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which task is meant, beside the options that choose an agent."""
    agent_options(parser)
    parser.add_argument("text", help="what the user asks for")
    parser.add_argument("--id", help="the task's id; the same id and text are the same task (a new one is drawn)")
    parser.add_argument("--dry-run", action="store_true", help="answer tools that have an effect with their example")


def folder_of(context: Context) -> Path | None:
    """Return the folder of environments of one's own; raise BadUse where the named one is none."""
    given: Path | None = context.args.environments
    if given is None:
        here = Path("environments")
        return here if here.is_dir() else None
    if not given.is_dir():
        raise BadUse(f"--environments: {given} is no folder; name the folder that holds dev.yaml and the others")
    return given
