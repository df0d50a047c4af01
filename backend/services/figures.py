"""What an operator watches, from counters that are kept anyway."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_JOBS = text("""
    SELECT 'crawl', status, count(*) FROM crawl_jobs GROUP BY status
    UNION ALL SELECT 'validation', status, count(*) FROM validation_jobs GROUP BY status
    UNION ALL SELECT 'export', status, count(*) FROM export_jobs GROUP BY status
""")
_TASKS = text(
    "SELECT CAST(status AS text), count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing') GROUP BY status"
)
_WORKERS = text(
    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :dead_after)"
)
_IMAGES = text("""
    SELECT coalesce((SELECT sum(downloaded_images) FROM crawl_jobs), 0),
        coalesce((SELECT sum(bytes) FROM crawl_chunks), 0)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`jobs` by kind and status, `tasks` of the queue by status; no image is looked at for it."""

    jobs: dict[tuple[str, ...], int]
    tasks: dict[str, int]
    workers: int
    images: int
    bytes: int


async def figures(session: AsyncSession, *, dead_after: float) -> Figures:
    """The figures of this moment. `dead_after`: seconds without a sign of life of a worker."""
    jobs = {(str(kind), str(status)): int(count) for kind, status, count in await session.execute(_JOBS)}
    tasks = {str(status): int(count) for status, count in await session.execute(_TASKS)}
    workers = (await session.scalars(_WORKERS, {"dead_after": dead_after})).one()
    images, size = (await session.execute(_IMAGES)).one()
    waiting = {"todo": 0, "doing": 0} | tasks
    return Figures(jobs=dict(jobs), tasks=waiting, workers=workers, images=int(images), bytes=int(size))
