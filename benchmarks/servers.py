"""Servers that are measured: `gleanset serve`, and whatever else listens on a port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from backend.models.enums import Scope
from backend.schemas.accounts import ApiKeyCreate
from backend.services import keys, profiles
from benchmarks.contestants import gleanset, gleanset_environment


@contextmanager
def serving(home: Path) -> Generator[tuple[str, subprocess.Popen[bytes]]]:
    """`gleanset serve` on the data in `home`: its address and its process."""
    port = free_port()
    command = gleanset("serve", "--port", str(port))
    with listening(command, port, gleanset_environment(home), home / "serve.log") as process:
        yield f"http://127.0.0.1:{port}", process


@contextmanager
def module_listening(module: str, port: int, argument: Path) -> Generator[str]:
    """One of ours that serves on the port: its address."""
    command = [sys.executable, "-m", module, str(argument)]
    with listening(command, port, gleanset_environment(argument.parent), argument.with_suffix(".log")):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def listening(
    command: list[str], port: int, environment: Mapping[str, str], log: Path
) -> Generator[subprocess.Popen[bytes]]:
    """The command, from when its port answers until it is told to end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} does not listen:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    """Whether something answers: our own server listens a while before it does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(4).startswith(b"HTTP")
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def key_of_owner(session: AsyncSession) -> str:
    """An API key of the local owner, who may read with it."""
    owner = await profiles.local_owner(session)
    _, secret = await keys.create(session, owner.id, ApiKeyCreate(name="benchmark", scopes=[Scope.READ]))
    return secret
