"""Server-sent events from raw bytes: decoded whole line by whole line, however the chunks were cut."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator

_LINE_END = re.compile(rb"\r\n|\n|\r")


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """Yield complete lines; a last line without its end is yielded too."""
    held: list[bytes] = []  # of one line whose end has not come yet
    async for chunk in chunks:
        held.append(chunk)
        if len(held) > 1 and not _LINE_END.search(chunk) and not held[-2].endswith(b"\r"):
            continue  # a long line is joined once, not with every piece of it
        rest = b"".join(held)
        keep = rest.endswith(b"\r")  # its \n may be in the next chunk
        *whole, rest = _LINE_END.split(rest[:-1] if keep else rest)
        held = [rest + b"\r" if keep else rest]
        for line in whole:
            yield line.decode("utf-8-sig")
    if rest := b"".join(held).rstrip(b"\r"):
        yield rest.decode("utf-8-sig")


async def data(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """Yield the payload of every event; comments are dropped, a bare JSON object is taken as an event."""
    held: list[str] = []
    async for line in lines(chunks):
        if line.startswith("data:"):
            held.append(line[5:].removeprefix(" "))
        elif line.startswith("{"):
            yield line  # an error body that a proxy appended without framing
        elif not line and held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)
