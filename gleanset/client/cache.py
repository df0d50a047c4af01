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
from gleanset.client.coming import THREADS, Coming, Fetched
from gleanset.client.download import Remote, fetch
from gleanset.client.held import Held
from gleanset.client.http import Http
from gleanset.client.rows import Rows
from gleanset.client.values import ExportJob
from gleanset.errors import ClientError, DatasetError, DownloadError, NotThere
from gleanset.export.verify import is_export


class Cache:
    """The folder is made when it is missing; without one it is where this system keeps what can be had again."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = (Path(folder).expanduser() if folder else user_cache_path("gleanset")) / "exports"

    def hold(self, http: Http, export: ExportJob, *, threads: int = THREADS, told: Fetched | None = None) -> Held:
        """The export's rows, fetched when it is not there yet: to be read while it comes where its layout allows that.
        A copy that is here and damaged is fetched again, once.

        Raises NotThere when images in it were taken down, also for a copy that is here, which is removed then.
        """
        if export.sha256 is None or export.file_size is None:
            raise NotThere(f"The export {export.id} is {export.status}; it has no file.", status=409)
        place = self.folder / export.sha256 / "dataset"
        name = called(export, place)

        def come(*, anew: bool = False) -> Coming:
            return Coming(place, lambda coming: self._bring(http, export, coming, anew=anew), threads, told)

        def again(damage: DatasetError) -> Rows:
            more = come(anew=True)
            try:
                return Rows(more.whole(), name)
            except DatasetError:
                raise
            except ClientError as error:
                raise DatasetError(f"{damage} It cannot be fetched again: {error}") from error
            finally:
                more.close(at_once=True)

        coming = come()
        try:
            if not export.is_read_while_it_comes:
                coming.whole()
            try:
                rows = Rows(place, name, coming)
            except DatasetError as damage:
                rows = Rows(coming.whole(), name) if coming.was_fetched else again(damage)
        except BaseException:
            coming.close(at_once=True)
            raise
        return Held(rows, (lambda _: Rows(coming.whole(), name)) if coming.was_fetched else again, coming)

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

    def _bring(self, http: Http, export: ExportJob, coming: Coming, *, anew: bool) -> None:
        """Of two processes that want it, one fetches. `anew`: when the one that is here is not sound."""
        assert export.sha256 is not None
        assert export.file_size is not None
        place = coming.place.parent
        with _locked(Path(f"{place}.lock")):
            if export.taken_down_images:
                shutil.rmtree(place, ignore_errors=True)
                what = f"{export.taken_down_images} of the images in export {export.id} were taken down"
                raise NotThere(f"{what}. Make a new export.", status=410)
            if coming.place.exists() and not (anew and not is_export(str(coming.place), export.sha256)):
                return
            _made(place)
            remote = Remote(f"/export-jobs/{export.id}/download", export.file_size, export.sha256)
            came = place / "download"
            if not came.exists():
                fetch(http, remote, came, coming)
            try:
                _place(came, coming.place)
            except DatasetError:
                shutil.rmtree(place, ignore_errors=True)
                raise
            except OSError as error:
                raise DownloadError(f"The dataset cannot be written to {place}: {error.strerror or error}.") from error


def called(export: ExportJob, place: Path) -> str:
    """What an export that lies there is called in errors."""
    return f"{export.name} (export {export.id}, {place})"


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
                    fcntl.flock(handle, fcntl.LOCK_UN)  # also for processes that were forked off meanwhile
                return
        finally:
            os.close(handle)


def _is_still(file: Path, handle: int) -> bool:
    """Whether who had the lock before has not removed the file meanwhile."""
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
