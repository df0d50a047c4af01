"""One candidate the whole way: fetched, inspected, stored."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch import Conditions, Fetcher, Response, validators
from gleanset.inspect import InspectLimits, inspect, inspect_and_resize
from gleanset.sources.licence import check_licence
from gleanset.store import Store, blob_key
from gleanset.threads import Threads
from gleanset.types import Candidate, Downloaded, Failed, Inspection, Known, Outcome, Refused, ResizedFile

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


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of an image: its `files` by key, the one that stands for it first; none that are stored already."""

    inspection: Inspection
    key: str
    resized: ResizedFile | None
    files: Sequence[tuple[str, bytes]] = ()


class Gatherer:
    """Takes one candidate the whole way: fetch, inspect, store.

    A candidate that is known is only asked whether it has changed, and not inspected again when it has not.
    `threads` runs the decoding, which releases the GIL; one a core is right. `fetch` takes the place of the fetcher for
    candidates whose bytes do not come over HTTP.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        store: Store,
        threads: Threads,
        limits: InspectLimits,
        options: GatherOptions | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._fetch = fetch
        self._store = store
        self._threads = threads
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
                kept = _Kept(known.inspection, known.key, known.resized)
                etag, last_modified = etag or known.etag, last_modified or known.last_modified
            else:
                kept = await self._threads.run(partial(self._keep, known), response.body)
        except FetchFailed as failure:
            return Failed(candidate=candidate, reason=failure.reason, detail=failure.detail, fetched_at=_now())
        except ImageRefused as refusal:
            return Refused(candidate=candidate, reason=refusal.reason, detail=refusal.detail, fetched_at=_now())
        if not self._store.is_local:
            for key, data in kept.files:
                await self._store.put(key, data)
        return Downloaded(
            candidate=candidate,
            inspection=kept.inspection,
            key=kept.key,
            resized=kept.resized,
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

    def _keep(self, known: Known | None, body: bytes) -> _Kept:
        """In a thread: inspect bytes that are not the known ones and, on a local disk, store them while at hand."""
        if known is not None and hashlib.sha256(body).hexdigest() == known.inspection.sha256:
            return _Kept(known.inspection, known.key, known.resized)
        files: list[tuple[str, bytes]] = []
        resized = None
        if self._options.resize is None:
            inspection = inspect(body, self._limits)
        else:
            inspection, copy = inspect_and_resize(body, self._limits, self._options.resize)
            files.append((blob_key(copy.sha256, "jpeg"), copy.data))
            resized = ResizedFile(width=copy.width, height=copy.height, file_size=len(copy.data), sha256=copy.sha256)
        if resized is None or self._options.keep_original:
            files.insert(0, (blob_key(inspection.sha256, inspection.format), body))
        if self._store.is_local:
            for key, data in files:
                self._store.put_now(key, data)
        return _Kept(inspection, files[0][0], resized, files)


def _conditions(known: Known) -> Conditions:
    return Conditions(url=known.final_url, etag=known.etag, last_modified=known.last_modified)


def _now() -> datetime:
    return datetime.now(UTC)
