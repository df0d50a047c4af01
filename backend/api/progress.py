"""Where a run stands, once or as it goes on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header

from backend.http.access import Reader
from backend.http.events import EventStream
from backend.http.paging import Id
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob
from backend.schemas.progress import RunProgress
from backend.services.access import seen
from backend.services.progress import progress
from backend.services.reports import read_report

router = APIRouter(prefix="/crawl-jobs", tags=["crawl jobs"])


@router.get("/{crawl_job_id}/progress")
async def show_progress(session: Session, actor: Reader, crawl_job_id: Id) -> RunProgress:
    """The crawl with its latest validation and export."""
    await seen(session, actor, CrawlJob, crawl_job_id)
    return await progress(session, await read_report(session, crawl_job_id))


@router.get(
    "/{crawl_job_id}/events",
    status_code=200,  # which FastAPI cannot learn from this class when it describes the route
    response_class=EventStream,
    responses={204: {"description": "The job is settled, and `Last-Event-ID` is the event that said so."}},
)
async def follow_progress(
    service: CurrentService,
    session: Session,
    actor: Reader,
    crawl_job_id: Id,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> EventStream:
    """Server-sent events named `progress`: the state at once, and again whenever it changes, until it is settled.

    The data is what `progress` gives. A browser that lost its connection sends `Last-Event-ID` by itself, and gets
    nothing twice. Every 15 seconds a comment shows that the connection is alive.
    """
    await seen(session, actor, CrawlJob, crawl_job_id)
    return EventStream(service.events, crawl_job_id, last_event_id)
