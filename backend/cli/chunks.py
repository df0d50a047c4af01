"""`gleanset jobs chunks`: the parts of a job, and which of them fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import in_transaction
from backend.cli.listing import JsonList, as_api, print_list
from backend.models import CrawlChunk, CrawlJob
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import ChunkResponse
from backend.services.access import alive

MOST = 1000


def chunks(
    job: Annotated[int, typer.Argument(help="Number of the crawl job.")],
    *,
    status: Annotated[JobStatus | None, typer.Option(help="Only those in this state, such as failed.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many, the first first.")] = MOST,
    json: JsonList = False,
) -> None:
    """The parts that a job is cut into, in their order: what each asks of which source, how far it is, and its error.

    A part is one keyword of one source, one slice of a list, one website, or one folder. What failed, and why: gleanset
    jobs chunks 1 --status failed
    """

    async def read(session: AsyncSession) -> list[ChunkResponse]:
        await alive(session, CrawlJob, job)
        query = select(CrawlChunk).where(CrawlChunk.crawl_job_id == job).order_by(CrawlChunk.position).limit(limit)
        if status is not None:
            query = query.where(CrawlChunk.status == status.value)
        return [ChunkResponse.model_validate(each) for each in await session.scalars(query)]

    that = "" if status is None else f" that is {status.value}"
    nothing = f"Job {job} has no part{that}. The parts are made when a job is started."
    print_list(in_transaction(read), _table, nothing, as_api if json else None)


def _table(found: Sequence[ChunkResponse]) -> Table:
    columns = ("chunk", "source", "label", "keyword", "status", "met", "gathered", "error")
    table = Table(*columns, box=None, pad_edge=False)
    for each in found:
        counts = (f"{each.total_images:,}", f"{each.downloaded_images:,}")
        texts = (Text(each.label), Text(each.keyword or ""), each.status.value)
        table.add_row(str(each.position + 1), each.source, *texts, *counts, Text(each.error_message or ""))
    return table
