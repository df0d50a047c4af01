"""Who may work here: invited, given roles, kept out, removed. Done by admins, or at the command line (`by` is None)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import Conflict, NotFound
from backend.models import CrawlJob, LoginLink, LoginSession, Profile, Project
from backend.models.enums import JobStatus, Role
from backend.schemas.accounts import UserCreate, UserUpdate
from backend.services import identity
from backend.services.activity import note
from backend.services.profiles import LOCAL_OWNER

BY_EMAIL = func.lower(Profile.email)
INVITATION_LASTS = timedelta(days=3)
_OPEN = (JobStatus.PENDING.value, JobStatus.RUNNING.value)


def matching(search: str | None) -> Select[Any]:
    """People whose e-mail has this in it."""
    people = select(Profile)
    return people.where(BY_EMAIL.contains(search.lower(), autoescape=True)) if search else people


async def found(session: AsyncSession, user_id: UUID) -> Profile:
    """The person. Raises NotFound."""
    person = await session.get(Profile, user_id)
    if person is None:
        raise NotFound(f"There is nobody with the id {user_id}.")
    return person


async def create(session: AsyncSession, wanted: UserCreate, by: UUID | None) -> Profile:
    """Somebody new, who logs in by a link first. Raises Conflict when the e-mail is taken."""
    user_id = uuid4()
    values = {"email": wanted.email, "full_name": wanted.full_name, "role": wanted.role.value}
    adding = insert(Profile).values(id=user_id, **values).on_conflict_do_nothing()
    if await session.scalar(adding.returning(Profile.id)) is None:
        raise Conflict(f"Somebody with the e-mail {wanted.email} is there already.")
    person = await session.get_one(Profile, user_id)
    _note(session, by, "user.created", person, (None, person.role), email=person.email, role=person.role)
    return person


async def new_link(session: AsyncSession, person: Profile, by: UUID | None) -> tuple[str, datetime]:
    """A token that logs the person in once, and until when. Raises Conflict for somebody who is disabled."""
    if person.disabled_at is not None:
        raise Conflict(f"{person.email} is disabled. Enable the account first.")
    token = await identity.new_link(session, person.id, INVITATION_LASTS, by=by)
    return token, datetime.now(UTC) + INVITATION_LASTS


async def update(session: AsyncSession, person: Profile, wanted: UserUpdate, by: UUID | None) -> Profile:
    """What is given. Raises Conflict when nobody would be left to administer."""
    if wanted.role is not None:
        await set_role(session, person, wanted.role, by)
    if wanted.disabled is not None:
        await (disable if wanted.disabled else enable)(session, person, by)
    return person


async def set_role(session: AsyncSession, person: Profile, role: Role, by: UUID | None) -> None:
    """Raises Conflict when nobody would be left to administer."""
    if person.role == role:
        return
    await _keep_an_admin(session, person, by)
    before, person.role = person.role, role.value
    await session.flush()
    _note(session, by, "user.role_changed", person, (before, person.role))


async def disable(session: AsyncSession, person: Profile, by: UUID | None) -> None:
    """Keep the person out, at once and by every door; what is theirs stays. Raises Conflict for the last admin."""
    if person.disabled_at is not None:
        return
    await _keep_an_admin(session, person, by)
    person.disabled_at = datetime.now(UTC)
    await session.execute(delete(LoginSession).filter_by(user_id=person.id))
    await session.execute(delete(LoginLink).filter_by(user_id=person.id))
    await session.flush()
    _note(session, by, "user.disabled", person, ("enabled", "disabled"))


async def enable(session: AsyncSession, person: Profile, by: UUID | None) -> None:
    """Let the person in again."""
    if person.disabled_at is not None:
        person.disabled_at = None
        await session.flush()
        _note(session, by, "user.enabled", person, ("disabled", "enabled"))


async def remove(session: AsyncSession, person: Profile, by: UUID | None) -> None:
    """The person, and all projects with what was gathered. Raises Conflict for the last admin, or while jobs run."""
    await _keep_an_admin(session, person, by)
    busy = exists().where(CrawlJob.project_id == Project.id, Project.user_id == person.id, CrawlJob.status.in_(_OPEN))
    if await session.scalar(select(busy)):
        raise Conflict(f"Jobs of {person.email} are under way. Cancel them first, or wait.")
    _note(session, by, "user.deleted", person, (person.role, None), email=person.email)
    await session.flush()
    await session.delete(person)
    await session.flush()


def _note(
    session: AsyncSession, by: UUID | None, action: str, person: Profile, change: tuple[Any, Any], **metadata: Any
) -> None:
    note(session, by, action, person, change, **metadata, **({"by": "command line"} if by is None else {}))


async def _keep_an_admin(session: AsyncSession, person: Profile, by: UUID | None) -> None:
    """Admins do not shut themselves out, and one stays. The rows are locked, so that two do not remove each other."""
    if person.id == by:
        raise Conflict("That is you. Another admin has to do it.")
    if person.role != Role.ADMIN or person.disabled_at is not None:
        return
    able = select(Profile.id).where(Profile.role == Role.ADMIN.value, Profile.disabled_at.is_(None))
    admins = set(await session.scalars(able.order_by(Profile.id).with_for_update()))
    if not admins - {person.id, LOCAL_OWNER}:
        raise Conflict(f"{person.email} is the last admin. Make somebody else one first.")
