"""People whom an identity provider vouches for. It says who they are; what they may do is ours to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotAllowed, NotLoggedIn
from backend.models import Profile
from backend.models.enums import Role
from backend.schemas.accounts import Email
from backend.schemas.base import Name
from backend.services.access import Actor
from backend.services.activity import note
from backend.services.profiles import LOCAL_OWNER

_EMAIL = TypeAdapter[str](Email)
_NAME = TypeAdapter[str](Name)


async def of_token_claims(session: AsyncSession, issuer: str, claims: Mapping[str, Any]) -> Actor:
    """Who the person of a good token is here; somebody new gets a profile. The role is the profile's, not the token's.

    Raises NotLoggedIn for a person who is disabled, NotAllowed when a profile can not be made.
    """
    user_id = profile_id(issuer, str(claims["sub"]))
    if user_id == LOCAL_OWNER:
        raise NotAllowed("The owner of this machine logs in by a link, not by an identity provider.")
    person = await session.get(Profile, user_id) or await _made(session, user_id, issuer, claims)
    if person.disabled_at is not None:
        raise NotLoggedIn("This account is disabled. An admin can enable it.")
    return Actor(user_id=person.id, role=Role(person.role))


def profile_id(issuer: str, subject: str) -> UUID:
    """The subject itself when it is a UUID, as with Supabase; else one that is always the same for it."""
    try:
        given = UUID(subject)
    except ValueError:
        given = None
    # UUID() also reads braces and capitals: two subjects must not come to be one person.
    return given if given and str(given) == subject else uuid5(NAMESPACE_URL, f"{issuer}#{subject}")


async def _made(session: AsyncSession, user_id: UUID, issuer: str, claims: Mapping[str, Any]) -> Profile:
    email, name = _email_of(claims), _name_of(claims)
    # Two first requests at once: the second waits here for the first, and finds its profile.
    adding = insert(Profile).values(id=user_id, email=email, full_name=name, role=Role.USER.value)
    new = await session.scalar(adding.on_conflict_do_nothing().returning(Profile.id))
    person = await session.scalar(select(Profile).filter_by(id=user_id))
    if person is None:
        raise NotAllowed(
            f"Somebody else has the e-mail {email} here. An admin can remove that account, or you use another e-mail."
        )
    if new is not None:
        note(
            session, user_id, "user.created", person, (None, person.role), email=email, role=person.role, issuer=issuer
        )
    return person


def _email_of(claims: Mapping[str, Any]) -> str:
    if claims.get("email_verified", True) not in (True, "true"):  # some providers send it as text
        raise NotAllowed("Your e-mail is not confirmed yet. Confirm it at the identity provider, then log in again.")
    try:
        return _EMAIL.validate_python(claims.get("email"))
    except ValidationError as error:
        raise NotAllowed(
            "Your token has no e-mail, which an account here needs. Log in with the scope `email`."
        ) from error


def _name_of(claims: Mapping[str, Any]) -> str | None:
    """The name, or none when there is none that could be kept: that keeps nobody out."""
    try:
        return _NAME.validate_python(claims.get("name"))
    except ValidationError:
        return None
