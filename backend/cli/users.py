"""`gleanset users`: who may log in, for whoever has the machine; and the way in of a team's first admin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli import account
from backend.cli.asking import in_transaction
from backend.cli.crawl import Json
from backend.cli.display import note
from backend.cli.listing import JsonList, as_api, print_list, when
from backend.cli.people import (
    Email,
    Url,
    base_of,
    found_person,
    note_bare,
    note_passwords,
    print_json,
    wanted_user,
)
from backend.models import Profile
from backend.models.enums import Role
from backend.schemas.accounts import LinkResponse, NewUserResponse, UserResponse
from backend.services import people

app = typer.Typer(
    invoke_without_command=True,
    help="List, add, rename and remove people, give roles and passwords, disable, make log-in links, end sessions.",
)
app.command("remove")(account.remove)
app.command("password")(account.password)
app.command("rename")(account.rename)
app.command("sessions")(account.sessions)


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_users(limit=100, json=False)


@app.command("list")
def list_users(
    *, limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 100, json: JsonList = False
) -> None:
    """Everybody, by e-mail."""

    async def read(session: AsyncSession) -> list[UserResponse]:
        found = await session.scalars(people.matching(None).order_by(people.BY_EMAIL).limit(limit))
        return [UserResponse.model_validate(person) for person in found]

    nothing = "Nobody is here yet. Add the first admin: gleanset users add EMAIL --role admin"
    print_list(in_transaction(read), _table, nothing, as_api if json else None)


@app.command()
def add(
    email: Email,
    *,
    role: Annotated[Role, typer.Option("--role", help="What the person may do, see docs/accounts.md.")] = Role.USER,
    name: Annotated[str | None, typer.Option("--name", help="Full name.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Add somebody, and print a link that logs them in once, within three days, to choose a password."""
    base = base_of(url)
    wanted = wanted_user(email, name, role)

    async def make(session: AsyncSession) -> NewUserResponse:
        person = await people.create(session, wanted, None)
        shown = UserResponse.model_validate(person)
        return NewUserResponse(**shown.model_dump(), link=await _link_of(session, person, base))

    made = in_transaction(make)
    if json:
        print_json(made)
        return
    note(f"{made.email} is added as {made.role}. This link logs in once, until {when(made.link.expires_at)}:")
    _print_link(made.link)


@app.command("role")
def set_role(
    email: Email, role: Annotated[Role, typer.Argument(metavar="ROLE", help="user, moderator or admin.")]
) -> None:
    """Give somebody another role."""
    person = _change(email, lambda session, person: people.set_role(session, person, role, None))
    typer.echo(f"{person.email} is {person.role} now.")


@app.command()
def disable(email: Email) -> None:
    """Keep somebody out, at once: sessions end, keys and links are good for nothing. What is theirs stays."""
    person = _change(email, lambda session, person: people.disable(session, person, None))
    typer.echo(f"{person.email} is disabled. Undo it with: gleanset users enable {person.email}")


@app.command()
def enable(email: Email) -> None:
    """Let somebody in again who was disabled."""
    person = _change(email, lambda session, person: people.enable(session, person, None))
    typer.echo(f"{person.email} may log in.")


@app.command()
def link(email: Email, *, url: Url = None, json: Json = False) -> None:
    """A link that logs somebody in once, within three days, for who forgot the password or lost the first link."""
    base = base_of(url)

    async def make(session: AsyncSession) -> LinkResponse:
        return await _link_of(session, await found_person(session, email), base)

    made = in_transaction(make)
    if json:
        print_json(made)
        return
    note(f"This link logs in once, until {when(made.expires_at)}:")
    _print_link(made)


def _change(email: str, change: Callable[[AsyncSession, Profile], Awaitable[None]]) -> UserResponse:
    async def run(session: AsyncSession) -> UserResponse:
        person = await found_person(session, email)
        await change(session, person)
        await session.refresh(person)
        return UserResponse.model_validate(person)

    return in_transaction(run)


async def _link_of(session: AsyncSession, person: Profile, base: str) -> LinkResponse:
    token, until = await people.new_link(session, person, None)
    return LinkResponse(url=f"{base}/login/{token}", expires_at=until)


def _print_link(made: LinkResponse) -> None:
    typer.echo(made.url)
    note_bare(made.url)
    note_passwords()


def _table(found: Sequence[UserResponse]) -> Table:
    table = Table("e-mail", "name", "role", "since", "disabled", box=None, pad_edge=False)
    for each in found:
        row: list[Any] = [Text(each.email), Text(each.full_name or ""), each.role.value]
        disabled = when(each.disabled_at)
        table.add_row(*row, f"{each.created_at.astimezone():%Y-%m-%d}", disabled)
    return table
