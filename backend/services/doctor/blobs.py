"""Blobs without rows and rows without blobs.

The store's listing streams into a temporary table and PostgreSQL compares, so memory stays the same for any number of
blobs. The rows are those of a moment before the listing began: as a blob is written before its row, each of them must
find its blob in the listing, however busy the crawls are meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.services.doctor.findings import EXAMPLES, Connection, Finding, Section, Severity, query
from backend.services.erasing import ALONE, AT_ONCE, NOTE
from gleanset.store import EXTENSIONS, THUMBNAILS, Store, parse_key, parse_list_key

GRACE = timedelta(hours=1)
"""A younger blob may belong to a crawl that has not written its row yet."""

DELETE = "gleanset db doctor --delete-orphans"
MARK = "gleanset db doctor --fail-missing"
REASON = "blob_missing"

_FEW = 20
"""So many orphans may be most of a store that is nearly empty."""

_LISTED = "CREATE TEMPORARY TABLE listed_blobs (key text, sha256 bytea, extension text, modified timestamptz)"
# `%s`: the file extension of each format, as JSON.
_SAME = "image.sha256 = blob.sha256 AND CAST(%s AS jsonb) ->> image.format = blob.extension"
_COPY = "image.resized_sha256 = blob.sha256 AND blob.extension = 'jpg'"
_ORIGINAL_KEPT = "(resized_sha256 IS NULL OR filename IS DISTINCT FROM encode(resized_sha256, 'hex') || '.jpg')"
# A copy of a list stays as long as the job that was planned with it, which may be tried again.
_PLANNED_WITH = """blob.key LIKE 'lists/%%' AND EXISTS (SELECT FROM crawl_jobs WHERE
        options @> jsonb_build_object('lists', jsonb_build_array(jsonb_build_object('key', blob.key))))"""
_UNUSED = f"""
    NOT EXISTS (SELECT FROM images AS image WHERE outcome = 'downloaded' AND {_ORIGINAL_KEPT} AND {_SAME})
    AND NOT EXISTS (SELECT FROM images AS image WHERE outcome = 'downloaded' AND {_COPY})
    AND NOT ({_PLANNED_WITH})
"""  # noqa: S608 - made of constants
_ORPHANED = f"""
    CREATE TEMPORARY TABLE orphaned_blobs AS SELECT key, sha256, extension, modified FROM listed_blobs AS blob
    WHERE {_UNUSED}
"""  # noqa: S608 - made of constants
_MISSING = f"""
    CREATE TEMPORARY TABLE missing_blobs AS SELECT id, crawl_job_id FROM images AS image
    WHERE outcome = 'downloaded' AND (
        ({_ORIGINAL_KEPT} AND NOT EXISTS (SELECT FROM listed_blobs AS blob WHERE {_SAME}))
        OR (resized_sha256 IS NOT NULL AND NOT EXISTS (SELECT FROM listed_blobs AS blob WHERE {_COPY}))
    )
"""  # noqa: S608 - made of constants
_NEXT_ORPHANS = f"""
    SELECT key, sha256 FROM orphaned_blobs AS blob WHERE key > %s AND modified < %s
        AND {_UNUSED}
    ORDER BY key LIMIT {AT_ONCE}
"""  # noqa: S608 - made of constants
_STILL_ORPHANS = f"SELECT key FROM orphaned_blobs AS blob WHERE key = ANY(%s::text[]) AND {_UNUSED}"  # noqa: S608
_LOST_THUMBNAILS = """
    SELECT key FROM unnest(CAST(%s AS text[]), CAST(%s AS bytea[])) AS thumbnail (key, sha256)
    WHERE NOT EXISTS (SELECT FROM images WHERE images.sha256 = thumbnail.sha256 AND outcome = 'downloaded')
        AND NOT EXISTS (SELECT FROM images WHERE resized_sha256 = thumbnail.sha256 AND outcome = 'downloaded')
"""
_LOCK_JOBS = "SELECT FROM crawl_jobs WHERE id IN (SELECT crawl_job_id FROM missing_blobs) ORDER BY id FOR UPDATE"
_MARK_FAILED = """
    WITH failed AS (
        UPDATE images SET outcome = 'failed', reason = %s, detail = 'The file is gone from the image store.',
            storage_url = NULL
        FROM missing_blobs WHERE images.id = missing_blobs.id AND outcome = 'downloaded'
        RETURNING images.id, images.crawl_job_id
    ), judging AS (
        SELECT crawl_job_id, max(id) AS id FROM validation_jobs WHERE status = 'completed' GROUP BY crawl_job_id
    ), lost AS (
        SELECT failed.crawl_job_id, count(*) AS images, count(*) FILTER (WHERE verdicts.valid) AS valid FROM failed
        LEFT JOIN judging ON judging.crawl_job_id = failed.crawl_job_id
        LEFT JOIN verdicts ON verdicts.validation_job_id = judging.id AND verdicts.image_id = failed.id
        GROUP BY failed.crawl_job_id
    ), counted AS (
        UPDATE crawl_jobs SET downloaded_images = greatest(0, downloaded_images - lost.images),
            valid_images = greatest(0, valid_images - lost.valid), updated_at = now()
        FROM lost WHERE crawl_jobs.id = lost.crawl_job_id
    ), noted AS (
        INSERT INTO activity_logs (action, resource_type, resource_id, metadata_, owner_id)
        SELECT 'crawl_job.images_lost', 'crawl_jobs', lost.crawl_job_id, jsonb_build_object('from', 'downloaded',
            'to', 'failed', 'images', lost.images, 'by', 'command line'), projects.user_id FROM lost
        JOIN crawl_jobs ON crawl_jobs.id = lost.crawl_job_id JOIN projects ON projects.id = crawl_jobs.project_id
    )
    SELECT count(*) FROM failed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What the doctor may do about the store by itself."""

    delete_orphans: bool = False
    fail_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """What a sweep of the store found and did. `left_alone`: the orphans seemed too many to be any."""

    listed: int
    orphans: int
    left_alone: bool
    swept: int
    thumbnails: int


@dataclass(slots=True)
class _Listing:
    blobs: int = 0
    strangers: int = 0
    stranger_examples: tuple[str, ...] = ()


async def image_store(connection: Connection, place: str, mending: Mending, progress: Callable[[int], None]) -> Section:
    """Compare, and mend what was asked for. `progress` is told how many blobs are listed. Raises StoreError."""
    store = Store(place)
    before = datetime.now(UTC) - GRACE
    listing = await _compare(connection, store, progress)
    done: list[str] = []
    if mending.delete_orphans:
        done.append(f"deleted {await _delete_orphans(connection, store, before):,} blobs without rows")
    if mending.fail_missing:
        done.append(f"marked {await _mark_failed(connection):,} images without a blob as failed")
    found = [
        await _orphans(connection, listing, before, gone=mending.delete_orphans),
        await _missing(connection, store, gone=mending.fail_missing),
        _strangers(listing),
    ]
    note = f"{listing.blobs:,} blobs and their rows" if not done else ", ".join(done)
    return Section(title="Image store", findings=tuple(finding for finding in found if finding), note=note)


async def _compare(connection: Connection, store: Store, progress: Callable[[int], None]) -> _Listing:
    extensions = json.dumps(EXTENSIONS)
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.execute("SELECT FROM images LIMIT 1")  # from here on, the rows of this moment
        await connection.execute(_LISTED)
        listing = await _list(connection, store, progress)
        await connection.execute("ANALYZE listed_blobs")
        await connection.execute(_ORPHANED.encode(), [extensions])
        await connection.execute(_MISSING.encode(), [extensions])
        await connection.execute("CREATE INDEX ON orphaned_blobs (key)")  # the deletion pages through them
        await connection.execute("ANALYZE orphaned_blobs, missing_blobs")
    return listing


async def _list(connection: Connection, store: Store, progress: Callable[[int], None]) -> _Listing:
    listing = _Listing()
    async with (
        connection.cursor() as cursor,
        cursor.copy("COPY listed_blobs (key, sha256, extension, modified) FROM STDIN") as copy,
    ):
        async for blobs in store.blobs():
            for blob in blobs:
                if blob.key.startswith(THUMBNAILS):  # made again when they are gone; they go with their blob
                    continue
                parsed = parse_key(blob.key) or parse_list_key(blob.key)
                if parsed is None:
                    listing.strangers += 1
                    listing.stranger_examples = (*listing.stranger_examples, blob.key)[:EXAMPLES]
                    continue
                listing.blobs += 1
                await copy.write_row((blob.key, bytes.fromhex(parsed[0]), parsed[1], blob.modified))
            progress(listing.blobs)
    return listing


async def _delete_orphans(connection: Connection, store: Store, before: datetime) -> int:
    deleted, last = 0, ""
    extensions = json.dumps(EXTENSIONS)
    while page := await query(connection, _NEXT_ORPHANS, last, before, extensions):
        last = page[-1][0]
        # A crawl that met the same picture again has just written it anew, and its row is on the way.
        written = await asyncio.gather(*(store.modified(key) for key, _ in page))
        idle = {key: sha for (key, sha), last in zip(page, written, strict=True) if last and last < before}
        deleted += await _erase(connection, store, idle) if idle else 0
    return deleted


async def _erase(connection: Connection, store: Store, idle: Mapping[str, bytes]) -> int:
    """Those that have no row in the end; who is about to write one looks again (`services.erasing`)."""
    await query(connection, f"{NOTE} RETURNING 1", [*idle.values()])
    async with connection.transaction():
        await connection.execute(ALONE.encode())
        keys = [key for (key,) in await query(connection, _STILL_ORPHANS, [*idle], json.dumps(EXTENSIONS))]
        await store.erase(keys)
    return len(keys)


async def sweep_blobs(connection: Connection, store: Store, before: datetime, *, dry_run: bool) -> Orphans:
    """Delete orphans last written before that time, unless they are most of the store; and thumbnails of none."""
    listing = await _compare(connection, store, lambda _: None)
    rows = await query(connection, "SELECT count(*) FROM orphaned_blobs WHERE modified < %s", before)
    orphans = int(rows[0][0])
    left_alone = orphans > _FEW and 2 * orphans > listing.blobs
    swept = 0 if left_alone else orphans if dry_run else await _delete_orphans(connection, store, before)
    thumbnails = 0 if left_alone else await _sweep_thumbnails(connection, store, before, dry_run=dry_run)
    return Orphans(listed=listing.blobs, orphans=orphans, left_alone=left_alone, swept=swept, thumbnails=thumbnails)


async def _sweep_thumbnails(connection: Connection, store: Store, before: datetime, *, dry_run: bool) -> int:
    swept = 0
    async for listing in store.blobs(THUMBNAILS.rstrip("/")):
        found = {blob.key: parse_key(blob.key.removeprefix(THUMBNAILS)) for blob in listing if blob.modified < before}
        hashes = {key: bytes.fromhex(parsed[0]) for key, parsed in found.items() if parsed}
        lost = [key for (key,) in await query(connection, _LOST_THUMBNAILS, [*hashes], [*hashes.values()])]
        if lost and not dry_run:
            await store.delete(lost)
        swept += len(lost)
    return swept


async def _mark_failed(connection: Connection) -> int:
    async with connection.transaction():
        await connection.execute(_LOCK_JOBS)  # jobs before images, as everywhere
        return int((await query(connection, _MARK_FAILED, REASON))[0][0])


async def _orphans(connection: Connection, listing: _Listing, before: datetime, *, gone: bool) -> Finding | None:
    rows = await query(connection, "SELECT count(*) FROM orphaned_blobs WHERE modified < %s", before)
    count = int(rows[0][0])
    if gone or not count:
        return None
    sql = f"SELECT key FROM orphaned_blobs WHERE modified < %s ORDER BY key LIMIT {EXAMPLES}"  # noqa: S608
    what = f"{count:,} blobs belong to no image or job of this database."
    if count == listing.blobs:
        what += " That is every blob: delete them only when this is the database that the store belongs to."
    return Finding(
        code="blob_without_row",
        what=what,
        count=count,
        examples=tuple(row[0] for row in await query(connection, sql, before)),
        command=DELETE,
    )


async def _missing(connection: Connection, store: Store, *, gone: bool) -> Finding | None:
    count = int((await query(connection, "SELECT count(*) FROM missing_blobs"))[0][0])
    if gone or not count:
        return None
    # The ids first: with the join below the LIMIT, PostgreSQL hopes to meet them early and may read on for minutes.
    sql = f"""
        SELECT id, original_url FROM images JOIN (SELECT id FROM missing_blobs ORDER BY id LIMIT {EXAMPLES}) AS few
        USING (id) ORDER BY id
    """  # noqa: S608 - made of constants
    what = (
        f"{count:,} images have lost their blob in {store.base}. Bring the files back if they were moved; otherwise"
        " the command marks these images as failed, so that exports pass over them."
    )
    return Finding(
        code="row_without_blob",
        what=what,
        count=count,
        examples=tuple(f"image {image} ({url[:100]})" for image, url in await query(connection, sql)),
        command=MARK,
    )


def _strangers(listing: _Listing) -> Finding | None:
    if not listing.strangers:
        return None
    return Finding(
        code="stranger_in_store",
        what=f"{listing.strangers:,} files in the store are not Gleanset's; they are left alone.",
        count=listing.strangers,
        examples=listing.stranger_examples,
        command=None,
        severity=Severity.ADVICE,
    )
