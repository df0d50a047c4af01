"""What people do with their own account: log in, choose a password, see and end sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.errors import BadInput, NotAllowed, NotFound, NotLoggedIn
from backend.models import Credential, LoginSession, Profile
from backend.schemas.accounts import SessionResponse
from backend.schemas.profile import ProfileUpdate
from backend.services import identity, passwords
from backend.services.activity import note_own
from backend.services.secrets import token_hash

_WRONG = "E-mail and password do not belong together."
_MOST_SESSIONS = 200
_FRESH = timedelta(minutes=30)
"""How long after a log-in by link a password may be chosen without the old one."""


async def by_email(session: AsyncSession, email: str) -> Profile | None:
    """The person with this e-mail, in whatever case."""
    email = email.strip()
    if "\0" in email or len(email) > 255:
        return None
    return await session.scalar(select(Profile).where(func.lower(Profile.email) == email.lower()))


@dataclass(frozen=True, slots=True)
class Proven:
    """Whose password was right, and what the database kept of it then."""

    user_id: UUID
    password_hash: str


async def authenticate(database: Database, email: str, password: str) -> Proven:
    """Who logs in. Raises NotLoggedIn for a wrong password, an unknown e-mail and a disabled person alike, after the
    same time. Hashing waits for its turn, and holds no connection meanwhile."""
    async with database.transaction() as session:
        person = await by_email(session, email)
        kept = await _kept(session, person.id) if person else None
    good = await passwords.matches(password, kept)
    if not good or person is None or kept is None or person.disabled_at is not None:
        raise NotLoggedIn(_WRONG)
    return Proven(person.id, kept)


async def still(session: AsyncSession, proven: Proven) -> Profile:
    """The person, whose password stays what it was until the transaction ends. Raises NotLoggedIn when it was changed
    since."""
    same = select(Credential.user_id).filter_by(user_id=proven.user_id, password_hash=proven.password_hash)
    if await session.scalar(same.with_for_update(read=True)) is None:
        raise NotLoggedIn(_WRONG)
    return await session.get_one(Profile, proven.user_id)


async def may_choose_freely(session: AsyncSession, user_id: UUID, token: str | None) -> bool:
    """Whether the person may choose a password without the one before: shortly after a log-in by link."""
    opened = await session.get(LoginSession, token_hash(token)) if token else None
    now = datetime.now(UTC)
    return (
        opened is not None
        and opened.user_id == user_id
        and opened.by_link
        and opened.expires_at > now
        and opened.created_at > now - _FRESH
    )


async def change_password(database: Database, person: Profile, old: str | None, new: str, token: str | None) -> None:
    """Another password; all sessions but that of the token end. Raises BadInput, or NotAllowed for a wrong old one.

    In transactions of its own, since hashing waits for its turn.
    """
    passwords.check_new(new, person.email)
    async with database.transaction() as session:
        free = await may_choose_freely(session, person.id, token)
        kept = await _kept(session, person.id)
    if not free and kept is None:
        first = "You have no password yet. Log in by a link, which an admin can make, and choose one then."
        raise BadInput(first, field="old")
    if not free and (old is None or not await passwords.matches(old, kept)):
        raise NotAllowed("The old password is not right.")
    hashed = await passwords.hashed(new)
    async with database.transaction() as session:
        locked = select(Profile).filter_by(id=person.id).with_for_update(key_share=True)
        await session.execute(locked)
        if await _kept(session, person.id) != kept:
            raise NotAllowed("The password was changed meanwhile. Log in with the new one.")
        await set_password(session, person, hashed, person.id)
        await identity.close_others(session, person.id, token)


async def give_password(database: Database, person: Profile, new: str) -> None:
    """Another password from whoever has the machine; all sessions and links of the person end. Raises BadInput."""
    passwords.check_new(new, person.email)
    hashed = await passwords.hashed(new)
    async with database.transaction() as session:
        found = await session.get(Profile, person.id, with_for_update=True)
        if found is None:
            raise NotFound(f"{person.email} was removed meanwhile.")
        await set_password(session, found, hashed, None)
        await identity.close_others(session, found.id, None)


async def _kept(session: AsyncSession, user_id: UUID) -> str | None:
    return await session.scalar(select(Credential.password_hash).filter_by(user_id=user_id))


async def set_password(session: AsyncSession, person: Profile, hashed: str, by: UUID | None) -> None:
    """Let the person log in with the password that has this hash. by: who gave it; None for the command line."""
    values = {"password_hash": hashed, "changed_at": datetime.now(UTC)}
    giving = insert(Credential).values(user_id=person.id, **values)
    before = "set" if await _kept(session, person.id) else None
    await session.execute(giving.on_conflict_do_update(index_elements=["user_id"], set_=values))
    change = (before, "set anew" if before else "set")
    note_own(session, by or person.id, "user.password_changed", person, change, operator=by is None)


async def update_profile(
    session: AsyncSession, person: Profile, wanted: ProfileUpdate, *, operator: bool = False
) -> Profile:
    """Change what is given; null clears it."""
    before = {name: getattr(person, name) for name in wanted.model_fields_set}
    for name, value in wanted.model_dump(exclude_unset=True).items():
        setattr(person, name, value)
    await session.flush()
    after = {name: getattr(person, name) for name in before}
    if after != before:
        note_own(session, person.id, "user.updated", person, (before, after), operator=operator)
    return person


async def sessions_of(session: AsyncSession, user_id: UUID, token: str | None) -> list[SessionResponse]:
    """Where the person is logged in, the latest seen first; `current` is the session of the token."""
    mine = token_hash(token) if token else None
    query = select(LoginSession).filter_by(user_id=user_id).where(LoginSession.expires_at > datetime.now(UTC))
    return [
        SessionResponse(
            id=each.token_hash.hex(),
            user_agent=each.user_agent,
            current=each.token_hash == mine,
            created_at=each.created_at,
            last_seen_at=each.last_seen_at,
            expires_at=each.expires_at,
        )
        for each in await session.scalars(query.order_by(LoginSession.last_seen_at.desc()).limit(_MOST_SESSIONS))
    ]


async def end_others(session: AsyncSession, user_id: UUID, token: str | None, *, operator: bool = False) -> None:
    """Log the person out everywhere but in the session of the token."""
    await identity.close_others(session, user_id, token)
    person = await session.get_one(Profile, user_id)
    note_own(session, user_id, "session.others_ended", person, ("open", "ended"), operator=operator)


async def end_session(session: AsyncSession, user_id: UUID, session_id: str, *, operator: bool = False) -> None:
    """Log one of the person's browsers out. Raises NotFound."""
    one = delete(LoginSession).filter_by(user_id=user_id, token_hash=bytes.fromhex(session_id))
    if await session.scalar(one.returning(LoginSession.user_id)) is None:
        raise NotFound("There is no such session; perhaps it has ended.")
    person = await session.get_one(Profile, user_id)
    note_own(session, user_id, "session.ended", person, ("open", "ended"), operator=operator)
