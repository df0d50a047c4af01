"""`gleanset jobs`: look at runs, start and stop them, go on with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import asked, in_transaction
from backend.cli.chunks import chunks
from backend.cli.crawl import Json, run_and_report
from backend.cli.delivery import dataset_path, deliver
from backend.cli.display import as_json, print_summary
from backend.cli.images import images
from backend.cli.listing import JsonList, as_api, print_list, when
from backend.config import get_settings
from backend.db import Database
from backend.errors import IllegalMove, NotFound
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import CrawlJobResponse, CrawlJobUpdate
from backend.schemas.jobs import ValidationJobResponse
from backend.services import crawl_jobs, crawl_requests, deliveries, profiles, validation
from backend.services.access import alive
from backend.services.allowances import Allowance
from backend.services.reports import report
from backend.services.states import locked
from gleanset.rules import CUSTOM

app = typer.Typer(
    invoke_without_command=True,
    help="List, show, start, cancel, retry and delete crawl jobs, and look at their images.",
)

JobNumber = Annotated[int, typer.Argument(help="Number of the crawl job.")]


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_jobs(limit=20, json=False)


@app.command("list")
def list_jobs(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 20,
    json: JsonList = False,
) -> None:
    """The latest crawl jobs."""

    async def read(session: AsyncSession) -> Sequence[CrawlJob]:
        return (await session.scalars(select(CrawlJob).order_by(CrawlJob.id.desc()).limit(limit))).all()

    print_list(
        in_transaction(read), _table, "There are no jobs yet. Start with: gleanset demo", _told if json else None
    )


def _told(job: CrawlJob) -> dict[str, Any]:
    return as_api(CrawlJobResponse.model_validate(job))


def _table(jobs: Sequence[CrawlJob]) -> Table:
    table = Table("job", "name", "status", "met", "gathered", "valid", "created", box=None, pad_edge=False)
    for job in jobs:
        counts = (job.total_images, job.downloaded_images, job.valid_images)
        created = job.created_at.astimezone()
        table.add_row(str(job.id), job.name, job.status, *(f"{n:,}" for n in counts), f"{created:%Y-%m-%d %H:%M}")
    return table


def _validations(judged: Sequence[ValidationJob]) -> Table:
    table = Table("validation", "rules", "hash", "status", "valid", "invalid", "created", box=None, pad_edge=False)
    for each in judged:
        counts = (each.validated_images - each.invalid_images, each.invalid_images)
        rules_hash = each.rules_hash.hex()[:12] if each.rules_hash else ""
        name = Text(each.rules_name or CUSTOM)
        table.add_row(str(each.id), name, rules_hash, each.status, *(f"{n:,}" for n in counts), when(each.created_at))
    return table


@app.command()
def show(job: JobNumber, *, json: Json = False) -> None:
    """Where a job stands: counts, what was not had and why, what is not valid and why, and its validations."""

    async def run() -> None:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            now = await report(session, job)
            judged = await validation.of_job(session, job)
        path = dataset_path(now.export)
        if json:
            told = [as_api(ValidationJobResponse.model_validate(each)) for each in judged]
            typer.echo(as_json(now, path, {"validations": told}))
            return
        print_summary(now, path)
        if judged:
            Console(highlight=False).print("\nValidations:", style="bold")
            print_list(judged, _validations, "")

    asyncio.run(run())


app.command()(chunks)
app.command()(images)


@app.command()
def rename(
    job: JobNumber, name: Annotated[str, typer.Argument(help="What it is called: 1 to 100 characters.")]
) -> None:
    """Give a job another name, at any time. Datasets that are packed keep theirs.

    For instance: gleanset jobs rename 1 "Terns and gulls"
    """
    wanted = asked(CrawlJobUpdate, name=name)

    async def run(session: AsyncSession) -> str:
        owner = await profiles.local_owner(session)
        found = await alive(session, CrawlJob, job)
        return (await crawl_requests.update(session, found, wanted, owner.id)).name

    typer.echo(f"Renamed: {in_transaction(run)}")


@app.command()
def start(job: JobNumber, *, json: Json = False) -> None:
    """Start a job that was made by the page or the API and not started yet, and follow it to its end.

    It is worked on here, whether other workers are there or not. One that was started before goes on with: gleanset
    jobs retry
    """

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                owner = await profiles.local_owner(session)
                found = await alive(session, CrawlJob, job)
                await crawl_requests.start(session, found, owner.id, Allowance.of(settings))
            await run_and_report(settings, database, job, json=json)

    asyncio.run(run())


@app.command()
def cancel(job: JobNumber) -> None:
    """Stop a job, wherever it runs. What it has gathered stays; retry goes on with it.

    Of a job that has ended, its validations and exports that are under way.
    """

    async def run() -> None:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            owner = await profiles.local_owner(session)
            await locked(session, CrawlJob, job)
            followers = await crawl_jobs.under_way(session, job)
            stopped = await crawl_jobs.cancel(session, job, user_id=owner.id)
        if stopped.status == JobStatus.CANCELLED:
            typer.echo(f"Job {job} is cancelled. Go on with it: gleanset jobs retry {job}")
            return
        typer.echo(f"Job {job} had ended already and stays {stopped.status}. What hung from it is cancelled:")
        for each in followers:
            way, noun = (f"jobs retry {job}", "validation")
            if isinstance(each, ExportJob):
                way, noun = (f"exports retry {each.id}", "export")
            typer.echo(f"{noun} {each.id}. Go on with it: gleanset {way}")

    asyncio.run(run())


@app.command()
def retry(job: JobNumber, *, json: Json = False) -> None:
    """Go on with a job that was interrupted, cancelled or failed, from where it stopped.

    Datasets of it that are packed, and do not lie yet where --out said, are put there.
    """

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                owner = await profiles.local_owner(session)
                packed = await deliveries.waiting(session, job)
                try:
                    await crawl_jobs.retry(session, job, user_id=owner.id)
                except IllegalMove:
                    if not packed:
                        raise
            for each in packed:
                await deliver(database, each)
            await run_and_report(settings, database, job, json=json)

    asyncio.run(run())


@app.command()
def delete(job: JobNumber, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False) -> None:
    """Remove a job that is not under way, with its images, validations and exports."""
    if not yes:
        typer.confirm(f"Delete job {job} with all that it gathered?", abort=True)

    async def run() -> None:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            owner = await profiles.local_owner(session)
            found = await session.get(CrawlJob, job)
            if found is None:
                raise NotFound(f"There is no crawl job {job}. `gleanset jobs list` shows those there are.")
            await crawl_requests.delete(session, found, owner.id)
        typer.echo(f"Job {job} is deleted. Its files go later, where no other job needs them.")

    asyncio.run(run())
