"""A way to the server that can be bad: it cuts connections, changes bytes, and hides headers. Plain TCP."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_HEAD = re.compile(rb"^(GET|POST|DELETE) (\S+) HTTP/1.1\r\n(.*?)\r\n\r\n", re.DOTALL | re.MULTILINE)


@dataclass
class Proxy:
    """`cut`: after how many bytes of its answers each coming connection is cut, one after the other. `flip`: a byte at
    this place of an answer becomes another, as often as `flips` says. `most`: when so many bytes are carried, the
    others wait. `requests`: method, path and headers."""

    url: str
    target: tuple[str, int]
    cut: list[int] = field(default_factory=list[int])
    flip: int | None = None
    flips: int = 0
    most: int | None = None
    hide_ranges: bool = False
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list[tuple[str, str, dict[str, str]]])
    carried: int = 0
    connections: int = 0

    def headers(self, name: str, path: str = "") -> list[str]:
        """What requests, to a path that has this in it, said in this header."""
        return [headers[name] for _, where, headers in self.requests if path in where and name in headers]

    def serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                self.connections += 1
                far = socket.create_connection(self.target)
                budget = self.cut.pop(0) if self.cut else None
                threading.Thread(target=self._up, args=(near, far), daemon=True).start()
                threading.Thread(target=self._down, args=(near, far, budget), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(1 << 16):
                for method, path, head in _HEAD.findall(data):
                    lines = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
                    self.requests.append((method.decode(), path.decode(), {k.title(): v for k, v in lines}))
                far.sendall(data.replace(b"Range: ", b"Xange: ") if self.hide_ranges else data)
        _end(near, far)

    def _down(self, near: socket.socket, far: socket.socket, budget: int | None) -> None:
        sent = 0
        with suppress(OSError):
            while data := far.recv(1 << 14):
                if self.flip is not None and self.flips and sent <= self.flip < sent + len(data):
                    self.flips -= 1
                    at = self.flip - sent
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                while self.most is not None and self.carried >= self.most:
                    time.sleep(0.005)
                if budget is not None and sent + len(data) >= budget:
                    near.sendall(data[: budget - sent])
                    break
                near.sendall(data)
                sent += len(data)
                self.carried += len(data)
        _end(near, far)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy before the server at this address."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Proxy(f"http://127.0.0.1:{listening.getsockname()[1]}", (parts.hostname, parts.port))
        threading.Thread(target=made.serve, args=(listening,), daemon=True).start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
