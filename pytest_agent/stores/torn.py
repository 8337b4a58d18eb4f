"""A write of which only a part has reached the disk: what a file looks like after it."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping

_SQLITE = b"SQLite format 3\x00"
_MAGIC = bytes.fromhex("d9d505f920a163d7")
_SECTOR = 512
_STEP = 200


def tear(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of `after` with the last write cut in the middle.

    The write-ahead log of an SQLite database loses the end of its last frame. A database without one is half written,
    and beside it lies the journal with which SQLite undoes that. Of every other file that was written half is there.
    """
    torn = dict(after)
    for name, now in after.items():
        was = before.get(name, b"")
        if now == was or now in before.values():  # a file that only has another name now is whole
            continue
        if name.endswith("-wal"):
            torn[name] = _without_its_end(was, now)
        elif now.startswith(_SQLITE):
            if f"{name}-wal" not in after:
                torn[name], torn[f"{name}-journal"] = _half_written(was, now)
        elif not name.endswith("-journal"):
            torn[name] = now[: len(now) // 2]
    return torn


def _without_its_end(was: bytes, now: bytes) -> bytes:
    """The write-ahead log without the last bytes that were written: there its checksum does not fit any more."""
    # Compared piece by piece and not byte by byte: a log has a hundred thousand of them.
    places = range(len(now))
    first = bisect_left(places, True, key=lambda at: now[: at + 1] != was[: at + 1])
    behind_last = bisect_left(places, True, key=lambda at: now[at:] == was[at : len(now)])
    cut = max(first, behind_last - 1 - _SECTOR)
    return now[:cut] + was[cut:]


def _half_written(was: bytes, now: bytes) -> tuple[bytes, bytes]:
    """The database as it is after half of its changed pages, and the journal that has the old ones."""
    size = _page_size(now)
    changed = [
        page for page in range(max(len(was), len(now)) // size) if _page(was, page, size) != _page(now, page, size)
    ]
    written = set(changed[: len(changed) // 2 + 1])
    pages = [_page(now if page in written else was, page, size) for page in range(len(now) // size)]
    torn = b"".join(page or bytes(size) for page in pages)
    return torn, b"".join(_journal(was, size, changed))


def _journal(was: bytes, size: int, changed: list[int]) -> Iterator[bytes]:
    """SQLite's rollback journal: a header, and each old page with its number and its checksum."""
    old = [page for page in changed if page < len(was) // size]
    header = _MAGIC + struct.pack(">IIIII", len(old), 0, len(was) // size, _SECTOR, size)
    yield header.ljust(_SECTOR, b"\x00")
    for page in old:
        data = _page(was, page, size)
        yield struct.pack(">I", page + 1) + data + struct.pack(">I", sum(data[size - _STEP : 0 : -_STEP]))


def _page(data: bytes, page: int, size: int) -> bytes:
    return data[page * size : (page + 1) * size]


def _page_size(data: bytes) -> int:
    (size,) = struct.unpack(">H", data[16:18])
    return 65536 if size == 1 else int(size)
