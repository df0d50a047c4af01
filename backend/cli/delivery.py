"""Where the command line puts a dataset: a file, a folder, or an object store."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.parse import unquote, urlsplit

from backend.cli.display import note
from backend.db import Database
from backend.errors import BadInput
from backend.models import ExportJob
from backend.models.enums import Delivery, JobStatus
from backend.schemas.plans import ExportPlan
from backend.services import deliveries, exports
from gleanset.errors import NotDelivered
from gleanset.export import CONTAINERS, FORMATS, ObjectPlace
from gleanset.export.verify import is_export
from gleanset.export.workspace import bring_to_disk

_FICLONE = 0x40049409
"""Linux's call that gives a file the blocks of another, until one of them is changed."""
_BLOCK = 8 << 20
_TAKES_A_WHILE = 1 << 30
_OTHER_ARCHIVES = re.compile(r"\.(?:rar|7z|tbz2?|txz|tzst|tar\.\w+|gz|bz2|xz|zst|lz|lz4|lzma|br)$")


def export_plan(format_: str | None, out: str | None) -> ExportPlan | None:
    """What is to be packed and where to; checked before anything is gathered. Raises BadInput."""
    if format_ is None and out is None:
        return None
    if format_ is not None and format_ not in FORMATS:
        raise BadInput(f"There is no export format {format_!r}. The formats are: {', '.join(FORMATS)}.")
    container = _container(format_, out)
    format_ = format_ or container or "zip"
    if out is None:
        return ExportPlan(format=format_)
    if "://" in out:
        try:
            ObjectPlace(out, folder=container == "folder").check()
        except NotDelivered as error:
            raise BadInput(str(error)) from error
        return ExportPlan(format=format_, container=container, out=out.rstrip("/"))
    path = Path(out).absolute()
    if path.exists():
        raise BadInput(f"{out} exists already. Choose another name, or move it away.")
    if not path.parent.is_dir():
        raise BadInput(f"The folder {path.parent} does not exist. Make it first, or choose another place.")
    return ExportPlan(format=format_, container=container, out=str(path))


def _container(format_: str | None, out: str | None) -> str | None:
    """What the place's name asks for; None leaves it to the format. A name without an end is a folder's."""
    if out is None:
        return None
    name = re.sub(r"\.tgz$", ".tar.gz", out.lower())
    named = next((each for each in CONTAINERS if name.endswith(f".{each}")), "folder")
    if named == "folder" and (other := _OTHER_ARCHIVES.search(name)):
        raise BadInput(
            f"{out} would be a {other[0]} file, which is not made here. A name that ends in .zip, .tar, .tar.gz, .tgz"
            " or .tar.zst is such an archive's, and one without an ending is a folder's."
        )
    usual = FORMATS[format_][1] if format_ else None
    if format_ in CONTAINERS and named not in (usual, "folder"):
        raise BadInput(f"{out} would be a {named}, and the format is {format_}. Let them agree, or leave one out.")
    return usual if format_ in CONTAINERS else named


def dataset_path(job: ExportJob | None) -> str | None:
    """Where a dataset lies: where the person asked for it, or else among the exports."""
    if job is None or job.status != JobStatus.COMPLETED or job.download_url is None:
        return None
    out = deliveries.destination(job)
    if out is not None and job.delivery == Delivery.DONE and (deliveries.remote(job) or Path(out).exists()):
        return out
    return unquote(urlsplit(job.download_url).path)


async def deliver(database: Database, job: ExportJob | None) -> str | None:
    """Put a completed export where the person asked for it on this machine, once; where it lies. Raises BadInput."""
    path, out = dataset_path(job), deliveries.destination(job) if job else None
    if job is None or path is None or out is None or job.delivery != Delivery.WANTED or deliveries.remote(job):
        return path
    if job.taken_down_images:
        raise BadInput(
            f"{job.taken_down_images} of the images in export {job.id} were taken down since."
            f" Export again: gleanset export {job.crawl_job_id} --out {out}"
        )
    stop = Event()
    try:
        there = await asyncio.to_thread(_place, Path(path), Path(out), job, stop)
    finally:
        stop.set()  # the thread would go on when a person interrupts it
    if not there:
        note(f"The dataset was packed elsewhere, as {job.download_url}. There: gleanset exports retry {job.id}")
        return None
    async with database.transaction() as session:
        await deliveries.done(session, job.id)
    return out


def _place(packed: Path, out: Path, job: ExportJob, stop: Event) -> bool:
    """Copy it there, whole or not at all. False when its files are those of another machine."""
    if not packed.exists():
        return False
    if out.exists():
        if job.sha256 and is_export(str(out), job.sha256.hex()):
            return True  # from a command that was killed before it could say so
        raise BadInput(
            f"{out} exists already. The dataset lies here: {packed}. Move away what is there, and then:"
            f" gleanset exports retry {job.id}"
        )
    part = out.with_name(f".{out.name}.part")
    exports.discard(part)
    try:
        _copy(packed, part, job.file_size or 0, stop)
        bring_to_disk(part)
        part.rename(out)
    except OSError as error:
        raise BadInput(
            f"The dataset cannot be put to {out}: {error.strerror or error}. It lies here: {packed}. When that is"
            f" mended: gleanset exports retry {job.id}"
        ) from error
    finally:
        exports.discard(part)
    return True


def _copy(packed: Path, part: Path, size: int, stop: Event) -> None:
    """Files of their own, `size` bytes in all: what a person changes in theirs is not changed in what the server hands
    out. The disk's blocks are shared where the file system can do that."""
    shared = True
    for file, to in _files(packed, part):
        if shared and not _share(file, to):
            shared = False
            free = shutil.disk_usage(part.parent).free
            if free < size:
                raise OSError(errno.ENOSPC, f"it has {size:,} bytes, and {free:,} are free there")
            if size >= _TAKES_A_WHILE:
                note(f"The dataset is copied to {part.parent}: {size:,} bytes.")
        if not shared:
            with file.open("rb") as source, to.open("wb") as target:
                while block := source.read(_BLOCK):
                    if stop.is_set():
                        raise OSError(errno.ECANCELED, "it was interrupted")
                    target.write(block)


def _files(packed: Path, part: Path) -> Iterator[tuple[Path, Path]]:
    """Each file, and where it goes to, in a folder that is there."""
    if not packed.is_dir():
        yield packed, part
        return
    part.mkdir()
    for each in packed.rglob("*"):
        to = part / each.relative_to(packed)
        if each.is_dir():
            to.mkdir()
        else:
            yield each, to


def _share(file: Path, to: Path) -> bool:
    with file.open("rb") as source, to.open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:  # another file system, or one that cannot do it
            return False
    return True
