"""Where the command line puts a dataset: a file, a folder, or an object store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from backend.cli.display import note
from backend.errors import BadInput
from backend.models.enums import JobStatus
from backend.schemas.plans import ExportPlan
from backend.services.reports import Report
from gleanset.export import CONTAINERS, FORMATS
from gleanset.export.files import MANIFEST

_FOREIGN = (BaseError, OSError, ValueError)
"""What obstore raises; ValueError for an address that does not parse."""


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
        _object_store(out)
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
    named = next((name for name in CONTAINERS if out.endswith(f".{name}")), "folder")
    usual = FORMATS[format_][1] if format_ else None
    if format_ in CONTAINERS and named not in (usual, "folder"):
        raise BadInput(f"{out} would be a {named}, and the format is {format_}. Let them agree, or leave one out.")
    return usual if format_ in CONTAINERS else named


def dataset_path(now: Report) -> str | None:
    """Where the run's dataset lies: where the person asked for it, or else among the exports."""
    job = now.export
    if job is None or job.status != JobStatus.COMPLETED or job.download_url is None:
        return None
    wanted = job.export_options.get("out")
    if wanted is not None and ("://" in wanted or Path(wanted).exists()):
        return str(wanted)
    return unquote(urlsplit(job.download_url).path)


def deliver(now: Report) -> str | None:
    """Put the dataset of a run that has just ended where the person asked for it; its path. Raises BadInput."""
    job = now.export
    if job is None or job.status != JobStatus.COMPLETED or job.download_url is None:
        return None
    packed, out = Path(unquote(urlsplit(job.download_url).path)), job.export_options.get("out")
    if out is None or ("://" not in out and Path(out).exists()):
        return str(out or packed)
    if not packed.exists():
        note(f"The dataset was packed on another machine, as {job.download_url}.")
        return None
    if "://" in out:
        _upload(packed, out)
    else:
        _copy(packed, Path(out))
    return str(out)


def _copy(packed: Path, out: Path) -> None:
    """A second name for its files where the disk allows it, copies otherwise; whole or not at all."""
    part = out.with_name(f".{out.name}.part")
    if packed.is_dir():
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(packed, part, copy_function=_link)
    else:
        part.unlink(missing_ok=True)
        _link(packed, part)
    part.rename(out)


def _link(file: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _upload(packed: Path, out: str) -> None:
    """The files of a folder one by one, the manifest last: when it is there, all are."""
    try:
        if packed.is_dir():
            store = from_url(out)
            files = [path for path in sorted(packed.rglob("*")) if path.is_file() and path.name != MANIFEST]
            for path in (*files, packed / MANIFEST):
                obstore.put(store, path.relative_to(packed).as_posix(), path)
        else:
            parent, _, name = out.rpartition("/")
            obstore.put(from_url(parent), name, packed)
    except _FOREIGN as error:
        raise BadInput(f"The dataset cannot be put to {out}: {error}. It lies here: {packed}") from error


def _object_store(out: str) -> None:
    try:
        from_url(out)
    except _FOREIGN as error:
        raise BadInput(f"{out} is no address of an object store, such as s3://bucket/folder: {error}") from error
