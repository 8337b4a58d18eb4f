"""`pytest-agent serve`: a scripted model behind a socket, for agents in any language and for load."""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_agent.errors import ServerFailed, UsageError

if TYPE_CHECKING:
    from pytest_agent.llm.server.serving import Serving

TOKEN_VARIABLE = "PYTEST_AGENT_TOKEN"  # noqa: S105 - the name of a variable
_SHORTEST_TOKEN = 16


def add(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="serve a scripted model over HTTP",
        description="Serve a scripted model over HTTP until SIGINT or SIGTERM. Without a script it echoes the last "
        "message. The script is read again when its file changes.",
    )
    parser.add_argument("script", nargs="?", type=Path, help="YAML or JSON: says, rules, persona, conversations")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port (default: a free one)")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        help=f"what every request has to show, as API key or x-pytest-agent-token (default: ${TOKEN_VARIABLE})",
    )
    parser.add_argument(
        "--coalesce", action="store_true", help="send events of a stream together that have no time between them"
    )
    parser.add_argument(
        "--drain", type=_seconds, default=10.0, metavar="SECONDS", help="for replies under way at the end"
    )
    parser.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
    parser.set_defaults(act=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    if not _stays_here(arguments.host):
        if not arguments.token:
            raise UsageError(f"--host {arguments.host} is open to other machines; give --token too, or leave it out")
        if len(arguments.token) < _SHORTEST_TOKEN:
            raise UsageError(f"--token has {len(arguments.token)} characters; give {_SHORTEST_TOKEN} or more")
    from pytest_agent.llm.server.serving import Serving

    serving = Serving(arguments.script, token=arguments.token, tell=_tell)
    cut = asyncio.run(_until_signal(serving, arguments))
    if cut:
        _tell(f"{cut} replies were cut off after {arguments.drain:g} s")
    if serving.app.problems:
        raise ServerFailed("; ".join(serving.app.problems))
    return 0


async def _until_signal(serving: Serving, arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _more_descriptors()
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked through again and again
    try:
        return await serving.run(
            arguments.host,
            arguments.port,
            lambda port: _announce(arguments, port),
            stop,
            coalesce=arguments.coalesce,
            drain_s=arguments.drain,
        )
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        raise UsageError(f"cannot listen on {where}: {error.strerror or error}; choose another --port") from None


def _announce(arguments: argparse.Namespace, port: int) -> None:
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = f"http://{host}:{port}"
    if arguments.json:
        line = json.dumps({"url": url, "openai_url": f"{url}/v1", "anthropic_url": url, "pid": os.getpid()})
    else:
        line = f"serving {arguments.script or 'an echo'} on {url} (OpenAI: {url}/v1, Anthropic and Gemini: {url})"
    print(line, flush=True)


def _stays_here(host: str) -> bool:
    """Whether nobody but this machine can connect; `0.0.0.0` is every address that it has."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _more_descriptors() -> None:
    """Every connection needs one, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535, 0 for a free one")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; give 0 or more")
    return seconds
