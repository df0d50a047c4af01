"""What the filters of a gallery offer: what the job has, as far as that is known without going through its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlChunk, CrawlJob, ValidationJob
from backend.models.enums import JobStatus
from backend.services import crawl_jobs
from backend.services.search import images, walk_of
from backend.web.filters import number, words
from gleanset.rules import CODES, EXACT_DUPLICATE
from gleanset.sources.licence import OPENNESS, UNKNOWN

_CHOICES = 200
_LOOKED_AT = 2_000
"""Images whose licences and labels are looked at, in 1 to 5 ms; of a job with more any licence can be asked for."""

Choices = Sequence[tuple[str, str]]
"""Values, and what they are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    labels: Choices
    sources: Choices
    licences: Choices
    reasons: Choices
    verdicts: Choices


async def narrowing(session: AsyncSession, job: CrawlJob, asked: Mapping[str, str]) -> Narrowing:
    """What is asked for now is among the choices, whether the job has it or not."""
    first = await _first(session, job)
    every = sum(n for *_, n in first) < _LOOKED_AT
    counted: dict[str, int] = {}
    for code, _, n in first:
        counted[code or UNKNOWN] = counted.get(code or UNKNOWN, 0) + n
    more = {code: None for code in (*OPENNESS, UNKNOWN) if not every and code not in counted}
    failures = await crawl_jobs.failures(session, job.id)
    latest = await session.scalar(
        select(ValidationJob.validation_rules)
        .filter_by(crawl_job_id=job.id, status=JobStatus.COMPLETED.value)
        .order_by(ValidationJob.id.desc())
        .limit(1)
    )
    return Narrowing(
        labels=_named(
            asked.get("label"),
            _same([*await _words(session, job.id, CrawlChunk.label), *(word for _, word, _ in first)]),
        ),
        sources=_named(asked.get("source"), _same(await _words(session, job.id, CrawlChunk.source))),
        licences=_named(
            asked.get("licence"),
            {code: _counted(code, n if every else None) for code, n in {**counted, **more}.items()},
        ),
        reasons=_named(asked.get("reason"), {code: _counted(words(code), n) for code, n in failures.items()}),
        verdicts=_named(asked.get("verdict"), {code: words(code) for code in codes_of(latest)}),
    )


def codes_of(rules: Mapping[str, Any] | None) -> list[str]:
    """The reasons that a validation by these rules may give; none without one."""
    if rules is None:
        return []
    exact = () if rules.get("keep_duplicates") else (EXACT_DUPLICATE,)
    told = (code for name in rules if name != "keep_duplicates" for code in CODES.get(name, ()))
    return list(dict.fromkeys((*exact, *told)))


async def _first(session: AsyncSession, job: CrawlJob) -> Sequence[tuple[str | None, str | None, int]]:
    """Licences and labels of the first images, and how many of these have both; the most frequent before others."""
    both = select(images.c.licence).add_columns(images.c.label)
    first = walk_of(job).rows(both, 0).limit(_LOOKED_AT).subquery()
    counted = select(first.c.licence, first.c.label, func.count()).group_by(first.c.licence, first.c.label)
    rows = await session.execute(counted.order_by(func.count().desc(), first.c.licence, first.c.label))
    return [(licence, label, n) for licence, label, n in rows]


def _same(found: Iterable[str | None]) -> dict[str, str]:
    """Words by themselves, in alphabetical order."""
    return {word: word for word in sorted({word for word in found if word})[:_CHOICES]}


async def _words(session: AsyncSession, job_id: int, column: Any) -> Iterable[str | None]:
    query = select(column).where(CrawlChunk.crawl_job_id == job_id).distinct().order_by(column).limit(_CHOICES)
    return (await session.scalars(query)).all()


def _named(asked: str | None, told: Mapping[str, str]) -> Choices:
    return list({**told, **({asked: words(asked)} if asked and asked not in told else {})}.items())


def _counted(name: str, images: int | None) -> str:
    return name if images is None else f"{name} ({number(images)})"
