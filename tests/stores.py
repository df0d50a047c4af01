"""Image stores: a folder, and a real S3 API."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

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
