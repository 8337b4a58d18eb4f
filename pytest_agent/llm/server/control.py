"""The routes under /__/: what arrived, what it used, and from `serve` also what is said from now on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.guard import is_loopback
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.server.journal import Journal
from pytest_agent.llm.server.world import Committing, Tools, call_tool, object_of, said

PREFIX = "/__/"
_JSON = (("content-type", "application/json"),)
_MOST_SHOWN = 1_000

Query = dict[str, str]


class Scripting(Protocol):
    """What may exchange the script of a server."""

    def replace_script(self, text: str) -> None:
        """Say this from now on, YAML or JSON. Raises UsageError for what is no script, and then changes nothing."""

    def begin_again(self) -> None:
        """The same script from its beginning."""


class Control:
    """Answers them. `scripting` None: the script belongs to a test, which says it with `llm.says(...)`.

    `tools` are those of the test's sandbox; `committing` is told of the commits of an agent that says them, one that
    dies where a schedule says so.
    """

    def __init__(self, journal: Journal, scripting: Scripting | None = None, tools: Tools | None = None) -> None:
        self.committing: Committing | None = None
        self._tools = tools
        self._journal = journal
        self._scripting = scripting
        self._routes: dict[str, dict[str, Callable[[WireRequest, Query], Reply]]] = {
            "health": {"GET": self._health},
            "requests": {"GET": self._requests},
            "usage": {"GET": self._usage},
            "reset": {"POST": self._reset},
            "script": {"PUT": self._script, "POST": self._script},
            "commits": {"POST": self._commits},
        }

    def answer(self, wire: WireRequest, *, allowed: bool) -> Reply:
        """The reply; `allowed` says whether the request shows the token that the server asks for."""
        name = wire.path.removeprefix(PREFIX)
        methods = self._routes.get(name)
        if name.startswith("tools/") and self._tools is not None:
            methods = {"POST": self._tool}
        if methods is None:
            return _wrong(404, f"no route {wire.path!r}.{did_you_mean(name, self._routes)}")
        if wire.method not in methods:
            return _wrong(405, f"{wire.path} takes {' or '.join(methods)}, not {wire.method}")
        if not allowed and name != "health":
            return _wrong(401, "the token of the server is missing; send it as header x-pytest-agent-token")
        if "origin" in wire.headers or not _is_named_by_address(wire.headers.get("host", "")):
            # A page in somebody's browser can reach this machine too, also under a name of its own.
            return _wrong(403, "these routes are not for web pages")
        try:
            return methods[wire.method](wire, dict(parse_qsl(wire.query, keep_blank_values=True)))
        except UsageError as error:
            return _wrong(400, str(error))

    def _health(self, wire: WireRequest, query: Query) -> Reply:
        del wire, query
        return _said({"status": "ok"})

    def _requests(self, wire: WireRequest, query: Query) -> Reply:
        del wire
        for name in query:
            if name not in ("conversation", "after", "limit"):
                raise UsageError(f"unknown parameter {name!r}.{did_you_mean(name, ('conversation', 'after', 'limit'))}")
        after, limit = _number(query, "after", 0), _number(query, "limit", _MOST_SHOWN)
        found = list(self._journal.entries(after=after, conversation=query.get("conversation")))
        return _said({"requests": [entry.shown() for entry in found[:limit]], "arrived": self._journal.count})

    def _usage(self, wire: WireRequest, query: Query) -> Reply:
        del wire, query
        return _said(self._journal.usage())

    def _reset(self, wire: WireRequest, query: Query) -> Reply:
        del wire, query
        self._journal.clear()
        if self._scripting is not None:
            self._scripting.begin_again()
        return _said({"status": "reset"})

    def _tool(self, wire: WireRequest, query: Query) -> Reply:
        del query
        return call_tool(self._tools or {}, wire.path.removeprefix(f"{PREFIX}tools/"), wire)

    def _commits(self, wire: WireRequest, query: Query) -> Reply:
        del query
        if self.committing is None:
            raise UsageError("nobody asks for the commits of this process; start it as a MortalCommand")
        return said(200, self.committing(object_of(wire)))

    def _script(self, wire: WireRequest, query: Query) -> Reply:
        del query
        if self._scripting is None:
            return _wrong(409, "the script belongs to a test; say it there with llm.says(...)")
        try:
            text = wire.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"the script is not UTF-8: byte {error.start}") from None
        self._scripting.replace_script(text)
        return _said({"status": "loaded"})


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise UsageError(f"{name}={text[:40]!r}: expected a whole number, 0 or more")
    return int(text)


def _is_named_by_address(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]")
    return is_loopback(name) or name.replace(".", "").isdecimal() or ":" in name


def _said(data: dict[str, Any]) -> Reply:
    return Reply(200, _JSON, (Chunk(json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")),))


def _wrong(status: int, message: str) -> Reply:
    return Reply(status, _JSON, (Chunk(json.dumps({"error": message}).encode()),), error_code="control")
