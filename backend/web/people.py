"""Who may work here, for admins: invited, given roles, kept out and let in again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import Conflict
from backend.http.access import Admin
from backend.http.paging import Cursor, paged_by_text
from backend.http.service import CurrentService, Service, Session
from backend.http.team import link_of, only_in_a_team
from backend.models.enums import Role
from backend.schemas.accounts import LinkResponse, UserCreate, UserUpdate
from backend.services import people
from backend.services.access import Actor
from backend.web.forms import checked, fields_of
from backend.web.render import go, page

router = APIRouter(prefix="/admin/users")
_ON_A_PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    id: UUID
    email: str
    name: str | None
    role: str
    disabled: bool
    me: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    email: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """`link`: the one that was just made; no other page shows it. `wrong`: what could not be done to somebody."""

    people: Sequence[PersonRow]
    next: str | None
    search: str
    team: bool
    roles: Sequence[str]
    link: NewLink | None
    wrong: str | None
    values: Mapping[str, str]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """What the last form came to."""

    status: int = 200
    link: NewLink | None = None
    wrong: str | None = None
    values: Mapping[str, str] | None = None
    errors: Mapping[str, str] | None = None


Search = Annotated[str, Query(max_length=255, pattern=r"^[^\x00]*$", description="Part of the e-mail.")]


@router.get("")
async def show_people(
    request: Request,
    service: CurrentService,
    session: Session,
    actor: Admin,
    search: Search = "",
    cursor: Cursor = None,
) -> Response:
    """By e-mail, and a form to invite somebody."""
    return await _page(request, service, session, actor, Said(), search=search, cursor=cursor)


@router.post("")
async def invite(request: Request, service: CurrentService, session: Session, actor: Admin) -> Response:
    """Somebody new, and the link to hand over; answered with the page itself, so that it is kept nowhere."""
    given = await fields_of(request)
    told = {name: given.get(name, "").strip() or None for name in ("email", "full_name", "role")}
    wanted, errors = checked(UserCreate, {name: value for name, value in told.items() if value is not None})
    if wanted is None:
        if told["email"] and "email" in errors:
            errors["email"] = "An e-mail address, please."
        return await _page(request, service, session, actor, Said(422, values=given, errors=errors))
    try:
        only_in_a_team(service)
        person = await people.create(session, wanted, actor.user_id)
    except Conflict as error:
        said = Said(error.status, values=given, errors={"email": str(error)})
        return await _page(request, service, session, actor, said)
    made = await link_of(request, session, actor.user_id, person.id)
    return await _with_link(request, service, session, actor, person.email, made)


@router.post("/{user_id}/role")
async def give_role(
    request: Request, service: CurrentService, session: Session, actor: Admin, user_id: UUID
) -> Response:
    """Another role."""
    given = await fields_of(request)
    return await _change(request, service, session, actor, user_id, {"role": given.get("role")})


@router.post("/{user_id}/status")
async def set_status(
    request: Request, service: CurrentService, session: Session, actor: Admin, user_id: UUID
) -> Response:
    """Keep somebody out, or let them in again."""
    given = await fields_of(request)
    return await _change(request, service, session, actor, user_id, {"disabled": given.get("disabled")})


@router.post("/{user_id}/link")
async def make_link(
    request: Request, service: CurrentService, session: Session, actor: Admin, user_id: UUID
) -> Response:
    """For somebody who forgot the password, or lost the first link."""
    person = await people.found(session, user_id)
    try:
        made = await link_of(request, session, actor.user_id, user_id)
    except Conflict as error:
        return await _page(request, service, session, actor, Said(error.status, wrong=str(error)))
    return await _with_link(request, service, session, actor, person.email, made)


@router.post("/{user_id}/remove")
async def remove(request: Request, service: CurrentService, session: Session, actor: Admin, user_id: UUID) -> Response:
    """The person, with all their projects and what was gathered."""
    person = await people.found(session, user_id)
    if (await fields_of(request)).get("sure") != "yes":
        return await _page(request, service, session, actor, Said(422, wrong="Nobody was removed: tick the box first."))
    try:
        await people.remove(session, person, actor.user_id)
    except Conflict as error:
        return await _page(request, service, session, actor, Said(error.status, wrong=str(error)))
    return go("/admin/users", f"{person.email} is removed, with all their projects.")


async def _change(
    request: Request,
    service: Service,
    session: AsyncSession,
    actor: Actor,
    user_id: UUID,
    change: Mapping[str, str | None],
) -> Response:
    person = await people.found(session, user_id)
    wanted, _ = checked(UserUpdate, change)
    if wanted is None or None in change.values():
        return await _page(request, service, session, actor, Said(422, wrong="Choose what is to be changed."))
    try:
        await people.update(session, person, wanted, actor.user_id)
    except Conflict as error:
        return await _page(request, service, session, actor, Said(error.status, wrong=str(error)))
    return go("/admin/users", f"{person.email} is {'disabled' if person.disabled_at else person.role} now.")


async def _with_link(
    request: Request, service: Service, session: AsyncSession, actor: Actor, email: str, made: LinkResponse
) -> Response:
    link = NewLink(email=email, url=made.url, expires_at=made.expires_at)
    answer = await _page(request, service, session, actor, Said(link=link))
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def _page(
    request: Request,
    service: Service,
    session: AsyncSession,
    actor: Actor,
    said: Said,
    *,
    search: str = "",
    cursor: str | None = None,
) -> Response:
    found = await paged_by_text(session, people.matching(search or None), people.BY_EMAIL, cursor, _ON_A_PAGE)
    rows = [
        PersonRow(
            id=each.id,
            email=each.email,
            name=each.full_name,
            role=each.role,
            disabled=each.disabled_at is not None,
            me=each.id == actor.user_id,
            created_at=each.created_at,
        )
        for each in found.items
    ]
    context = PeoplePage(
        people=rows,
        next=found.next,
        search=search,
        team=service.settings.accounts == "team",
        roles=[role.value for role in Role],
        link=said.link,
        wrong=said.wrong,
        values=said.values or {},
        errors=said.errors or {},
    )
    return page(request, "people.html", context, said.status)
