"""What the commands about people share: who is meant, at which address they reach Gleanset, and when."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

import typer
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.display import note
from backend.config import get_settings
from backend.errors import BadInput, NotFound
from backend.models import Profile
from backend.models.enums import Role
from backend.schemas.accounts import UserCreate
from backend.services import accounts

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail of the person, in whatever case.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where people reach this Gleanset, such as https://images.example.org."),
]


async def found_person(session: AsyncSession, email: str) -> Profile:
    """Raises NotFound, and BadInput for what is no e-mail address."""
    person = await accounts.by_email(session, wanted_user(email).email)
    if person is None:
        raise NotFound(f"There is nobody with the e-mail {email}. Everybody who is there: gleanset users list")
    return person


def wanted_user(email: str, name: str | None = None, role: Role = Role.USER) -> UserCreate:
    """Raises BadInput for what is no e-mail address, or no name."""
    try:
        return UserCreate(email=email, full_name=name, role=role)
    except ValidationError as error:
        if error.errors()[0]["loc"][0] == "email":
            raise BadInput(f"{email!r} is no e-mail address.") from None
        raise BadInput("A name has 1 to 100 characters.") from None


def base_of(url: str | None) -> str:
    """What stands in front of a path to make it a link; nothing when nobody said it. Raises BadInput."""
    if url is None:
        return ""
    if not url.startswith(("http://", "https://")) or any(each.isspace() for each in url):
        raise BadInput(f"{url!r} is no address of a Gleanset; one begins with https:// or http://.")
    return url.rstrip("/")


def print_json(made: BaseModel) -> None:
    """As the API tells it."""
    typer.echo(jsonlib.dumps(made.model_dump(mode="json")))


def note_bare(url: str) -> None:
    """Tell what a path lacks to be a link."""
    if url.startswith("/"):
        note("Put the address of your Gleanset in front of it, or say it with --url.")


def note_passwords() -> None:
    """Tell who works without accounts that nobody asks for a password there."""
    if get_settings().accounts != "team":
        note("The web process has to run with GLEANSET_ACCOUNTS=team for people to have passwords.")
