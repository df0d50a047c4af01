"""Image rows: writing many at once, and asking which URLs are there already."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.types.json import set_json_dumps
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models.enums import ImageChange, ImageOutcome
from backend.queue import psycopg_connection
from gleanset.types import Candidate, Downloaded, Failed, Outcome, Reason, Refused

# Each column with its type, which COPY in its binary form wants to know: half the work for both sides.
_CANDIDATE_COLUMNS = {
    "original_url": "text", "label": "text", "source": "varchar", "keyword": "text", "page_url": "text",
    "title": "text", "creator": "text", "creator_url": "text", "licence": "varchar", "licence_version": "varchar",
    "licence_url": "text", "attribution": "text", "metadata_": "jsonb",
}  # fmt: skip
_OUTCOME_COLUMNS = {
    "change": "varchar", "outcome": "varchar", "reason": "varchar", "detail": "text", "fetched_at": "timestamptz",
}  # fmt: skip
_IMAGE_COLUMNS = {
    "storage_url": "text", "filename": "varchar", "final_url": "text", "width": "int4", "height": "int4",
    "file_size": "int8", "format": "varchar", "sha256": "bytea", "pdq": "bytea", "pdq_quality": "int2",
    "brightness": "float4", "contrast": "float4", "sharpness": "float4", "entropy": "float4",
    "uniformity": "float4", "colour": "float4", "border": "float4", "orientation": "int2", "animated": "bool",
    "alpha": "bool", "resized_sha256": "bytea", "resized_width": "int4", "resized_height": "int4",
    "resized_size": "int8", "crc32": "int8", "etag": "text", "last_modified": "text",
}  # fmt: skip
_COLUMNS = {"crawl_job_id": "int4", **_CANDIDATE_COLUMNS, **_OUTCOME_COLUMNS, **_IMAGE_COLUMNS}

_COPY = f"COPY images ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()

_OPT_OUTS = {Reason.ROBOTS, Reason.OPT_OUT_HEADER, Reason.OPT_OUT_TDM, Reason.OPT_OUT_AIPREF}


@dataclass(slots=True)
class Recorded:
    """What became of a batch: rows written, downloads among them, their bytes, and the rest by reason.

    `duplicates`: downloads whose bytes the job has already. `changes`: rows by what a refresh found.
    """

    total: int = 0
    downloaded: int = 0
    duplicates: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    changes: Counter[str] = field(default_factory=Counter[str])


async def insert_outcomes(
    session: AsyncSession,
    crawl_job_id: int,
    outcomes: Sequence[Outcome],
    storage_url: Callable[[str], str],
    room: int | None,
    *,
    refresh: bool = False,
) -> Recorded:
    """Write image rows, at most `room` of them downloads of new bytes, none for a URL that the job has already.

    The caller holds the lock of the job's row, so nobody else writes images of this job meanwhile. `storage_url` turns
    a blob's key into its address. Rows of a `refresh` say what became of the image.
    """
    write = partial(_copy, crawl_job_id=crawl_job_id, storage_url=storage_url, refresh=refresh)
    connection = await psycopg_connection(session)
    fresh = list({_clean(outcome.candidate.url): outcome for outcome in reversed(outcomes)}.values())[::-1]
    stored = await _stored(connection, crawl_job_id, fresh)
    # Nearly always every URL is new: the pipeline has asked before it fetched. So the rows go straight into the table,
    # and only when the unique index objects is it worth asking which of them are there (docs/decisions/0005).
    try:
        async with connection.transaction():
            return await write(connection, _within(fresh, room, stored))
    except UniqueViolation:
        known = await known_urls(session, crawl_job_id, [outcome.candidate for outcome in fresh])
        fresh = [outcome for outcome in fresh if outcome.candidate.url not in known]
        return await write(connection, _within(fresh, room, stored))


async def _stored(connection: AsyncConnection[Any], crawl_job_id: int, outcomes: Sequence[Outcome]) -> set[bytes]:
    """Hashes of the outcomes that the job has downloads of."""
    hashes = {bytes.fromhex(outcome.inspection.sha256) for outcome in outcomes if isinstance(outcome, Downloaded)}
    if not hashes:
        return set()
    # One row a hash is enough: a server's "not available" picture may be there a hundred thousand times. But of a table
    # that was not analysed yet the planner believes that any scan meets such a row soon, and would read the whole job
    # for each hash. So it may not scan the table, nor, because of `|| ''`, the partial index of downloads.
    await connection.execute("SET LOCAL enable_seqscan = off")
    found = await connection.execute(
        "SELECT hash FROM unnest(%(hashes)b::bytea[]) AS hash, LATERAL ("  # %b: as text they take ten times as long
        "SELECT FROM images WHERE sha256 = hash AND crawl_job_id = %(job)s AND outcome || '' = 'downloaded'"
        " LIMIT 1) AS one",
        {"job": crawl_job_id, "hashes": list(hashes)},
    )
    return {row[0] for row in await found.fetchall()}


def _within(outcomes: list[Outcome], room: int | None, stored: set[bytes]) -> tuple[list[Outcome], int]:
    """The outcomes up to the download that fills the room, and how many downloads among them bring no new bytes.

    What was met behind it is not part of the job.
    """
    seen = set(stored)
    new = duplicates = 0
    for number, outcome in enumerate(outcomes):
        if new == room:
            return outcomes[:number], duplicates
        if isinstance(outcome, Downloaded):
            digest = bytes.fromhex(outcome.inspection.sha256)
            duplicates += digest in seen
            new += digest not in seen
            seen.add(digest)
    return outcomes, duplicates


async def _copy(
    connection: AsyncConnection[Any],
    within: tuple[list[Outcome], int],
    *,
    crawl_job_id: int,
    storage_url: Callable[[str], str],
    refresh: bool,
) -> Recorded:
    outcomes, duplicates = within
    recorded = Recorded(total=len(outcomes), duplicates=duplicates)
    async with connection.cursor() as cursor:
        set_json_dumps(bytes, cursor)  # `_json` has made them already
        async with cursor.copy(_COPY) as copy:
            copy.set_types(tuple(_COLUMNS.values()))
            for outcome in outcomes:
                change = _change(outcome) if refresh else None
                await copy.write_row((crawl_job_id, *_row(outcome, change, storage_url)))
                if change is not None:
                    recorded.changes[change.value] += 1
                if isinstance(outcome, Downloaded):
                    recorded.downloaded += 1
                    recorded.bytes += outcome.inspection.file_size
                else:
                    recorded.reasons[outcome.reason.value] += 1
    return recorded


def _change(outcome: Outcome) -> ImageChange | None:
    """What became of an image since the job that is refreshed; None when it was not had, then or now."""
    known = outcome.candidate.known
    if known is None:
        return ImageChange.NEW if isinstance(outcome, Downloaded) else None
    match outcome:
        case Downloaded(inspection=i):
            return ImageChange.UNCHANGED if i.sha256 == known.inspection.sha256 else ImageChange.CHANGED
        case Failed(reason=Reason.NOT_FOUND):
            return ImageChange.DEAD
        case Refused(reason=reason) if reason in _OPT_OUTS:
            return ImageChange.OPTED_OUT
        case _:
            return ImageChange.LOST


async def known_urls(session: AsyncSession, crawl_job_id: int, candidates: Sequence[Candidate]) -> Collection[str]:
    """Which of the candidates' URLs the job has rows for."""
    return await urls_among(session, candidates, "crawl_job_id = :job", {"job": crawl_job_id})


async def urls_among(
    session: AsyncSession, candidates: Sequence[Candidate], where: str, values: Mapping[str, Any]
) -> Collection[str]:
    """Which of the candidates' URLs have a row for which `where` holds: SQL with `values`, on columns of `images`."""
    by_hash = {_url_hash(candidate.url): candidate.url for candidate in candidates}
    found = await session.scalars(
        text(
            "SELECT CAST(md5(original_url) AS uuid) FROM images"  # noqa: S608 - `where` is written by us
            f" WHERE CAST(md5(original_url) AS uuid) = ANY(:hashes) AND {where}"
        ),
        {**values, "hashes": list(by_hash)},
    )
    return {by_hash[found_hash] for found_hash in found}


def _url_hash(url: str) -> UUID:
    return UUID(bytes=hashlib.md5((_clean(url) or "").encode(), usedforsecurity=False).digest())


def _is_plain(value: str) -> bool:
    return value.isascii() and "\x00" not in value


def _clean(value: str | None, limit: int | None = None) -> str | None:
    """Text that PostgreSQL takes: no NUL, no lone surrogates; hostile sources send both."""
    if value is None:
        return None
    if limit is not None:
        value = value[:limit]
    if _is_plain(value):
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _json(metadata: Mapping[str, Any]) -> bytes | None:
    """Metadata as jsonb takes it. Nearly all is JSON as it stands; what is not is cleaned value by value."""
    if not metadata:
        return None
    try:
        encoded = to_json(metadata, inf_nan_mode="null", fallback=str)
    except (TypeError, ValueError):  # lone surrogates, bytes that are no text
        return to_json(_plain(metadata))
    return to_json(_plain(metadata)) if b"\\u0000" in encoded else encoded


def _plain(value: Any) -> Any:
    """The value as jsonb takes it: clean text, no NaN, and text for what JSON has no word for (dates of a table)."""
    match value:
        case str():
            return _clean(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_plain(item) for item in cast("Sequence[Any]", value)]
        case Mapping():
            return {_clean(str(key)): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        case _:
            return _clean(str(value))


def _resized(outcome: Downloaded) -> tuple[Any, ...]:
    copy = outcome.resized
    return (bytes.fromhex(copy.sha256), copy.width, copy.height, copy.file_size) if copy else (None,) * 4


def _row(outcome: Outcome, change: ImageChange | None, storage_url: Callable[[str], str]) -> tuple[Any, ...]:
    c = outcome.candidate
    licence = c.licence
    texts = (
        c.url,
        c.label,
        c.source,
        c.keyword,
        c.page_url,
        c.title,
        c.creator,
        c.creator_url,
        licence and licence.code[:50],
        licence and licence.version and licence.version[:20],
        licence and licence.url,
        c.attribution,
    )
    if not _is_plain("".join(filter(None, texts))):
        texts = tuple(map(_clean, texts))
    candidate = (*texts, _json(c.metadata))
    match outcome:
        case Downloaded(inspection=i, key=key):
            return (
                *candidate,
                change and change.value,
                ImageOutcome.DOWNLOADED.value,
                None,
                None,
                outcome.fetched_at,
                storage_url(key),
                key.rpartition("/")[2],
                _clean(outcome.final_url),
                i.width,
                i.height,
                i.file_size,
                i.format,
                bytes.fromhex(i.sha256),
                i.pdq,
                i.pdq_quality,
                i.brightness,
                i.contrast,
                i.sharpness,
                i.entropy,
                i.uniformity,
                i.colour,
                i.border,
                i.orientation,
                i.animated,
                i.alpha,
                *_resized(outcome),
                outcome.crc32,
                outcome.etag,
                outcome.last_modified,
            )
        case Refused() | Failed():
            kind = ImageOutcome.REFUSED if isinstance(outcome, Refused) else ImageOutcome.FAILED
            rest = (None,) * len(_IMAGE_COLUMNS)
            return (
                *candidate,
                change and change.value,
                kind.value,
                outcome.reason.value,
                _clean(outcome.detail, 500),
                outcome.fetched_at,
                *rest,
            )
