"""File descriptors that an event loop watches, named so that a person recognises them."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol


class HasFileno(Protocol):
    """A socket, a file, a transport's socket: anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Descriptor(NamedTuple):
    """An open descriptor and how to call it: `socket 127.0.0.1:5432 (fd 9)`."""

    fd: int
    name: str


def number(fileobj: int | HasFileno) -> int:
    """The descriptor of a file object, or the number itself."""
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()


def describe(fd: int) -> Descriptor:
    """Name a descriptor by its peer, or by what the system says it is."""
    return Descriptor(fd, f"{_peer(fd) or _system_name(fd)} (fd {fd})")


def is_ignored(descriptor: Descriptor, ignored: Iterable[int | str]) -> bool:
    """Whether the author declared it idle, by number or by a part of its name."""
    return any(rule == descriptor.fd if isinstance(rule, int) else rule in descriptor.name for rule in ignored)


def is_readable(fd: int) -> bool:
    """Whether something has come that nobody has read yet, or the end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def local_port(fd: int) -> int:
    """The port of this end of a socket; 0 where it has none any more."""
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            return int(copy.getsockname()[1])
    except OSError:
        return 0


def _peer(fd: int) -> str | None:
    try:
        duplicate = os.dup(fd)
    except OSError:
        return None
    try:
        copy = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return None
    with copy:
        try:
            return f"socket to {_address(copy.getpeername())}"
        except OSError:
            pass
        try:
            return f"socket listening on {_address(copy.getsockname())}"
        except OSError:
            return None


def _address(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address) if address else "an unnamed local socket"


def _system_name(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return "descriptor"
