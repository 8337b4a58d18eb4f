"""What arrived at the server and what it used, counted at the wire. Bounded: old entries make room for new ones."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_agent.faults.site import Site
from pytest_agent.llm.conversations import NAMING, conversation_of, shown_names
from pytest_agent.llm.record import Delivery
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.usage import Meter, Spent, total

MOST_ENTRIES = 2_000
MOST_BYTES = 64 * 1024 * 1024
"""Of the bodies of all entries together."""

MOST_CONVERSATIONS = 5_000
"""Whose usage is kept apart; that of the oldest is then counted under `OLDER`."""

OLDER = "(older conversations)"
_SECRET = ("authorization", "key", "token", "secret", "cookie", "password")
_MASK = "***"


@dataclass(slots=True)
class Entry:
    """One request. `end` is None while its answer is under way."""

    n: int
    wire: WireRequest
    conversation: str
    site: Site | None
    status: int
    error: str | None
    end: str | None = None

    def done(self, end: str) -> None:
        """The client has all that it will get."""
        if self.end is None:
            self.end = end

    def shown(self) -> dict[str, Any]:
        """As JSON data, with secrets masked."""
        wire, site = self.wire, self.site
        return {
            "n": self.n,
            "conversation": self.conversation,
            "method": wire.method,
            "path": wire.path,
            "query": _masked_query(wire.query),
            "headers": _masked(wire.headers),
            "body": _body(wire.body),
            "site": None if site is None else str(site),
            "attempt": None if site is None else site.attempt,
            "status": self.status,
            "error": self.error,
            "end": self.end,
        }


class Journal:
    """The last entries, and the usage of every conversation since the last `clear`."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._count = 0
        self._meters: OrderedDict[str, Meter] = OrderedDict()
        self._refused = 0
        self._unanswered = 0

    def note(self, wire: WireRequest, reply: Reply, delivery: Delivery | None, *, answered: bool) -> Entry:
        """One more request, and what it is answered with."""
        self._count += 1
        site = None if delivery is None else delivery.site
        name = site.name if site is not None and site.name else name_of(wire.headers)
        entry = Entry(self._count, wire, name, site, reply.status, reply.error_code)
        self._entries.append(entry)
        self._bytes += len(wire.body)
        while len(self._entries) > MOST_ENTRIES or (self._bytes > MOST_BYTES and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().wire.body)
        if delivery is not None:
            meter = self._meter(name)
            meter.requested(delivery.asked, attempt=delivery.site.attempt)
            if delivery.usage is not None:
                meter.spoke(delivery.asked, delivery.usage, delivery.cost_usd)
        elif not answered:
            self._unanswered += 1
        elif reply.status >= 400:
            self._refused += 1
        return entry

    def entries(self, *, after: int = 0, conversation: str | None = None) -> Iterator[Entry]:
        """Those that are kept, in order of arrival."""
        for entry in list(self._entries):
            if entry.n > after and conversation in (None, entry.conversation):
                yield entry

    @property
    def count(self) -> int:
        """Requests since the last `clear`, those that are no longer kept included."""
        return self._count

    def usage(self) -> dict[str, Any]:
        """Per model and per conversation, as JSON data. `refused` and `unanswered` requests are in neither."""
        meters = dict(self._meters)
        models = sorted({model for meter in meters.values() for model in meter.by_model})
        return {
            "total": _spent(total(meter.total for meter in meters.values())),
            "models": {
                model: _spent(total(m.by_model[model] for m in meters.values() if model in m.by_model))
                for model in models
            },
            "conversations": {
                name: {
                    **_spent(meter.total),
                    "models": {model: _spent(spent) for model, spent in sorted(meter.by_model.items())},
                }
                for name, meter in meters.items()
            },
            "refused": self._refused,
            "unanswered": self._unanswered,
        }

    def clear(self) -> None:
        """Forget everything; entries are counted from 1 again."""
        self._entries.clear()
        self._meters.clear()
        self._bytes = self._count = self._refused = self._unanswered = 0

    def _meter(self, name: str) -> Meter:
        meter = self._meters.get(name)
        if meter is None:
            meter = self._meters[name] = Meter()
            if len(self._meters) > MOST_CONVERSATIONS:
                self._fold()
        return meter

    def _fold(self) -> None:
        older = self._meters.setdefault(OLDER, Meter())
        self._meters.move_to_end(OLDER)
        _, oldest = self._meters.popitem(last=False)
        older.add(oldest)


def name_of(headers: Mapping[str, str]) -> str:
    """What a request's conversation is called where the script declares none: a key only by its digest."""
    return _name_of(tuple([headers.get(name) for name in NAMING]))


@functools.lru_cache(maxsize=1_000)
def _name_of(values: tuple[str | None, ...]) -> str:
    headers = {name: value for name, value in zip(NAMING, values, strict=True) if value is not None}
    shown = shown_names(headers)
    if shown:
        return shown[0][:200]
    offered = conversation_of(headers)
    return f"key-{hashlib.sha256(offered[0].encode('utf-8', 'backslashreplace')).hexdigest()[:12]}" if offered else ""


def _spent(spent: Spent) -> dict[str, Any]:
    return asdict(spent)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET) and name != "idempotency-key"


def _masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: _MASK if _is_secret(name) else value for name, value in headers.items()}


def _masked_query(query: str) -> str:
    parts = (part.partition("=") for part in query.split("&")) if query else ()
    return "&".join(f"{name}={_MASK}" if equals and _is_secret(name) else name + equals + value
                    for name, equals, value in parts)  # fmt: skip


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw[:2_000].decode("utf-8", "replace")
