"""A real nginx on a free loopback port that serves one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

CONFIG = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
{user}
events {{ worker_connections 4096; }}
http {{
    types {{
        image/jpeg jpg jpeg;  image/png png;  image/webp webp;  image/gif gif;
        image/tiff tif tiff;  image/avif avif;  image/bmp bmp;  text/html html;  text/plain txt;
    }}
    access_log {access_log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root "{folder}";
    }}
}}
"""


class Nginx:
    """Serves `folder` while its `with` block lasts, its own files in a folder apart.

    `access_log`: where to log requests; none by default.
    """

    def __init__(self, folder: Path, *, access_log: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.access_log = access_log
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    @property
    def base_url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin")
        if program is None:
            raise FileNotFoundError("nginx is not installed (Debian: apt-get install nginx-light).")
        self._home = Path(tempfile.mkdtemp(prefix="nginx-"))
        config = self._home / "nginx.conf"
        config.write_text(
            CONFIG.format(
                home=self._home,
                user=_user(),
                access_log=self.access_log or "off",
                port=self.port,
                folder=self.folder,
            )
        )
        command = [program, "-p", str(self._home), "-c", str(config), "-e", str(self._home / "error.log")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 10
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"nginx ended at once: {self._process.communicate()[1].decode()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _user() -> str:
    """Started by root, nginx would drop to an account that cannot read pytest's private folders."""
    return "user root;" if os.geteuid() == 0 else ""
