"""Image rows: writing many at once, and asking which URLs are there already."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models.enums import ImageOutcome
from gleanset.types import Candidate, Downloaded, Failed, Outcome, Refused

_CANDIDATE_COLUMNS = (
    "original_url", "label", "source", "keyword", "page_url", "title", "creator", "creator_url",
    "licence", "licence_version", "licence_url", "attribution", "metadata_",
)  # fmt: skip
_OUTCOME_COLUMNS = ("outcome", "reason", "detail", "fetched_at")
_IMAGE_COLUMNS = (
    "storage_url", "filename", "final_url", "width", "height", "file_size", "format", "sha256", "pdq", "pdq_quality",
    "brightness", "contrast", "sharpness", "entropy", "orientation", "animated",
)  # fmt: skip
_COLUMNS = ", ".join(_CANDIDATE_COLUMNS + _OUTCOME_COLUMNS + _IMAGE_COLUMNS)

_INCOMING = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_images ON COMMIT DELETE ROWS AS
    SELECT 0 AS place, {_COLUMNS} FROM images WITH NO DATA
"""  # noqa: S608 - made of constants

# The job row is locked by the caller, so nobody else writes images of this job: the anti-join sees all there are, and
# counting the downloads before a row tells exactly whether it still belongs to the job.
_INSERT = f"""
    WITH fresh AS (
        SELECT DISTINCT ON (md5(original_url)) * FROM incoming_images AS new
        WHERE NOT EXISTS (
            SELECT FROM images AS old
            WHERE CAST(md5(old.original_url) AS uuid) = CAST(md5(new.original_url) AS uuid)
              AND old.crawl_job_id = %(job)s
        )
        ORDER BY md5(original_url), place
    ), counted AS (
        SELECT *, count(*) FILTER (WHERE outcome = 'downloaded') OVER before AS downloads_before FROM fresh
        WINDOW before AS (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), inserted AS (
        INSERT INTO images (crawl_job_id, {_COLUMNS})
        SELECT %(job)s, {_COLUMNS} FROM counted
        WHERE downloads_before < %(room)s
        ORDER BY place
        ON CONFLICT DO NOTHING
        RETURNING outcome, reason, file_size
    )
    SELECT outcome, reason, count(*), coalesce(sum(file_size), 0) FROM inserted GROUP BY outcome, reason
"""  # noqa: S608 - made of constants


@dataclass(slots=True)
class Recorded:
    """What became of a batch: rows written, downloads among them, their bytes, and the rest by reason."""

    total: int = 0
    downloaded: int = 0
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])


async def insert_outcomes(
    connection: AsyncConnection[Any],
    crawl_job_id: int,
    outcomes: Sequence[Outcome],
    storage_url: Callable[[str], str],
    room: int,
) -> Recorded:
    """Write image rows, at most `room` of them downloads, none for a URL that the job has already.

    The caller holds the lock of the job's row. `storage_url` turns a blob's key into its address.
    """
    recorded = Recorded()
    async with connection.cursor() as cursor:
        await cursor.execute(_INCOMING)
        async with cursor.copy(f"COPY incoming_images (place, {_COLUMNS}) FROM STDIN") as copy:
            for place, outcome in enumerate(outcomes):
                await copy.write_row((place, *_row(outcome, storage_url)))
        await cursor.execute(_INSERT.encode(), {"job": crawl_job_id, "room": room})
        for outcome, reason, count, size in await cursor.fetchall():
            recorded.total += count
            if outcome == ImageOutcome.DOWNLOADED:
                recorded.downloaded += count
                recorded.bytes += int(size)
            else:
                recorded.reasons[reason] = recorded.reasons.get(reason, 0) + count
    return recorded


async def known_urls(session: AsyncSession, crawl_job_id: int, candidates: Sequence[Candidate]) -> Collection[str]:
    """Which of the candidates' URLs the job has rows for."""
    by_hash = {_url_hash(candidate.url): candidate.url for candidate in candidates}
    found = await session.scalars(
        text(
            "SELECT CAST(md5(original_url) AS uuid) FROM images"
            " WHERE crawl_job_id = :job AND CAST(md5(original_url) AS uuid) = ANY(:hashes)"
        ),
        {"job": crawl_job_id, "hashes": list(by_hash)},
    )
    return {by_hash[found_hash] for found_hash in found}


def _url_hash(url: str) -> UUID:
    return UUID(bytes=hashlib.md5((_clean(url) or "").encode(), usedforsecurity=False).digest())


def _clean(value: str | None, limit: int | None = None) -> str | None:
    """Text that PostgreSQL takes: no NUL, no lone surrogates; hostile sources send both."""
    if value is None:
        return None
    if limit is not None:
        value = value[:limit]
    if value.isascii():
        return value.replace("\x00", "")
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _json(metadata: Mapping[str, Any]) -> str | None:
    return json.dumps(_plain(metadata), ensure_ascii=False, allow_nan=False) if metadata else None


def _plain(value: Any) -> Any:
    """The value as jsonb takes it: clean text, no NaN, and text for what JSON has no word for (dates of a table)."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_clean(str(key)): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        case list() | tuple():
            return [_plain(item) for item in cast("Sequence[Any]", value)]
        case _:
            return _clean(str(value))


def _row(outcome: Outcome, storage_url: Callable[[str], str]) -> tuple[Any, ...]:
    c = outcome.candidate
    licence = c.licence
    candidate = (
        _clean(c.url),
        _clean(c.label),
        c.source,
        _clean(c.keyword),
        _clean(c.page_url),
        _clean(c.title),
        _clean(c.creator),
        _clean(c.creator_url),
        _clean(licence.code, 50) if licence else None,
        _clean(licence.version, 20) if licence else None,
        _clean(licence.url) if licence else None,
        _clean(c.attribution),
        _json(c.metadata),
    )
    match outcome:
        case Downloaded(inspection=i, key=key):
            return (
                *candidate,
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
                i.orientation,
                i.animated,
            )
        case Refused() | Failed():
            kind = ImageOutcome.REFUSED if isinstance(outcome, Refused) else ImageOutcome.FAILED
            rest = (None,) * len(_IMAGE_COLUMNS)
            return (
                *candidate,
                kind.value,
                outcome.reason.value,
                _clean(outcome.detail, 500),
                outcome.fetched_at,
                *rest,
            )
