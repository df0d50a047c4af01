"""The client: one object that knows a server, with a call for everything that can be done there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import urllib3

from gleanset.client.cache import Cache, called
from gleanset.client.calls import Decisions, Images, Projects
from gleanset.client.coming import THREADS, Fetched
from gleanset.client.dataset import Dataset
from gleanset.client.held import Held
from gleanset.client.http import Http, Patience
from gleanset.client.jobs import CrawlJobs, ExportJobs, ValidationJobs
from gleanset.client.local import LocalServer
from gleanset.client.rows import Rows
from gleanset.client.values import ExportJob
from gleanset.errors import ClientError, NotThere


class Client:
    """Speaks to the server at `url` with an API key. Use it as a context manager, or close it.

    `pool` is for proxies and certificates of one's own: connections are taken from it. One client may be used by
    several threads.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        cache: Path | str | None = None,
        patience: Patience | None = None,
        pool: urllib3.PoolManager | None = None,
    ) -> None:
        self._http = Http(url, key, patience, pool)
        self._cache = Cache(cache)
        self._server: LocalServer | None = None
        self.projects = Projects(self._http)
        self.crawl_jobs = CrawlJobs(self._http)
        self.validation_jobs = ValidationJobs(self._http)
        self.export_jobs = ExportJobs(self._http)
        self.images = Images(self._http)
        self.decisions = Decisions(self._http)

    @classmethod
    def local(cls, folder: Path | str | None = None, *, workers: int = 1, cache: Path | str | None = None) -> Self:
        """A client of a Gleanset on this machine that is there for as long as the client is.

        `folder` is its data folder; the one that the command line uses when none is given. Without `workers` it looks
        and loads, and jobs wait. Raises Unreachable when it does not start.
        """
        server = LocalServer(folder, workers)
        try:
            client = cls(server.url, server.key, cache=cache)
        except BaseException:
            server.close()
            raise
        client._server = server
        return client

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._http.url

    def close(self) -> None:
        """Close the connections, and end the server when it is one of the client's own."""
        self._http.close()
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(
        self,
        which: str | int | ExportJob,
        *,
        decode: bool = True,
        threads: int = THREADS,
        told: Fetched | None = None,
    ) -> Dataset:
        """The images of an export: the one given, the one with this number, or the latest that is completed and has
        images of those that `project/name` names.

        The file is fetched once, by several threads, and kept in the cache; what came of it before an interruption is
        not fetched again. A zip is read while it comes. `told` is given the bytes that are there, and of how many.
        Without `decode` images are the bytes of their files. With a server of the client's own the export is read where
        it lies, as `Dataset.open` does.

        Raises NotThere, DownloadError, DatasetError and what the server says no with; ValueError for less than one
        thread.
        """
        if not isinstance(which, str):
            held = self._held(self.export_jobs.get(which), threads, told)
        else:
            exports = self._exports(which)
            export = _latest(which, exports)
            try:
                held = self._held(export, threads, told)
            except NotThere as error:
                raise _other(which, export, error, next((each for each in exports if _has(each)), None)) from error
        return Dataset(held, decode=decode)

    def _held(self, export: ExportJob, threads: int, told: Fetched | None) -> Held:
        if self._server is not None and export.status == "completed" and not export.taken_down_images:
            place = self._server.exports / f"export-{export.id}.{export.container}"
            if place.exists():
                return Held(Rows(self._cache.opened(place), called(export, place)))
        if export.container == "folder":
            raise NotThere(
                f"The export {export.id} is a folder on the machine that made it, not a file. Export again, as zip, or"
                " load it there, with Client.local().",
                status=410,
            )
        return self._cache.hold(self._http, export, threads=threads, told=told)

    def _exports(self, name: str) -> Iterator[ExportJob]:
        """The exports of this name in a project of that name, the newest first. Project names may have slashes."""
        places = [place for place, letter in enumerate(name) if letter == "/"]
        if not places:
            raise ClientError(f"{name!r} is not the name of a dataset: give project/name, or the number of an export.")
        for place in places:
            project_name, export_name = name[:place], name[place + 1 :]
            for project in self.projects.list(project_name):
                for export in self.export_jobs.list(project=project, name=export_name):
                    if export.name == export_name:
                        yield export


def _has(export: ExportJob) -> bool:
    """Whether it is what a name can mean."""
    return export.status == "completed" and export.has_images


def _latest(name: str, exports: Iterator[ExportJob]) -> ExportJob:
    """The first that is completed and has images."""
    tables, others = 0, list[ExportJob]()
    for export in exports:
        if _has(export):
            return export
        tables += not export.has_images
        others += [export] * export.has_images
    found = [
        *([f"{tables} exports of that name are csv or jsonl, which have no images"] if tables else []),
        *(
            [f"of {len(others)} none is completed, and the latest, {others[0].id}, is {others[0].status}"]
            if others
            else []
        ),
    ]
    raise NotThere(f"No export {name!r} can be loaded: {'; '.join(found) or 'there is none'}.", status=404)


def _other(name: str, export: ExportJob, why: NotThere, earlier: ExportJob | None) -> NotThere:
    """What it says of an export that a name means and that cannot be had: an earlier one is not what was asked for."""
    instead = f" An earlier one has the number {earlier.id}." if earlier is not None else ""
    return NotThere(
        f"The latest export {name!r} is number {export.id}. {why}{instead}",
        status=why.status,
        code=why.code,
        details=why.details,
        request_id=why.request_id,
    )


def load(
    which: str | int,
    url: str | None = None,
    key: str | None = None,
    *,
    folder: Path | str | None = None,
    cache: Path | str | None = None,
    decode: bool = True,
) -> Dataset:
    """Load an export from the server at `url`, or from the Gleanset on this machine when there is no `url`; see
    `Client.load` and `Client.local`."""
    opened = Client(url, key, cache=cache) if url else Client.local(folder, workers=0, cache=cache)
    with opened as client:
        return client.load(which, decode=decode)
