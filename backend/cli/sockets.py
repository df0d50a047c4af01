"""Sockets to listen on."""

from __future__ import annotations

import errno
import socket

from backend.errors import BadInput

_TRIES = 100


def listen(host: str, port: int, *, next_free: bool = False) -> socket.socket:
    """A socket bound to the port, or to the next free one. Raises BadInput when there is none."""
    last = port + _TRIES if next_free and port else port + 1
    for number in range(port, min(last, 65536)):
        try:
            return _bound(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = error.strerror or str(error)
                raise BadInput(f"Cannot listen on {host}, port {number}: {reason}.") from error
    raise BadInput(f"Port {port} of {host} is taken by another program. Choose one with --port; 0 takes a free one.")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)  # from now on the port is ours, and early requests wait
    except OSError:
        listening.close()
        raise
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL at which a browser on this machine finds the server."""
    bound, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, str(bound))  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
