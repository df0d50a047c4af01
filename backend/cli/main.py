"""The commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import logging
import re
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from procrastinate.exceptions import ConnectorException
from psycopg import Error as PsycopgError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from sqlalchemy.exc import DBAPIError

from backend import logs
from backend.cli import (
    activity,
    crawl,
    database,
    decide,
    demo,
    diff,
    exports,
    jobs,
    keys,
    projects,
    rules,
    serve,
    sources,
    takedown,
    up,
    users,
    verify,
    worker,
)
from backend.cli.display import complain, note
from backend.cli.run import Interrupted
from backend.config import get_settings
from backend.errors import BadInput, Gone, IllegalMove, NotFound, ServiceError
from gleanset.errors import GleansetError, NotAnExport, RuleError, SourceError

app = typer.Typer(
    name="gleanset",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From keywords or URL lists to a clean, licensed, documented image dataset.\n\n"
    "Try `gleanset demo` first: it needs no internet and no key. `gleanset up` is for working in the browser. Settings "
    "are environment variables: GLEANSET_HOME (data folder), DATABASE_URL (a PostgreSQL server instead of the embedded "
    "one) and others, see docs/settings.md.",
)

app.command("demo")(demo.demo)
app.command("crawl")(crawl.crawl)
app.command("validate")(crawl.validate)
app.command("export")(crawl.export)
app.command("rules")(rules.rules)
app.command("compare")(rules.compare)
app.command("decide")(decide.decide)
app.command("verify")(verify.verify)
app.command("diff")(diff.diff)
app.command("sources")(sources.sources)
app.add_typer(jobs.app, name="jobs")
app.add_typer(exports.app, name="exports")
app.add_typer(projects.app, name="projects")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.command("activity")(activity.activity)
app.add_typer(database.app, name="db")
app.command("takedown")(takedown.takedown)
app.command("worker")(worker.worker)
app.command("serve")(serve.serve)
app.command("up")(up.up)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gleanset {version('gleanset')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is going on, to standard error.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    logs.configure(get_settings(), logging.INFO if verbose else logging.ERROR)


def _wrong(error: ErrorDetails) -> str:
    """What is wrong with a setting; pydantic counts the characters of a secret as items."""
    if error["type"] == "too_short":
        return f"it needs {error.get('ctx', {}).get('min_length')} characters or more"
    return error["msg"].removeprefix("Value error, ").rstrip(".")


def main() -> NoReturn:
    """Run the command line; every expected failure ends in one sentence and an exit code."""
    try:
        app(prog_name="gleanset")
    except Interrupted as interrupted:
        note(f"\nInterrupted. Nothing is lost; go on with: {interrupted.way_on}")
        sys.exit(130)
    except KeyboardInterrupt:
        note("\nInterrupted.")
        sys.exit(130)
    except ValidationError as error:  # of a setting: nothing else reads pydantic models from outside here
        first = error.errors()[0]
        name, *within = map(str, first["loc"])
        what = ": ".join([*within, _wrong(first)])
        complain(f"The setting GLEANSET_{name.upper()} is not right: {what}. See docs/settings.md.")
        sys.exit(2)
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))  # of lists and tables, which are written as JSON
        which = f"The setting GLEANSET_{named[1].upper()}" if named else "A setting"
        complain(f"{which} is not JSON. See docs/settings.md.")
        sys.exit(2)
    except (BadInput, NotFound, Gone, IllegalMove, RuleError, SourceError, NotAnExport) as error:
        complain(str(error))
        sys.exit(2)
    except (ServiceError, GleansetError) as error:
        complain(str(error))
        sys.exit(1)
    except (DBAPIError, PsycopgError, ConnectorException) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        complain(
            f"The database does not answer any more, or said no: {str(cause).strip().splitlines()[0].rstrip('.')}."
            " What was recorded is safe; `gleanset jobs list` shows what to go on with."
        )
        sys.exit(1)
    except OSError as error:
        hint = " Make room and try again." if error.errno == errno.ENOSPC else ""
        complain(f"{error.strerror or error}{': ' + str(error.filename) if error.filename else ''}.{hint}")
        sys.exit(1)
    sys.exit(0)
