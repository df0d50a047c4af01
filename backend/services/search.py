"""The images of a job by what is known of them, page by page, however many the job has.

A job's rows lie anywhere in the table, so every page walks an index that begins with the job and ends with the id.
Conditions that no index serves are tried on the next rows of that walk only, WINDOW at a time: a page may then have
fewer images than asked for, or none, and the place to go on from all the same. A search finds ids; what is shown of
them is asked for by them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg.errors import QueryCanceled
from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import ARRAY, UUID, aggregate_order_by, array
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import TookTooLong
from backend.models import CrawlJob, Decision, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.images import FILES, ImageFilter, ImageItem
from gleanset.sources.licence import UNKNOWN

WINDOW = 5_000
"""Rows that conditions without an index are tried on at once: 2 to 25 ms."""
FIRST_WINDOW = 1_000
"""Where most conditions have found a page: a window is counted off first, which takes as long as it is wide."""
_LONG_ENOUGH = 0.02
"""Seconds after which a page that is not full yet is handed out as it is."""

# Tables, not their classes: what a page needs is rows, and its statement is put together for every request.
images = Image.__table__
_verdicts, _judging, _decisions = Verdict.__table__, ValidationJob.__table__, Decision.__table__

# Literals, so that the planner sees that a partial index serves whatever else it knows or does not know.
DOWNLOADED: ColumnElement[bool] = literal_column("images.outcome = 'downloaded'")
_NOT_DOWNLOADED: ColumnElement[bool] = literal_column("images.outcome <> 'downloaded'")
_LABEL_HASH = cast_to(func.md5(images.c.label), UUID)


def _verdict(column: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Of the verdict by the validation asked for, or else by the latest."""
    latest = select(func.max(_judging.c.id)).where(
        _judging.c.crawl_job_id == bindparam("job"), _judging.c.status == literal(JobStatus.COMPLETED.value)
    )
    asked = func.coalesce(bindparam("judged", type_=Integer), latest.scalar_subquery())
    judged = select(_judging.c.id).where(_judging.c.crawl_job_id == bindparam("job"), _judging.c.id == asked)
    of_image = (_verdicts.c.image_id == images.c.id, _verdicts.c.validation_job_id == judged.scalar_subquery())
    return select(column).where(*of_image).correlate(images).scalar_subquery()


_VALID = _verdict(_verdicts.c.valid)
_REASONS = _verdict(_verdicts.c.reasons)
_CHOICE = (
    select(_decisions.c.choice)
    .where(_decisions.c.project_id == bindparam("project"), _decisions.c.sha256 == images.c.sha256)
    .correlate(images)
    .scalar_subquery()
)

_JOINED: dict[str, ColumnElement[Any]] = {"valid": _VALID, "verdict_reasons": _REASONS, "decision": _CHOICE}
"""Each a subquery of its own, never a join: a page asks for as many as it has images, by primary key."""


def _field(name: str) -> ColumnElement[Any]:
    """A field of ImageItem, so that the JSON which PostgreSQL writes reads like that which pydantic writes."""
    if name in _JOINED:
        return _JOINED[name].label(name)
    column = images.c[name]
    if name == "storage_url":
        served = func.concat(FILES, images.c.id, "/file")
        return case((DOWNLOADED, served)).label(name)
    if isinstance(column.type, LargeBinary):
        return func.encode(column, "hex").label(name)
    if isinstance(column.type, DateTime):
        return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"').label(name)
    return column


ITEM = select(*map(_field, ImageItem.model_fields))
"""Images with a verdict and the project's decision, as lists show them; its parameters come from `asking`."""


def as_json(page: Select[Any]) -> Select[str]:
    """Rows of ITEM as one JSON list in the order of their ids, or NULL for none.

    PostgreSQL writes it: a server would spend twice the time on a page to read fifty columns a row into Python, to
    check them and to write them out.
    """
    item = page.subquery("item")
    row: ColumnElement[Any] = literal_column("item")
    return select(cast_to(func.json_agg(aggregate_order_by(row, item.c.id)), Text)).select_from(item)


# Put together once: that takes longer than to ask.
_BY_IDS = as_json(ITEM.where(images.c.id == func.any(bindparam("ids", type_=ARRAY(BigInteger)))))
_ITEMS = TypeAdapter(list[ImageItem])


def asking(job: CrawlJob, validation_job_id: int | None = None) -> dict[str, Any]:
    """Parameters of what asks for verdicts and decisions: whose images, and whose verdicts."""
    return {"job": job.id, "project": job.project_id, "judged": validation_job_id}


@dataclass(frozen=True, slots=True)
class Walk:
    """The index that a page walks: by the job, what is `fixed` beside it, and the id."""

    job_id: int | BindParameter[int]
    fixed: tuple[ColumnElement[bool], ...]

    def rows(self, query: Select[Any], after: int | BindParameter[int]) -> Select[Any]:
        """In order, behind the id `after`."""
        return self._of_job(query).where(images.c.id > after).order_by(images.c.crawl_job_id, images.c.id)

    def back(self, query: Select[Any], before: int) -> Select[Any]:
        """In the opposite order, from before the id on."""
        backwards = (images.c.crawl_job_id.desc(), images.c.id.desc())
        return self._of_job(query).where(images.c.id < before).order_by(*backwards)

    def window(self, query: Select[Any], after: int, upto: int) -> Select[Any]:
        """Behind `after`, up to `upto` at most, which are known to be few."""
        few = (images.c.crawl_job_id == self.job_id, *self.fixed, images.c.id > after, images.c.id <= upto)
        return query.where(*few).order_by(images.c.id)

    def _of_job(self, query: Select[Any]) -> Select[Any]:
        """One of one job: else the planner knows that the order is that of the id alone, likes to walk the primary key,
        in the hope that the job's rows come soon, and reads those of all older jobs."""
        return query.where(
            images.c.crawl_job_id == func.any(cast_to(array([self.job_id]), ARRAY(Integer))), *self.fixed
        )


async def page_as_json(
    session: AsyncSession, job: CrawlJob, wanted: ImageFilter, after: int, limit: int
) -> tuple[str, int | None]:
    """Images behind the id `after`, oldest first, as a list of ImageItem in JSON, and the id to go on from; None when
    there are no more."""
    if conditions := _conditions(wanted):
        ids, more = await _tried(session, job, wanted, conditions, after, limit)
        return await json_of(session, job, ids, wanted.validation_job_id), more
    values = {**asking(job, wanted.validation_job_id), "label": wanted.label, "after": after, "most": limit}
    query = _walked(downloads=_downloads(wanted), labelled=wanted.label is not None)
    found = (await session.execute(query, values)).one()
    ids: Sequence[int] = found.ids or ()
    return found.items or "[]", ids[limit - 1] if len(ids) > limit else None


async def page(
    session: AsyncSession, job: CrawlJob, wanted: ImageFilter, after: int, limit: int
) -> tuple[list[ImageItem], int | None]:
    """The same for who wants more of the images than to hand them on."""
    items, more = await page_as_json(session, job, wanted, after, limit)
    return _ITEMS.validate_json(items), more


@cache
def _walked(*, downloads: bool, labelled: bool) -> Select[Sequence[int] | None, str | None]:
    """The next ids of a walk, one more than `most`, and the page of them. Put together once."""
    walk = _walk(bindparam("job"), bindparam("label") if labelled else None, downloads=downloads)
    behind = walk.rows(select(images.c.id), bindparam("after", type_=BigInteger))
    met = behind.limit(bindparam("most", type_=Integer) + 1).cte("met").prefix_with("MATERIALIZED")
    shown = select(met.c.id).order_by(met.c.id).limit(bindparam("most")).scalar_subquery()
    items = as_json(ITEM.where(images.c.id == func.any(func.array(shown))))
    ids = func.array_agg(aggregate_order_by(met.c.id, met.c.id))
    return select(ids.label("ids"), items.scalar_subquery().label("items"))


async def _tried(
    session: AsyncSession,
    job: CrawlJob,
    wanted: ImageFilter,
    conditions: Sequence[ColumnElement[bool]],
    after: int,
    limit: int,
) -> tuple[Sequence[int], int | None]:
    """The ids of images that meet the conditions, and the id to go on from."""
    walk = _walk(job.id, wanted.label, downloads=_downloads(wanted))
    ids = select(images.c.id)
    # The table of decisions is small at first, and would be read from end to end for every image.
    await session.execute(text("SET LOCAL enable_seqscan = off"))
    values = asking(job, wanted.validation_job_id)
    found: list[int] = []
    window, ends = FIRST_WINDOW, time.monotonic() + _LONG_ENOUGH
    while True:
        upto = await session.scalar(walk.rows(ids, after).offset(window - 1).limit(1))
        page = walk.window(ids, after, 2**63 - 1 if upto is None else upto).where(*conditions)
        found += await session.scalars(page.limit(limit + 1 - len(found)), values)
        if len(found) > limit:
            return found[:limit], found[limit - 1]
        if upto is None:
            return found, None
        if time.monotonic() > ends:
            return found, upto
        after, window = upto, WINDOW


async def json_of(
    session: AsyncSession, job: CrawlJob, ids: Sequence[int], validation_job_id: int | None = None
) -> str:
    """Images of the job, a list of ImageItem, in the order of their ids; without those that are gone meanwhile."""
    return await session.scalar(_BY_IDS, {**asking(job, validation_job_id), "ids": ids}) or "[]"


async def items_of(session: AsyncSession, job: CrawlJob, ids: Sequence[int]) -> list[ImageItem]:
    """The same, read."""
    return _ITEMS.validate_json(await json_of(session, job, ids))


async def beside(session: AsyncSession, image: Image) -> tuple[int | None, int | None]:
    """The images of its job before and after it, among downloads or among what was not had, as it is one of these."""
    walk = _walk(image.crawl_job_id, downloads=image.outcome == ImageOutcome.DOWNLOADED)
    ids = select(images.c.id)
    before = await session.scalar(walk.back(ids, image.id).limit(1))
    return before, await session.scalar(walk.rows(ids, image.id).limit(1))


def walk_of(job: CrawlJob) -> Walk:
    """Through a job's downloads."""
    return _walk(job.id)


def _walk(
    job_id: int | BindParameter[int], label: str | BindParameter[str] | None = None, *, downloads: bool = True
) -> Walk:
    """Through a job's downloads, those of one label, or all else that it has met."""
    if not downloads:
        return Walk(job_id, (_NOT_DOWNLOADED,))
    if label is None:
        return Walk(job_id, (DOWNLOADED,))
    return Walk(job_id, (DOWNLOADED, cast_to(func.md5(label), UUID) == _LABEL_HASH))


def _downloads(wanted: ImageFilter) -> bool:
    return wanted.outcome is ImageOutcome.DOWNLOADED or (wanted.outcome is None and wanted.reason is None)


def _conditions(wanted: ImageFilter) -> list[ColumnElement[bool]]:
    """What the walk does not see to."""
    image = images.c
    conditions: list[ColumnElement[bool]] = []
    if not _downloads(wanted):
        conditions += [image.outcome == wanted.outcome.value] if wanted.outcome else []
        conditions += [image.label == wanted.label] if wanted.label is not None else []
    if wanted.licence is not None:
        conditions.append(image.licence.is_(None) if wanted.licence == UNKNOWN else image.licence == wanted.licence)
    for name in ("reason", "source"):
        value = getattr(wanted, name)
        conditions += [image[name] == value] if value is not None else []
    for name in ("width", "height", "file_size"):
        least, most = getattr(wanted, f"min_{name}"), getattr(wanted, f"max_{name}")
        conditions += [image[name] >= least] if least is not None else []
        conditions += [image[name] <= most] if most is not None else []
    if wanted.text:
        # With plain letters only plain letters are to be found: bytes are compared, in less than half the time.
        collation = "C" if wanted.text.isascii() else "default"
        texts = (column.collate(collation) for column in (image.title, image.creator, image.original_url))
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in texts)))
    if wanted.valid is not None:
        conditions.append(_VALID.is_(wanted.valid))
    if wanted.verdict is not None:
        conditions.append(_REASONS.op("@>")(cast_to([wanted.verdict], ARRAY(Text))))
    if wanted.decision is not None:
        conditions.append(_CHOICE.in_([wanted.decision.value]))
    return conditions


@asynccontextmanager
async def bounded(session: AsyncSession, seconds: int) -> AsyncGenerator[None]:
    """Give up after so long. Raises TookTooLong."""
    await session.execute(text(f"SET LOCAL statement_timeout = {seconds * 1000}"))
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TookTooLong("The job is too large to work this out just now. Try again later.") from error
        raise
