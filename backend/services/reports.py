"""Where a run stands: a crawl job with the validation and the export that belong to it, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotFound
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import chunks, crawl_jobs, validation

ENDED = (JobStatus.COMPLETED.value, JobStatus.FAILED.value, JobStatus.CANCELLED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot of a run; the latest validation and export of the crawl job are the ones that count.

    waiting: what parts of the crawl wait for, if any does.
    asked: for whoever asked for these, so that the status tells how they ended, planned or not.
    """

    crawl: CrawlJob
    validation: ValidationJob | None
    export: ExportJob | None
    plan: CrawlPlan
    failures: dict[str, int]
    changes: dict[str, int]
    invalid: dict[str, int]
    bytes: int
    at: datetime
    waiting: str | None = None
    asked: bool = False

    @property
    def run(self) -> tuple[CrawlJob | ValidationJob | ExportJob, ...]:
        """The crawl, and of its latest followers those that were planned with it.

        What a person asked for later is work of its own: that it was cancelled or took long says nothing of the run.
        """
        return (self.crawl, *(job for job in (self.validation, self.export) if job is not None and self._planned(job)))

    def _planned(self, job: ValidationJob | ExportJob) -> bool:
        if isinstance(job, ExportJob):
            return bool(job.export_options.get("planned"))
        # It is made as the crawl ends, and bears its time.
        return self.crawl.completed_at is not None and job.created_at <= self.crawl.completed_at

    @property
    def status(self) -> str:
        """The first status of the run that is not `completed`; else that of what was asked for later, while it is
        under way; else `completed`."""
        jobs = (self.crawl, self.validation, self.export) if self.asked else self.run
        of_run = next((job.status for job in jobs if job is not None and job.status != JobStatus.COMPLETED), None)
        later = next((job.status for job in (self.validation, self.export) if job and job.status not in ENDED), None)
        return of_run or later or JobStatus.COMPLETED.value

    @property
    def error(self) -> str | None:
        return next(
            (j.error_message for j in (self.crawl, self.validation, self.export) if j and j.error_message), None
        )

    @property
    def settled(self) -> bool:
        """Nothing more will happen by itself. A follower is created in the transaction that ends its forerunner."""
        return all(job is None or job.status in ENDED for job in (self.crawl, self.validation, self.export))

    @property
    def seconds(self) -> float:
        """From the start of the crawl to the end of the last job of the run, or to now."""
        if self.crawl.started_at is None:
            return 0.0
        ends = [job.completed_at for job in self.run if job.status in ENDED]
        known = [end for end in ends if end is not None]
        end = max(known, default=self.at) if len(ends) == len(self.run) else self.at
        return (end - self.crawl.started_at).total_seconds()

    @property
    def seconds_asked(self) -> float:
        """The same of what a person asked for after the run, for whoever did."""
        later = next((job for job in (self.export, self.validation) if job is not None and job not in self.run), None)
        if later is None or not self.asked:
            return self.seconds
        return ((later.completed_at or self.at) - (later.started_at or later.created_at)).total_seconds()

    @property
    def images_per_second(self) -> float:
        """Downloads a second while the crawl ran."""
        if self.crawl.started_at is None:
            return 0.0
        seconds = ((self.crawl.completed_at or self.at) - self.crawl.started_at).total_seconds()
        return self.crawl.downloaded_images / seconds if seconds > 0 else 0.0


async def report(
    session: AsyncSession, crawl_job_id: int, before: Report | None = None, *, export_job_id: int | None = None
) -> Report:
    """The run as it stands, in one snapshot, so it begins the session's transaction. Raises NotFound."""
    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    return await read_report(session, crawl_job_id, before, export_job_id=export_job_id)


async def read_report(
    session: AsyncSession, crawl_job_id: int, before: Report | None = None, *, export_job_id: int | None = None
) -> Report:
    """The run as it stands, from whatever transaction there is; with `export_job_id`, that export and the validation
    that decides in it, in the place of the latest. Raises NotFound.

    Jobs are read in the order in which they follow, so that one that has ended is never seen without its follower.
    `before`, an earlier report of the same run, saves counting the verdicts of a validation that was done then.
    """
    crawl = await session.get(CrawlJob, crawl_job_id)
    if crawl is None:
        raise NotFound(f"There is no crawl job {crawl_job_id}. `gleanset jobs list` shows those there are.")
    judged, packed = await (_latest(session, crawl.id) if export_job_id is None else _of_export(session, export_job_id))
    return Report(
        crawl=crawl,
        validation=judged,
        export=packed,
        plan=CrawlPlan.model_validate(crawl.options),
        failures=await crawl_jobs.failures(session, crawl.id),
        changes=await crawl_jobs.changes(session, crawl.id),
        invalid=await _invalid(session, judged, before),
        waiting=await chunks.waiting(session, crawl.id) if crawl.status == JobStatus.RUNNING else None,
        bytes=await crawl_jobs.bytes_of(session, crawl.id),
        at=datetime.now(UTC),
    )


async def _latest(session: AsyncSession, crawl_job_id: int) -> tuple[ValidationJob | None, ExportJob | None]:
    judged = await session.scalar(
        select(ValidationJob).filter_by(crawl_job_id=crawl_job_id).order_by(ValidationJob.id.desc()).limit(1)
    )
    packed = await session.scalar(
        select(ExportJob).filter_by(crawl_job_id=crawl_job_id).order_by(ExportJob.id.desc()).limit(1)
    )
    if packed is not None and judged is not None and packed.created_at < judged.created_at:
        packed = None  # it belongs to an earlier judgement
    return judged, packed


async def _of_export(session: AsyncSession, export_job_id: int) -> tuple[ValidationJob | None, ExportJob]:
    packed = await session.get(ExportJob, export_job_id)
    if packed is None:
        raise NotFound(f"There is no export job {export_job_id}. `gleanset exports list` shows those there are.")
    decides = packed.export_options.get("validation_job_id")
    return await session.get(ValidationJob, decides) if decides else None, packed


async def _invalid(session: AsyncSession, judged: ValidationJob | None, before: Report | None) -> dict[str, int]:
    if judged is None or judged.status != JobStatus.COMPLETED:
        return {}
    known = before.validation if before else None
    if before is not None and known is not None and (known.id, known.status) == (judged.id, judged.status):
        return before.invalid
    return await validation.invalid(session, judged.id)
