"""Exports on this machine's disk: each under its SHA-256, whole or not there, shared by all processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from gleanset.client.archive import packing, unpack
from gleanset.client.download import THREADS, Fetched, Remote, fetch
from gleanset.client.http import Http
from gleanset.client.values import ExportJob
from gleanset.errors import DatasetError, DownloadError, NotThere


class Cache:
    """The folder is made when it is missing; without one it is where this system keeps what can be had again."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = (Path(folder).expanduser() if folder else user_cache_path("gleanset")) / "exports"

    def get(self, http: Http, export: ExportJob, *, threads: int = THREADS, told: Fetched | None = None) -> Path:
        """The export's archive, fetched when it is not there yet. Of two processes that want it, one fetches.

        Raises NotThere when images in it were taken down, also for a copy that is here, which is removed then.
        """
        if export.sha256 is None or export.file_size is None:
            raise NotThere(f"The export {export.id} is {export.status}; it has no file.", status=409)
        place = self.folder / export.sha256
        with _locked(Path(f"{place}.lock")):
            if export.taken_down_images:
                shutil.rmtree(place, ignore_errors=True)
                what = f"{export.taken_down_images} of the images in export {export.id} were taken down"
                raise NotThere(f"{what}. Make a new export.", status=410)
            return self._placed(http, export, place, threads, told)

    def opened(self, path: Path) -> Path:
        """The file itself where it can be read in place, or else the plain tar that it is unpacked to. When the file
        has changed, another one takes that one's place. Raises DatasetError for what cannot be unpacked."""
        how = packing(path) if path.is_file() else None
        if how is None:
            return path
        path = path.resolve()
        now = path.stat()
        place = self.folder / f"opened-{hashlib.sha256(os.fsencode(path)).hexdigest()}"
        with _locked(Path(f"{place}.lock")):
            ready = place / f"{now.st_size}-{now.st_mtime_ns}" / path.stem
            if not ready.exists():
                shutil.rmtree(place, ignore_errors=True)
                _made(ready.parent)
                try:
                    unpack(path, place / "unpacked", how)
                    (place / "unpacked").replace(ready)
                except BaseException as error:
                    shutil.rmtree(place, ignore_errors=True)
                    if isinstance(error, OSError):
                        raise DownloadError(f"{path.name} cannot be unpacked in {place}: {error.strerror}.") from error
                    raise
            return ready

    def _placed(self, http: Http, export: ExportJob, place: Path, threads: int, told: Fetched | None) -> Path:
        ready = place / "dataset"
        if ready.exists():
            return ready
        assert export.sha256 is not None
        assert export.file_size is not None
        _made(place)
        remote = Remote(f"/export-jobs/{export.id}/download", export.file_size, export.sha256)
        came = place / "download"
        if not came.exists():
            fetch(http, remote, came, threads=threads, told=told)
        try:
            _place(came, ready)
        except DatasetError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        except OSError as error:
            raise DownloadError(f"The dataset cannot be written to {place}: {error.strerror or error}.") from error
        return ready


def _place(came: Path, ready: Path) -> None:
    """Put it where it is looked for, packed tars unpacked: any file in it is to be found at any time."""
    how = packing(came)
    if how is None:
        came.replace(ready)
        return
    unpacked = ready.with_name("unpacked")
    unpack(came, unpacked, how)
    unpacked.replace(ready)
    came.unlink()


def _made(folder: Path) -> None:
    """Only the user may look into it: what they may see on the server is not for all on this machine."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"The cache {folder} cannot be made: {error.strerror or error}.") from error


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Wait until no other process and no other thread is at it. The file is removed at the end."""
    _made(file.parent)
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(file, handle):
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)


def _is_still(file: Path, handle: int) -> bool:
    """Whether who had the lock before has not removed the file meanwhile."""
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
