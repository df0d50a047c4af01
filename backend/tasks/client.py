"""How the network is reached: one HTTP client with the sources that use it, and the book of hosts that all share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from backend.config import Settings
from backend.db import Database
from backend.services import hosts
from gleanset.book import Exchanged, HostState
from gleanset.fetch import Fetcher
from gleanset.sources import Source, open_source


class Client:
    """How one kind of job reaches the network: its settings, HTTP client, and sources, which know their limits."""

    def __init__(self, settings: Settings, fetcher: Fetcher) -> None:
        self._settings = settings
        self.fetcher = fetcher
        self._sources: dict[str, Source] = {}

    def source(self, name: str) -> Source:
        """The source, one for all chunks: it knows how much its service lets us ask."""
        if name not in self._sources:
            self._sources[name] = open_source(name, self.fetcher, self._settings.sources)
        return self._sources[name]


class SharedBook:
    """The book of hosts that all workers on one database share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(
        self, holder: str, asked: Mapping[str, int], put: Sequence[HostState], given_back: Collection[str]
    ) -> Exchanged:
        async with self._database.transaction() as session:
            return await hosts.exchange(session, holder, asked, put, given_back)
