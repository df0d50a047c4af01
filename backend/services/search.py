"""The images of a job by what is known of them, page by page, however many the job has.

A job's rows lie anywhere in the table, so every page walks an index that begins with the job and ends with the id.
Conditions that no index serves are tried on the next rows of that walk only, WINDOW at a time: a page may then have
fewer images than asked for, or none, and the place to go on from all the same.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import QueryCanceled
from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Row,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import TookTooLong
from backend.models import CrawlJob, Decision, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.images import ImageFilter, ImageItem
from gleanset.sources.licence import UNKNOWN

WINDOW = 20_000
"""Rows that conditions without an index are tried on at once: 10 to 90 ms."""
_LONG_ENOUGH = 0.1
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

FOUND = select(*images.c, _VALID.label("valid"), _REASONS.label("verdict_reasons"), _CHOICE.label("decision"))
"""Images with a verdict and the project's decision; its parameters come from `asking`.

Each a subquery of its own, never a join: a page asks for as many as it has images, by primary key.
"""

Found = Row[Any]
"""A row of FOUND."""
_NAMES = tuple(FOUND.selected_columns.keys())
_ITEMS = TypeAdapter(list[ImageItem])


def asking(job: CrawlJob, validation_job_id: int | None = None) -> dict[str, Any]:
    """Parameters of FOUND: whose images, and whose verdicts."""
    return {"job": job.id, "project": job.project_id, "judged": validation_job_id}


@dataclass(frozen=True, slots=True)
class Walk:
    """The index that a page walks: by the job, what is `fixed` beside it, and the id."""

    job_id: int
    fixed: tuple[ColumnElement[bool], ...]

    def rows(self, query: Select[Any], after: int) -> Select[Any]:
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
        return query.where(images.c.crawl_job_id == func.any(cast_to([self.job_id], ARRAY(Integer))), *self.fixed)


_PAGE = (
    FOUND.where(
        images.c.crawl_job_id == func.any(bindparam("walked", type_=ARRAY(Integer))),
        DOWNLOADED,
        images.c.id > bindparam("after", type_=BigInteger),
    )
    .order_by(images.c.crawl_job_id, images.c.id)
    .limit(bindparam("most", type_=Integer))
)
"""`Walk.rows` through a job's downloads, put together once: that takes as long as to ask."""


async def search(
    session: AsyncSession, job: CrawlJob, wanted: ImageFilter, after: int, limit: int
) -> tuple[Sequence[Found], int | None]:
    """Images behind the id `after`, oldest first, and the id to go on from; None when there are no more."""
    walk = walk_of(job, wanted.label) if _downloads(wanted) else Walk(job.id, (_NOT_DOWNLOADED,))
    values = asking(job, wanted.validation_job_id)
    conditions = _conditions(wanted)
    if not conditions:
        if _downloads(wanted) and wanted.label is None:  # what everybody begins with
            page, values = _PAGE, values | {"walked": [job.id], "after": after, "most": limit + 1}
        else:
            page = walk.rows(FOUND, after).limit(limit + 1)
        rows = (await session.execute(page, values)).all()
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
    # The table of decisions is small at first, and would be read from end to end for every image.
    await session.execute(text("SET LOCAL enable_seqscan = off"))
    found: list[Found] = []
    ends = time.monotonic() + _LONG_ENOUGH
    while True:
        upto = await session.scalar(walk.rows(select(images.c.id), after).offset(WINDOW - 1).limit(1))
        page = walk.window(FOUND, after, 2**63 - 1 if upto is None else upto).where(*conditions)
        found += (await session.execute(page.limit(limit + 1 - len(found)), values)).all()
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        if upto is None:
            return found, None
        if time.monotonic() > ends:
            return found, upto
        after = upto


def items_of(found: Sequence[Found]) -> list[ImageItem]:
    """As lists show them. By names at once: asked for one by one, a row's attributes take four times as long."""
    return _ITEMS.validate_python([dict(zip(_NAMES, row, strict=True)) for row in found])


def walk_of(job: CrawlJob, label: str | None = None) -> Walk:
    """Through a job's downloads, or those of one label."""
    if label is None:
        return Walk(job.id, (DOWNLOADED,))
    return Walk(job.id, (DOWNLOADED, cast_to(func.md5(label), UUID) == _LABEL_HASH))


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
        texts = (image.title, image.creator, image.original_url)
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
