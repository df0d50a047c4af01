"""One candidate the whole way: fetched, inspected, stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from gleanset.decoders import Decoders
from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch import Conditions, Fetcher, Response, validators
from gleanset.inspect import InspectLimits
from gleanset.keep import Keep
from gleanset.sources.licence import check_licence
from gleanset.store import Store, blob_key
from gleanset.types import Candidate, Downloaded, Failed, Known, Outcome, Refused

Fetch = Callable[[Candidate], Awaitable[Response]]
"""Gets a candidate's bytes, or raises OutcomeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherOptions:
    """What of a candidate is wanted.

    licences: codes of those to take, all when None. resize: a copy with this shorter side is stored, beside the
    original with keep_original, or else instead of it.
    """

    licences: Collection[str] | None = None
    resize: int | None = None
    keep_original: bool = False


class Gatherer:
    """Takes one candidate the whole way: fetch, inspect, store.

    A candidate that is known is only asked whether it has changed, and not inspected again when it has not.
    `decoders` inspect and, on a local disk, store what came; one a core is right. `fetch` takes the place of the
    fetcher for candidates whose bytes do not come over HTTP.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        store: Store,
        decoders: Decoders,
        limits: InspectLimits,
        options: GatherOptions | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._fetch = fetch
        self._store = store
        self._decoders = decoders
        self._limits = limits
        self._options = options or GatherOptions()

    async def gather(self, candidate: Candidate) -> Outcome:
        """The candidate's outcome. Raises StoreError only: a full disk concerns the run, not the image."""
        try:
            check_licence(candidate, self._options.licences)
            known = await self._at_hand(candidate.known)
            if self._fetch is None:
                response = await self._fetcher.get(candidate.url, known and _conditions(known))
            else:
                response = await self._fetch(candidate)
            etag, last_modified = validators(response.headers)
            if known is not None and response.status == 304:
                kept = None
                etag, last_modified = etag or known.etag, last_modified or known.last_modified
            else:
                kept = await self._decoders.run(self._keep(known), response.body)
            had = kept or known
            assert had is not None
        except FetchFailed as failure:
            return Failed(candidate=candidate, reason=failure.reason, detail=failure.detail, fetched_at=_now())
        except ImageRefused as refusal:
            return Refused(candidate=candidate, reason=refusal.reason, detail=refusal.detail, fetched_at=_now())
        for key, data in kept.files if kept is not None else ():
            await self._store.put(key, response.body if data is None else data)
        return Downloaded(
            candidate=candidate,
            inspection=had.inspection,
            key=had.key,
            crc32=had.crc32,
            resized=had.resized,
            final_url=response.url,
            etag=etag,
            last_modified=last_modified,
            fetched_at=_now(),
        )

    async def _at_hand(self, known: Known | None) -> Known | None:
        """What is known, if all its files are still in the store."""
        if known is None:
            return None
        keys = {known.key}
        if known.resized is not None:
            keys.add(blob_key(known.resized.sha256, "jpeg"))
        for key in keys:
            if await self._store.modified(key) is None:
                return None
        return known

    def _keep(self, known: Known | None) -> Keep:
        return Keep(
            folder=str(self._store.folder) if self._store.folder is not None else None,
            limits=self._limits,
            resize=self._options.resize,
            keep_original=self._options.keep_original,
            unless=known.inspection.sha256 if known is not None else None,
        )


def _conditions(known: Known) -> Conditions:
    return Conditions(url=known.final_url, etag=known.etag, last_modified=known.last_modified)


def _now() -> datetime:
    return datetime.now(UTC)
