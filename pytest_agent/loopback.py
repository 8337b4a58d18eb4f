"""Which addresses are this machine."""

from __future__ import annotations

import functools
import ipaddress


def is_loopback(host: object) -> bool:
    """Whether a host name or address is this machine."""
    if host is None or host in ("", b""):
        return True
    return _is_this_machine(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))


@functools.lru_cache(maxsize=1024)
def _is_this_machine(text: str) -> bool:
    name = text.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)


def grpc_place(target: object) -> tuple[str | None, str | None]:
    """Host and port of a gRPC target, such as `dns:///api.example:443`; no host for a file."""
    text = target.decode() if isinstance(target, bytes) else str(target)
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("unix", "unix-abstract", "vsock"):
        return None, None
    if colon and scheme in ("dns", "ipv4", "ipv6", "xds", "passthrough"):
        # An authority may stand between the slashes: it is the name server, not the target.
        text = rest.rpartition("/")[2] if scheme != "ipv6" else rest
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or None
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and ":" not in host else (text, None)
