"""Takedowns: an image that nobody may have any more, in any project, and that is refused when it is met again.

Whoever takes down holds TURN alone, and whoever records a batch shares it, from before the lock of the job on: so no
batch that has asked before the takedown is committed after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Text, Uuid, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.errors import NotFound
from backend.models import ActivityLog, CrawlJob, Decision, ExportJob, Image, Takedown
from backend.models.enums import Choice, ImageOutcome, JobStatus
from backend.services.activity import note
from backend.services.decisions import valid_counts
from backend.services.erasing import TURN, blobs_of, erase_unused, in_use, known, take_turn
from backend.services.states import announce
from backend.services.uncounting import gone, uncount
from gleanset.store import EXTENSIONS, Store, blob_key
from gleanset.types import Candidate, Downloaded, Outcome, Reason, Refused

_HOLDING = (JobStatus.RUNNING.value, JobStatus.COMPLETED.value)
_CLEARED = (
    "filename", "storage_url", "width", "height", "file_size", "format", "sha256", "pdq", "pdq_quality", "brightness",
    "contrast", "sharpness", "entropy", "uniformity", "colour", "border", "orientation", "animated", "alpha", "etag",
    "last_modified",
    "resized_sha256", "resized_width", "resized_height", "resized_size", "crc32",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TakenDown:
    """`marked` are the exports that hold it. `keys` are blobs to erase when the transaction is committed; taking down
    again gives them again."""

    takedown: Takedown
    images: int
    marked: Sequence[ExportJob]
    keys: frozenset[str]

    @property
    def exports(self) -> int:
        return len(self.marked)


async def take_down(
    session: AsyncSession, *, url: str | None, sha256: bytes | None, why: str | None = None, user_id: UUID | None
) -> TakenDown:
    """Remove every image of this URL, or of these bytes (original or resized), and refuse them from now on."""
    await session.execute(select(func.pg_advisory_xact_lock(TURN)))
    hashes = await _hashes(session, url, sha256)
    made = await _remember(session, url, sha256, hashes, why, user_id)
    hashes = sorted({*hashes, *await _earlier(session, made, "sha256")})
    condition = Image.sha256.in_(hashes) & (Image.outcome == ImageOutcome.DOWNLOADED.value)
    having = select(Image.crawl_job_id).where(condition)
    locked = select(CrawlJob).where(CrawlJob.id.in_(having)).order_by(CrawlJob.id).with_for_update()
    jobs = (await session.scalars(locked.execution_options(populate_existing=True))).all()
    marked = await _mark_exports(session, condition)
    had = select(Image.resized_sha256).where(Image.sha256.in_(hashes), Image.resized_sha256.is_not(None))
    copies = {each for each in await session.scalars(had) if each} | await _earlier(session, made, "copies")
    images = await _clear(session, jobs, hashes, condition)
    for job in jobs:
        note(session, user_id, "crawl_job.image_taken_down", job, ("downloaded", "refused"), takedown_id=made.id)
    metadata = {"url": url, "sha256": _hex(hashes), "copies": _hex(copies), "images": images, "exports": len(marked)}
    note(session, user_id, "takedown.made", made, (None, "refused"), **metadata | ({"note": why} if why else {}))
    keys = {blob_key(each.hex(), name) for each in hashes for name in EXTENSIONS}
    keys |= {blob_key(each.hex(), "jpeg") for each in copies - await in_use(session, copies)}
    return TakenDown(made, images, marked, frozenset(keys))


async def withdraw(session: AsyncSession, takedown_id: int, *, user_id: UUID | None) -> None:
    """Refuse it no longer, nor the bytes that were taken down with an address. What was erased stays erased.

    Raises NotFound.
    """
    await session.execute(select(func.pg_advisory_xact_lock(TURN)))
    made = await session.get(Takedown, takedown_id)
    if made is None:
        raise NotFound(f"There is no takedown {takedown_id}.")
    gone = Takedown.id == made.id
    if made.url is not None:
        mine = await _hashes_named(session, Takedown.id == made.id)
        others = await _hashes_named(session, Takedown.id != made.id)
        gone |= Takedown.url.is_(None) & Takedown.sha256.in_(mine - others)
    hashes = await session.scalars(delete(Takedown).where(gone).returning(Takedown.sha256))
    told = {"url": made.url, "sha256": _hex(each for each in hashes if each)}
    note(session, user_id, "takedown.withdrawn", made, ("refused", None), **told)


async def _hashes_named(session: AsyncSession, takedowns: ColumnElement[bool]) -> set[bytes]:
    """The bytes that were refused by these, of those there are, as was noted then: each may have met others' hashes."""
    named = select(ActivityLog.metadata_["sha256"]).where(
        ActivityLog.resource_type == "takedowns",
        ActivityLog.action == "takedown.made",
        ActivityLog.resource_id.in_(select(cast(Takedown.id, Text)).where(takedowns)),
    )
    return {bytes.fromhex(each) for hashes in await session.scalars(named) for each in hashes or ()}


async def found(session: AsyncSession, *, url: str | None, sha256: bytes | None) -> Takedown:
    """The takedown of this address or these bytes. Raises NotFound."""
    mine = _md5(Takedown.url) == _md5(url) if url else Takedown.sha256 == sha256
    made = await session.scalar(select(Takedown).where(mine))
    if made is None:
        raise NotFound("This was not taken down.")
    return made


async def remove(
    database: Database,
    store: Store,
    *,
    url: str | None,
    sha256: bytes | None,
    why: str | None = None,
    user_id: UUID | None,
) -> TakenDown:
    """Take it down in a transaction of its own, and erase the files. Done again, it goes on where the store failed."""
    async with database.transaction() as session:
        done = await take_down(session, url=url, sha256=sha256, why=why, user_id=user_id)
    await erase_unused(database, store, done.keys)
    return done


async def refused_urls(session: AsyncSession, candidates: Sequence[Candidate]) -> Collection[str]:
    """Which of the candidates' URLs were taken down."""
    return await _urls(session, {candidate.url for candidate in candidates})


async def sift(session: AsyncSession, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], frozenset[str]]:
    """The outcomes with what was taken down refused, and the blobs that no image has, for `erasing.erase_unused` behind
    the commit.

    The first thing in a transaction that records.
    """
    await take_turn(session)
    had = [outcome for outcome in outcomes if isinstance(outcome, Downloaded)]
    hashes = {each for outcome in had for each in _hashes_of(outcome)}
    found: set[bytes | None] = set()
    if hashes:
        found.update(await known(session, "SELECT sha256 FROM takedowns WHERE sha256 = ANY(%b::bytea[])", hashes))
    urls = await _urls(session, {url for outcome in had for url in (outcome.candidate.url, outcome.final_url)})
    sifted: list[Outcome] = []
    unwanted: dict[bytes, str] = {}
    for outcome in outcomes:
        if isinstance(outcome, Downloaded) and (
            _hashes_of(outcome) & found or {outcome.candidate.url, outcome.final_url} & set(urls)
        ):
            unwanted |= blobs_of(outcome)
            sifted.append(refused(outcome.candidate, outcome.fetched_at))
        else:
            sifted.append(outcome)
    kept = {each for outcome in sifted if isinstance(outcome, Downloaded) for each in blobs_of(outcome)}
    erased = unwanted.keys() - kept
    return sifted, frozenset(unwanted[each] for each in erased - await in_use(session, erased))


async def _hashes(session: AsyncSession, url: str | None, sha256: bytes | None) -> list[bytes]:
    """Of the originals: those asked for or had from the URL, and those of which these are the resized copies."""
    found = {sha256} if sha256 else set[bytes]()
    if url:
        redirected = (_md5(Image.final_url) == _md5(url)) & (Image.final_url != Image.original_url)
        had = select(Image.sha256).where(or_(_md5(Image.original_url) == _md5(url), redirected))
        found |= {each for each in await session.scalars(had) if each}
    copies = select(Image.sha256).where(Image.resized_sha256.in_(found))
    return sorted(found | {each for each in await session.scalars(copies) if each})


async def _remember(
    session: AsyncSession,
    url: str | None,
    sha256: bytes | None,
    hashes: Sequence[bytes],
    why: str | None,
    user_id: UUID | None,
) -> Takedown:
    rows = [{"url": url, "sha256": None}] if url else []
    values = [row | {"note": why, "user_id": user_id} for row in (*rows, *({"url": None, "sha256": h} for h in hashes))]
    await session.execute(insert(Takedown).values(values).on_conflict_do_nothing())
    mine = _md5(Takedown.url) == _md5(url) if url else Takedown.sha256 == sha256
    return (await session.scalars(select(Takedown).where(mine))).one()


async def _earlier(session: AsyncSession, made: Takedown, name: str) -> set[bytes]:
    """Hashes that earlier takedowns of the same noted: their rows lead nowhere any more, their blobs may still lie."""
    noted = select(func.jsonb_array_elements_text(ActivityLog.metadata_[name])).where(
        ActivityLog.resource_type == Takedown.__tablename__,
        ActivityLog.resource_id == str(made.id),
        ActivityLog.action == "takedown.made",
    )
    return {bytes.fromhex(each) for each in await session.scalars(noted)}


async def _mark_exports(session: AsyncSession, condition: ColumnElement[bool]) -> Sequence[ExportJob]:
    """Count in each export that is made, or being made, the images that it may hold.

    All downloads of its job but those rejected before it began: decisions and verdicts of then may be forgotten.
    """
    decided = (Decision.project_id == CrawlJob.project_id) & (Decision.sha256 == Image.sha256)
    left_out = (Decision.choice == Choice.REJECT.value) & (Decision.decided_at < ExportJob.started_at)
    query = select(ExportJob.id, func.count()).join(CrawlJob, CrawlJob.id == ExportJob.crawl_job_id)
    query = query.join(Image, Image.crawl_job_id == CrawlJob.id).outerjoin(Decision, decided)
    labels = ExportJob.export_options["labels"]
    others = (func.jsonb_typeof(labels) == "array") & ~labels.has_key(Image.label)  # it asked for other labels only
    query = query.where(condition, ExportJob.status.in_(_HOLDING), ~func.coalesce(left_out | others, False))
    rows = (await session.execute(query.group_by(ExportJob.id))).all()
    for number, count in rows:
        counted = ExportJob.taken_down_images + count
        await session.execute(update(ExportJob).where(ExportJob.id == number).values(taken_down_images=counted))
    marked = select(ExportJob).where(ExportJob.id.in_([number for number, _ in rows])).order_by(ExportJob.id)
    return (await session.scalars(marked.execution_options(populate_existing=True))).all()


async def _clear(
    session: AsyncSession, jobs: Sequence[CrawlJob], hashes: Sequence[bytes], condition: ColumnElement[bool]
) -> int:
    """Rows stay as refused, without what leads to the bytes; the counts of their jobs follow."""
    valid = await valid_counts(session, jobs, hashes)
    await uncount(session, await gone(session, condition), Reason.TAKEN_DOWN.value)
    counted = select(Image.crawl_job_id, func.count(), func.count(Image.sha256.distinct())).where(condition)
    counts = {job: (n, kinds) for job, n, kinds in await session.execute(counted.group_by(Image.crawl_job_id))}
    cleared = {"outcome": ImageOutcome.REFUSED.value, "reason": Reason.TAKEN_DOWN.value} | dict.fromkeys(_CLEARED)
    await session.execute(update(Image).where(condition).values(cleared).execution_options(synchronize_session=False))
    for job in jobs:
        images, kinds = counts[job.id]
        job.downloaded_images = max(0, job.downloaded_images - images)
        job.duplicate_images = max(0, job.duplicate_images - (images - kinds))
        job.valid_images = max(0, job.valid_images - valid.get(job.id, 0))
        await announce(session, job.id)
    return sum(images for images, _ in counts.values())


async def _urls(session: AsyncSession, urls: Collection[str]) -> set[str]:
    if not urls:
        return set()
    by_hash = {
        UUID(bytes=hashlib.md5(url.encode("utf-8", "replace"), usedforsecurity=False).digest()): url for url in urls
    }
    asked = "SELECT md5(url)::uuid FROM takedowns WHERE url IS NOT NULL AND md5(url)::uuid = ANY(%b::uuid[])"
    found = await known(session, asked, by_hash)
    return {by_hash[each] for each in found}


def _md5(url: object) -> ColumnElement[UUID]:
    return cast(func.md5(url), Uuid)


def refused(candidate: Candidate, at: datetime) -> Refused:
    """What becomes of a candidate that was taken down."""
    return Refused(candidate=candidate, reason=Reason.TAKEN_DOWN, detail="", fetched_at=at)


def _hashes_of(outcome: Downloaded) -> set[bytes]:
    return {bytes.fromhex(each.sha256) for each in (outcome.inspection, outcome.resized) if each}


def _hex(hashes: Iterable[bytes]) -> list[str]:
    return sorted(each.hex() for each in hashes)
