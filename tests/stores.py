"""Image stores: a folder, and a real S3 API."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """moto's S3, a process of its own, with one bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            bucket = urllib.request.Request(f"{address}/pictures", method="PUT")
            for _ in range(600):
                try:
                    urllib.request.urlopen(bucket, timeout=5).close()
                    break
                except URLError:
                    assert process.poll() is None, "moto.server does not start"
                    time.sleep(0.05)
            yield address
        finally:
            process.terminate()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The environment that a self-hosted S3 needs; a prefix of the test's own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://pictures/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "blobs") if request.param == "folder" else request.getfixturevalue("s3")


class SlowWay:
    """A way to the store on which who puts a file of a name like `hold` gets stuck. `puts`: what went through."""

    def __init__(self, target: str, hold: str) -> None:
        there = urlsplit(target)
        assert there.hostname is not None
        assert there.port is not None
        self._target = (there.hostname, there.port)
        self._hold = re.compile(hold)
        self.held, self.released = threading.Event(), threading.Event()
        self.puts: list[str] = []

    @contextmanager
    def open(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=self._serve, args=(listening,), daemon=True).start()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                self.released.set()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(self._target)
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket, up: bool) -> None:
        with suppress(OSError), near, far:
            while data := near.recv(1 << 16):
                for path in re.findall(rb"^PUT (\S+) HTTP", data, re.MULTILINE) if up else ():
                    if not self.released.is_set() and self._hold.search(path.decode()):
                        self.held.set()
                        self.released.wait()
                        return
                    self.puts.append(path.decode())
                far.sendall(data)
