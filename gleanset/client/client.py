"""The client: one object that knows a server, with a call for everything that can be done there."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import urllib3

from gleanset.client.cache import Cache
from gleanset.client.calls import Decisions, Images, Projects
from gleanset.client.dataset import Dataset
from gleanset.client.download import THREADS, Fetched
from gleanset.client.http import Http, Patience
from gleanset.client.jobs import CrawlJobs, ExportJobs, ValidationJobs
from gleanset.client.local import LocalServer
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
        """The images of an export: the one given, the one with this number, or the latest with images that
        `project/name` names.

        The file is fetched once, by several threads, and kept in the cache; what came of it before an interruption is
        not fetched again. `told` is given the bytes that are there, and of how many. Without `decode` images are the
        bytes of their files. Raises NotThere, DownloadError, DatasetError and what the server says no with.
        """
        export = self._named(which) if isinstance(which, str) else self.export_jobs.get(which)
        return Dataset.open(self._cache.get(self._http, export, threads=threads, told=told), decode=decode)

    def _named(self, name: str) -> ExportJob:
        """The latest export of this name in a project of that name that has a file with images in it. Project names may
        have slashes."""
        places = [place for place, letter in enumerate(name) if letter == "/"]
        if not places:
            raise ClientError(f"{name!r} is not the name of a dataset: give project/name, or the number of an export.")
        unmade = tables = 0
        for place in places:
            project_name, export_name = name[:place], name[place + 1 :]
            for project in self.projects.list(project_name):
                for export in self.export_jobs.list(project=project, name=export_name):
                    if export.name != export_name:
                        continue
                    if export.there and export.has_images:
                        return export
                    unmade += not export.there
                    tables += export.there
        why = f"of {unmade} exports of that name none has a file any more, or yet" if unmade else "there is none"
        if tables:
            why = f"{tables} exports of that name are csv or jsonl, which have no images" + (
                f"; {why}" if unmade else ""
            )
        raise NotThere(f"No export {name!r} can be loaded: {why}.", status=404)


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
