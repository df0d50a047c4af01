"""`gleanset users`: who may log in, for whoever has the machine; and the way in of a team's first admin."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.crawl import Json
from backend.cli.display import note
from backend.cli.rules import JsonList
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput, NotFound
from backend.models import Profile
from backend.models.enums import Role
from backend.schemas.accounts import LinkResponse, NewUserResponse, UserCreate, UserResponse
from backend.services import accounts, people

app = typer.Typer(invoke_without_command=True, help="List and add people, give roles, disable, make log-in links.")

Answer = TypeVar("Answer")
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail of the person, in whatever case.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where people reach this Gleanset, such as https://images.example.org."),
]


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

    found = _run(read)
    if json:
        typer.echo(jsonlib.dumps([each.model_dump(mode="json") for each in found]))
    elif found:
        Console().print(_table(found))
    else:
        typer.echo("Nobody is here yet. Add the first admin: gleanset users add EMAIL --role admin")


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
    base = _base(url)
    wanted = _user(email, name, role)

    async def make(session: AsyncSession) -> NewUserResponse:
        person = await people.create(session, wanted, None)
        shown = UserResponse.model_validate(person)
        return NewUserResponse(**shown.model_dump(), link=await _link_of(session, person, base))

    made = _run(make)
    if json:
        _print_json(made)
        return
    note(f"{made.email} is added as {made.role}. This link logs in once, until {_when(made.link)}:")
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
    base = _base(url)

    async def make(session: AsyncSession) -> LinkResponse:
        return await _link_of(session, await _found(session, email), base)

    made = _run(make)
    if json:
        _print_json(made)
        return
    note(f"This link logs in once, until {_when(made)}:")
    _print_link(made)


def _run(work: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            return await work(session)

    return asyncio.run(run())


def _change(email: str, change: Callable[[AsyncSession, Profile], Awaitable[None]]) -> UserResponse:
    async def run(session: AsyncSession) -> UserResponse:
        person = await _found(session, email)
        await change(session, person)
        await session.refresh(person)
        return UserResponse.model_validate(person)

    return _run(run)


async def _found(session: AsyncSession, email: str) -> Profile:
    person = await accounts.by_email(session, _user(email, None, Role.USER).email)
    if person is None:
        raise NotFound(f"There is nobody with the e-mail {email}. Everybody who is there: gleanset users list")
    return person


def _user(email: str, name: str | None, role: Role) -> UserCreate:
    try:
        return UserCreate(email=email, full_name=name, role=role)
    except ValidationError as error:
        if error.errors()[0]["loc"][0] == "email":
            raise BadInput(f"{email!r} is no e-mail address.") from None
        raise BadInput("A name has 1 to 100 characters.") from None


def _base(url: str | None) -> str:
    if url is None:
        return ""
    if not url.startswith(("http://", "https://")) or any(each.isspace() for each in url):
        raise BadInput(f"{url!r} is no address of a Gleanset; one begins with https:// or http://.")
    return url.rstrip("/")


async def _link_of(session: AsyncSession, person: Profile, base: str) -> LinkResponse:
    token, until = await people.new_link(session, person, None)
    return LinkResponse(url=f"{base}/login/{token}", expires_at=until)


def _print_json(made: BaseModel) -> None:
    typer.echo(jsonlib.dumps(made.model_dump(mode="json")))


def _print_link(made: LinkResponse) -> None:
    typer.echo(made.url)
    if made.url.startswith("/"):
        note("Put the address of your Gleanset in front of it, or say it with --url.")
    if get_settings().accounts != "team":
        note("The web process has to run with GLEANSET_ACCOUNTS=team for people to have passwords.")


def _when(made: LinkResponse) -> str:
    return f"{made.expires_at.astimezone():%Y-%m-%d %H:%M}"


def _table(found: list[UserResponse]) -> Table:
    table = Table("e-mail", "name", "role", "since", "disabled", box=None, pad_edge=False)
    for each in found:
        row: list[Any] = [Text(each.email), Text(each.full_name or ""), each.role.value]
        disabled = f"{each.disabled_at.astimezone():%Y-%m-%d %H:%M}" if each.disabled_at else ""
        table.add_row(*row, f"{each.created_at.astimezone():%Y-%m-%d}", disabled)
    return table
