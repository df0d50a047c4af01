"""`gleanset db`: migrations, the address of the database, and its health."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from backend.cli.diagnosis import diagnosis_as_json, overall, print_diagnosis
from backend.cli.display import note
from backend.config import get_settings
from backend.db import Database, database_url, embedded_is_running, keep_embedded_running, libpq_url, revisions
from backend.db import upgrade as upgrade_schema
from backend.services.doctor import Mending, examine
from backend.services.retention import sweep, sweep_store

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, current, doctor, sweep, url, stop.")


@app.command()
def upgrade() -> None:
    """Bring the database to this version's migrations. Safe to repeat, and by several at once."""
    url = database_url(get_settings())
    before, wanted = revisions(url)
    upgrade_schema(url)
    typer.echo(
        f"The database is at migration {wanted}." if before == wanted else f"Upgraded from {before} to {wanted}."
    )


@app.command()
def current() -> None:
    """The database's migration, and whether it is the newest."""
    found, wanted = revisions(database_url(get_settings()))
    if found == wanted:
        typer.echo(f"{found} (head)")
        return
    typer.echo(f"{found or 'no migration'}; this version wants {wanted}. Run: gleanset db upgrade")
    raise typer.Exit(1)


@app.command()
def doctor(
    *,
    delete_orphans: Annotated[
        bool,
        typer.Option("--delete-orphans", help="Delete blobs that no image points to and that are over an hour old."),
    ] = False,
    fail_missing: Annotated[
        bool, typer.Option("--fail-missing", help="Mark images whose blob is gone as failed (reason blob_missing).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Look for what is wrong with the database, the queue and the image store; each finding with its cure.

    Changes nothing unless told to by an option. Exit code 1 when something is wrong, 0 for advice or all well.
    """
    settings = get_settings()
    mending = Mending(delete_orphans=delete_orphans, fail_missing=fail_missing)
    with Console(stderr=True).status("Looking ...") as status:
        sections = asyncio.run(
            examine(
                settings,
                database_url(settings),
                mending,
                lambda blobs: status.update(f"Looking: {blobs:,} blobs so far ..."),
            )
        )
    if json:
        typer.echo(diagnosis_as_json(sections))
    else:
        print_diagnosis(sections)
    if overall(sections) == "error":
        raise typer.Exit(1)


@app.command("sweep")
def sweep_now(
    *, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False
) -> None:
    """Remove what is old: projects deleted days ago, expired exports and sessions, files of nothing, ended tasks.

    Workers do the same by themselves, now and then.
    """

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            for part in (sweep, sweep_store):
                for swept in await part(settings, database, dry_run=dry_run):
                    typer.echo(f"{swept.count:>9,}  {swept.what}{f' ({swept.note})' if swept.note else ''}")

    typer.echo("Would be removed:" if dry_run else "Removed:")
    asyncio.run(run())


@app.command()
def url() -> None:
    """The address of the database in use, for psql and others.

    The embedded server stops with the last command that uses it; from now on it stays up until `gleanset db stop`.
    """
    settings = get_settings()
    if settings.database_url is None:
        keep_embedded_running(settings, keep=True)
        note("The embedded server stays up for you; end it with: gleanset db stop")
    typer.echo(libpq_url(database_url(settings)))


@app.command()
def stop() -> None:
    """Stop the embedded server that `gleanset db url` keeps up."""
    settings = get_settings()
    keep_embedded_running(settings, keep=False)
    if not embedded_is_running(settings):
        typer.echo("The embedded server is not running.")
        return
    database_url(settings.model_copy(update={"database_url": None}))  # as its last user, this command stops it
    typer.echo("The embedded server stops now, or with the last command that still uses it.")
