"""`gleanset exports`: look at exports, stop them, go on with them, put them where they were asked for."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import in_transaction
from backend.cli.crawl import Json, run_and_report
from backend.cli.delivery import dataset_path, deliver
from backend.cli.display import is_taken_down, note, taken_down, undelivered
from backend.cli.listing import JsonList, print_list, when
from backend.cli.people import Url, base_of, note_bare, print_json
from backend.config import get_settings
from backend.db import Database
from backend.errors import NotFound
from backend.models import ExportJob
from backend.schemas.jobs import ExportJobResponse
from backend.services import deliveries, exports, profiles

app = typer.Typer(invoke_without_command=True, help="List, show, cancel, retry and delete exports, make links to them.")

ExportNumber = Annotated[int, typer.Argument(metavar="EXPORT", help="Number of the export.")]


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_exports(job=None, limit=20, json=False)


@app.command("list")
def list_exports(
    *,
    job: Annotated[int | None, typer.Option(help="Only those of this crawl job.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 20,
    json: JsonList = False,
) -> None:
    """The latest exports: of which job, how far they are, and where they lie.

    Those of one crawl job: gleanset exports list --job 3
    """
    query = select(ExportJob).order_by(ExportJob.id.desc()).limit(limit)
    if job is not None:
        query = query.filter_by(crawl_job_id=job)

    async def read(session: AsyncSession) -> list[ExportJob]:
        return list(await session.scalars(query))

    nothing = "There are no exports yet. Make one with: gleanset export JOB"
    print_list(in_transaction(read), _table, nothing, _told if json else None)


@app.command()
def show(export: ExportNumber, *, json: Json = False) -> None:
    """Where an export stands: what it packs, how far it is, where it lies, and what went wrong."""
    job = in_transaction(lambda session: _existing(session, export))
    if json:
        typer.echo(jsonlib.dumps(_told(job)))
        return
    console = Console(highlight=False)
    console.print(
        Text(
            f"Export {job.id}, {job.name!r} of crawl job {job.crawl_job_id} as {job.format}, is {job.status}:"
            f" {job.exported_images:,} of {job.total_images:,} images packed."
        ),
        soft_wrap=True,
    )
    if job.error_message:
        console.print(Text(f"Error: {job.error_message}"), soft_wrap=True)
    if path := dataset_path(job):
        console.print(Text(f"{decimal(job.file_size or 0)} in\n{path}"), soft_wrap=True)
    for line in (*taken_down(job), *undelivered(job)):
        console.print(Text(line), soft_wrap=True)


@app.command()
def cancel(export: ExportNumber) -> None:
    """Stop an export, wherever it is packed. What was packed stays for a while, and retry goes on with it.

    gleanset jobs cancel stops all of a crawl job at once.
    """

    async def stop(session: AsyncSession) -> None:
        await _existing(session, export)
        owner = await profiles.local_owner(session)
        await exports.cancel(session, export, user_id=owner.id)

    in_transaction(stop)
    typer.echo(f"Export {export} is cancelled. Go on with it: gleanset exports retry {export}")


@app.command()
def retry(export: ExportNumber, *, json: Json = False) -> None:
    """Go on with an export that was interrupted, cancelled or failed, from where it stopped, and follow it to its end.

    One that is packed, and does not lie yet where --out said, is put there.
    """

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                job = await _existing(session, export)
                packed = deliveries.is_waiting(job)
                if not packed:
                    owner = await profiles.local_owner(session)
                    await exports.retry(session, export, user_id=owner.id)
            if packed:
                await deliver(database, job)
            await run_and_report(settings, database, job.crawl_job_id, json=json, export_job_id=export)

    asyncio.run(run())


@app.command()
def delete(
    export: ExportNumber, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False
) -> None:
    """Remove an export that has ended, and its file. What was put where --out said is yours, and stays."""
    if not yes:
        typer.confirm(f"Delete export {export} and its file?", abort=True)

    async def forget(session: AsyncSession) -> ExportJob:
        await _existing(session, export)
        owner = await profiles.local_owner(session)
        return await exports.delete(session, export, user_id=owner.id)

    job = in_transaction(forget)
    exports.discard(exports.file_of(get_settings().exports, job))
    out = deliveries.delivered(job)
    stays = f" What was put to {out} stays." if out else ""
    typer.echo(f"Export {export} is deleted.{stays}")


@app.command()
def link(export: ExportNumber, *, url: Url = None, json: Json = False) -> None:
    """A link that downloads an export's file without a login, for an hour or until the export expires.

    For whoever has no account: gleanset exports link 7 --url https://images.example.org
    """
    from backend.http.downloads import DownloadLink, make_link  # FastAPI takes its time, and no other command needs it
    from backend.http.service import load_secret

    base = base_of(url)

    async def make(session: AsyncSession) -> DownloadLink:
        job = await _existing(session, export)
        owner = await profiles.local_owner(session)
        return make_link(session, load_secret(get_settings()), job, owner.id)

    made = in_transaction(make)
    made.url = base + made.url
    if json:
        print_json(made)
        return
    note(f"This link downloads the file without a login, until {when(made.expires_at)}:")
    typer.echo(made.url)
    note_bare(made.url)


async def _existing(session: AsyncSession, export_job_id: int) -> ExportJob:
    found = await session.get(ExportJob, export_job_id)
    if found is None:
        raise NotFound(f"There is no export job {export_job_id}. `gleanset exports list` shows those there are.")
    return found


def _told(job: ExportJob) -> dict[str, Any]:
    """As the API tells it, with where it lies on this machine or was asked for."""
    told = ExportJobResponse.model_validate(job).model_dump(mode="json", exclude={"download_url"})
    return told | {"delivery": job.delivery, "export_path": dataset_path(job)}


def _table(jobs: Sequence[ExportJob]) -> Table:
    columns = ("export", "job", "name", "format", "status", "packed", "size", "created", "in")
    table = Table(*columns, box=None, pad_edge=False)
    for job in jobs:
        created = f"{job.created_at.astimezone():%Y-%m-%d %H:%M}"
        size = decimal(job.file_size) if job.file_size else ""
        status = "taken down" if is_taken_down(job) else job.status
        counts = (job.format, status, f"{job.exported_images:,}", size, created)
        table.add_row(str(job.id), str(job.crawl_job_id), Text(job.name), *counts, Text(dataset_path(job) or ""))
    return table
