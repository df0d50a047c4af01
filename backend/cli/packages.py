"""Exports that a person names at the command line: a path, an address, or the number of an export job."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from backend.cli.display import note
from backend.config import Settings
from backend.db import Database
from backend.errors import NotFound
from backend.models import ExportJob
from backend.services import exports
from gleanset.errors import NotAnExport, OutcomeError
from gleanset.export.reading import Package, open_package
from gleanset.fetch import Fetcher
from gleanset.types import Reason

AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Allow loopback and private addresses: your own servers only.")
]
_ROOM_TO_LEAVE = 1024**3
_LOOK_EVERY = 0.2
_SHOW_EVERY = 8 << 20  # bytes
_MOST_DIGITS = 10  # of the number of a job


@contextmanager
def opened(settings: Settings, place: str, *, allow_private: bool, quiet: bool) -> Generator[Package]:
    """The export there; one behind an http(s) address is fetched into a file that is gone at the end.

    Raises NotAnExport.
    """
    if not place.lower().startswith(("http://", "https://")):
        yield open_package(place)
        return
    folder = settings.home / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix="export-") as file:
        asyncio.run(_fetch(settings, place, cast("BinaryIO", file), allow_private=allow_private, quiet=quiet))
        yield open_package(file.name, urlsplit(place).path.rpartition("/")[2] or place)


async def _fetch(settings: Settings, url: str, file: BinaryIO, *, allow_private: bool, quiet: bool) -> None:
    room = max(0, shutil.disk_usage(settings.home).free - _ROOM_TO_LEAVE)
    options = settings.fetch_options(allow_private=allow_private, own_hosts=())
    shown = url.partition("?")[0]  # what is behind it may open the door
    try:
        async with Fetcher(options) as fetcher, _watched(file, quiet=quiet):
            await fetcher.save(url, file, max_bytes=room)
    except OutcomeError as error:
        hint = " For a server of your own, say --allow-private." if error.reason is Reason.PRIVATE_ADDRESS else ""
        if error.reason is Reason.TOO_LARGE:
            hint = " Make room on the disk of the data folder."
        why = error.detail or str(error.reason)
        raise NotAnExport(f"{shown} cannot be fetched ({why}). {error.reason.sentence}{hint}") from error


@asynccontextmanager
async def _watched(file: BinaryIO, *, quiet: bool) -> AsyncGenerator[None]:
    """Shows how much has come, while it comes."""

    async def watch(show: _Bar) -> None:
        while True:
            show(f"{decimal(file.tell())} fetched")
            await asyncio.sleep(_LOOK_EVERY)

    with showing(quiet=quiet) as show:
        watching = asyncio.create_task(watch(show))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


class _Bar:
    """A bar, or none."""

    def __init__(self, bars: Progress | None, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def __call__(self, text: str, done: int = 0) -> None:
        if self._bars is not None:
            self._bars.update(self._task, description=text, completed=done)


@contextmanager
def showing(*, quiet: bool, total: int | None = None) -> Generator[_Bar]:
    """A bar for a person who looks on, on standard error: give it a text, and how much of `total` is done."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        yield _Bar(None, TaskID(0))
        return
    with Progress(SpinnerColumn(), BarColumn(bar_width=28), TextColumn("{task.description}"), console=console) as bars:
        task = bars.add_task("", total=total)
        yield _Bar(bars, task)


@contextmanager
def reading(package: Package, *, quiet: bool) -> Generator[Callable[[int, int], None]]:
    """Shows files and bytes that are read of the export."""
    with showing(quiet=quiet, total=package.size) as show:
        last = 0

        def told(files: int, size: int) -> None:
            nonlocal last
            if size - last >= _SHOW_EVERY:
                last = size
                show(f"{files:,} files, {decimal(size)}", size)

        yield told


def place_of(settings: Settings, given: str) -> str:
    """Where the export lies: a path or an address as it is, a number as that of an export job.

    Raises NotFound, or what is the matter with a job that has no file.
    """
    is_number = given.isascii() and given.isdigit() and not Path(given).exists()
    return asyncio.run(_of_job(settings, given)) if is_number else given


async def _of_job(settings: Settings, given: str) -> str:
    async with await asyncio.to_thread(Database.ready, settings) as database, database.transaction() as session:
        job = await session.get(ExportJob, int(given)) if len(given) < _MOST_DIGITS else None
        if job is None:
            raise NotFound(f"There is no export job {given}, and no file of that name.")
        exports.check_there(job)
        url = job.download_url or ""
    note(f"Export job {given}: {url}")
    return unquote(urlsplit(url).path) if url.startswith("file:") else url
