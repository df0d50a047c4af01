"""`gleanset users remove`, `password`, `rename` and `sessions`: what people do with their account, done for them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import in_transaction
from backend.cli.listing import JsonList, print_list, when
from backend.cli.people import Email, found_person, note_passwords, wanted_user
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.schemas.accounts import SessionResponse
from backend.schemas.profile import ProfileUpdate
from backend.services import accounts, passwords, people

_ALL = "all"
_SHOWN = 12
"""Digits of a session's id that the list shows."""


def remove(email: Email, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False) -> None:
    """Remove somebody with all projects and what was gathered in them, for good. Cancel their jobs first.

    To keep what is theirs, and only shut them out: gleanset users disable EMAIL
    """
    if not yes:
        typer.confirm(f"Remove {email} with all projects for good? Nobody can bring them back then.", abort=True)

    async def run(session: AsyncSession) -> str:
        person = await found_person(session, email)
        await people.remove(session, person, None)
        return person.email

    typer.echo(f"Removed for good, with all projects: {in_transaction(run)}. Files that nobody else needs go later.")


def password(email: Email) -> None:
    """Give somebody another password: typed twice and not shown, or the first line of standard input.

    Sessions and log-in links of the person end; API keys stay. To let people choose one of their own, send them a
    link: gleanset users link EMAIL
    """

    async def run() -> str:
        async with await asyncio.to_thread(Database.ready, get_settings()) as database:
            async with database.transaction() as session:
                person = await found_person(session, email)
            await accounts.give_password(database, person, _asked())
            return person.email

    typer.echo(f"{asyncio.run(run())} has another password now, and is logged out everywhere.")
    note_passwords()


def _asked() -> str:
    """The new password; not as an argument, which others on the machine can read. Raises BadInput."""
    if sys.stdin.isatty():
        return typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    try:
        # A line that is longer than any password is refused for its length, and need not be read whole.
        given = sys.stdin.buffer.readline(4 * passwords.LONGEST + 8).decode()
    except UnicodeDecodeError:
        raise BadInput("The password on standard input is not UTF-8.") from None
    return given.rstrip("\r\n")


def rename(email: Email, name: Annotated[str, typer.Argument(metavar="FULL_NAME", help="The full name.")]) -> None:
    """Change somebody's full name, as their profile has it: gleanset users rename anna@example.org "Anna Berg"."""
    wanted = ProfileUpdate(full_name=wanted_user(email, name).full_name)

    async def run(session: AsyncSession) -> str:
        person = await accounts.update_profile(session, await found_person(session, email), wanted, operator=True)
        return f"{person.email} is called {person.full_name} now."

    typer.echo(in_transaction(run))


def sessions(
    email: Email,
    *,
    end: Annotated[
        str | None,
        typer.Option(
            "--end",
            metavar="SESSION|all",
            help="End the session that the list calls so; or all of them, and the log-in links that are under way.",
        ),
    ] = None,
    json: JsonList = False,
) -> None:
    """Where somebody is logged in, the latest seen first. API keys are no sessions: gleanset keys list --user EMAIL."""

    async def run(session: AsyncSession) -> list[SessionResponse]:
        person = await found_person(session, email)
        open_ones = await accounts.sessions_of(session, person.id, None)
        if end == _ALL:
            await accounts.end_others(session, person.id, None, operator=True)
        elif end is not None:
            open_ones = [_called(end, open_ones, person.email)]
            await accounts.end_session(session, person.id, open_ones[0].id, operator=True)
        return open_ones

    found = in_transaction(run)
    if end is None or json:
        print_list(found, _table, f"{email} is logged in nowhere.", _told if json else None)
    elif end == _ALL:
        typer.echo(f"{email} is logged out everywhere; sessions that were open: {len(found)}.")
    else:
        typer.echo(f"The session {_name(found[0])} of {email} is ended.")


def _called(name: str, open_ones: Sequence[SessionResponse], email: str) -> SessionResponse:
    """The session whose id begins so, at least with what the list shows. Raises BadInput."""
    found = [each for each in open_ones if len(name) >= _SHOWN and each.id.startswith(name)]
    if len(found) != 1:
        raise BadInput(f"{email} has no session {name!r}. Those there are: gleanset users sessions {email}")
    return found[0]


def _name(one: SessionResponse) -> str:
    return one.id[:_SHOWN]


def _told(one: SessionResponse) -> dict[str, Any]:
    """As the API tells it, but for which of them is the current one: a command has none."""
    return one.model_dump(mode="json", exclude={"current"})


def _table(found: Sequence[SessionResponse]) -> Table:
    table = Table("session", "last seen", "since", "until", "browser", box=None, pad_edge=False)
    for each in found:
        days = (when(each.last_seen_at), when(each.created_at), when(each.expires_at))
        table.add_row(_name(each), *days, Text(each.user_agent or ""))
    return table
