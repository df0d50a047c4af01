"""Where a run stands, once or as it goes on."""

from __future__ import annotations

from fastapi import APIRouter

from backend.http.access import Reader
from backend.http.service import Session
from backend.models import CrawlJob
from backend.schemas.progress import RunProgress
from backend.services.access import seen
from backend.services.progress import progress
from backend.services.reports import read_report

router = APIRouter(prefix="/crawl-jobs", tags=["crawl jobs"])


@router.get("/{crawl_job_id}/progress")
async def show_progress(session: Session, actor: Reader, crawl_job_id: int) -> RunProgress:
    """The crawl with its latest validation and export."""
    await seen(session, actor, CrawlJob, crawl_job_id)
    return await progress(session, await read_report(session, crawl_job_id))
