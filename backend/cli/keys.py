"""`gleanset keys`: API keys, with which programs ask the API and the Python client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import in_transaction
from backend.cli.crawl import Json
from backend.cli.display import note
from backend.cli.listing import JsonList, as_api, print_list, when
from backend.cli.people import found_person, print_json
from backend.errors import BadInput
from backend.models import ApiKey
from backend.models.enums import Scope
from backend.schemas.accounts import ApiKeyCreate, ApiKeyResponse, NewApiKeyResponse
from backend.services import keys, profiles

app = typer.Typer(invoke_without_command=True, help="List, make and revoke API keys.")

Whose = Annotated[
    str | None, typer.Option("--user", metavar="EMAIL", help="Whose; those of this machine's owner when not given.")
]


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_keys(user=None, limit=100, json=False)


@app.command("list")
def list_keys(
    *,
    user: Whose = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 100,
    json: JsonList = False,
) -> None:
    """The keys of one person, those that were revoked too: how each begins, what it is good for, and until when."""

    async def read(session: AsyncSession) -> list[ApiKeyResponse]:
        owner = profiles.LOCAL_OWNER if user is None else (await found_person(session, user)).id
        query = select(ApiKey).filter_by(user_id=owner).order_by(ApiKey.id.desc()).limit(limit)
        return [ApiKeyResponse.model_validate(each) for each in await session.scalars(query)]

    nothing = "There are no API keys yet. Make one with: gleanset keys create NAME"
    print_list(in_transaction(read), _table, nothing, as_api if json else None)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, by which you know it again.")],
    *,
    scope: Annotated[
        Scope, typer.Option("--scope", help="read looks, write changes projects, admin manages keys and people too.")
    ] = Scope.READ,
    expires_in: Annotated[
        int | None,
        typer.Option(
            "--expires-in", metavar="DAYS", min=1, max=36500, help="Days until it ends; never when not given."
        ),
    ] = None,
    user: Whose = None,
    json: Json = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    A key for a script that reads, for 90 days: gleanset keys create nightly --expires-in 90
    """
    wanted = _wanted(name, scope, expires_in)

    async def make(session: AsyncSession) -> NewApiKeyResponse:
        key, secret = await keys.create(session, await _owner(session, user), wanted, operator=user is not None)
        return NewApiKeyResponse(**ApiKeyResponse.model_validate(key).model_dump(), secret=secret)

    made = in_transaction(make)
    if json:
        print_json(made)
        return
    until = f"until {when(made.expires_at)}" if made.expires_at else "until it is revoked"
    note(f"Key {made.id} is good for {scope}, {until}. It is shown this once:")
    typer.echo(made.secret)


@app.command()
def revoke(
    key: Annotated[int, typer.Argument(metavar="KEY", help="Number of the key, as gleanset keys list tells it.")],
    *,
    user: Whose = None,
) -> None:
    """Make a key good for nothing, at once and for good. It stays in the list, as revoked."""

    async def run(session: AsyncSession) -> None:
        await keys.revoke(session, await _owner(session, user), key, operator=user is not None)

    in_transaction(run)
    typer.echo(f"Key {key} is revoked.")


async def _owner(session: AsyncSession, email: str | None) -> UUID:
    person = await profiles.local_owner(session) if email is None else await found_person(session, email)
    return person.id


def _wanted(name: str, scope: Scope, days: int | None) -> ApiKeyCreate:
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    try:
        return ApiKeyCreate(name=name, scopes=[scope], expires_at=until)
    except ValidationError:
        raise BadInput("A key's name has 1 to 100 characters.") from None


def _table(found: Sequence[ApiKeyResponse]) -> Table:
    table = Table("key", "name", "begins", "scope", "made", "last used", "until", box=None, pad_edge=False)
    for each in found:
        until = f"revoked {when(each.revoked_at)}" if each.revoked_at else when(each.expires_at)
        row: list[Any] = [str(each.id), Text(each.name), each.prefix, ", ".join(each.scopes)]
        table.add_row(*row, when(each.created_at), when(each.last_used_at), until)
    return table
