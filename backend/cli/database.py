"""`gleanset db`: migrations, the address of the database, and its health."""

from __future__ import annotations

import typer

from backend.cli.display import note
from backend.config import get_settings
from backend.db import database_url, keep_embedded_running, libpq_url, revisions, stop_embedded
from backend.db import upgrade as upgrade_schema

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, current, doctor, url, stop.")


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
    stop_embedded(settings)
    typer.echo("The embedded server is stopped.")
