"""People who may work here, for admins."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator

from backend.http.access import Admin, Allow
from backend.http.paging import Cursor, Limit, Page, paged_by_text
from backend.http.service import CurrentService, Session
from backend.http.team import link_of, only_in_a_team
from backend.models.enums import Role, Scope
from backend.schemas.accounts import LinkResponse, NewUserResponse, UserCreate, UserResponse, UserUpdate
from backend.schemas.base import storable
from backend.services import people

router = APIRouter(prefix="/users", tags=["administration"])

admins = Allow(Scope.ADMIN, Role.ADMIN)
Search = Annotated[str | None, Query(max_length=255, description="Part of the e-mail."), AfterValidator(storable)]


@router.get("", dependencies=[Depends(admins)])
async def list_users(
    session: Session, search: Search = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[UserResponse]:
    """By e-mail."""
    return await paged_by_text(session, people.matching(search), people.BY_EMAIL, cursor, limit)


@router.post("", status_code=201)
async def invite_user(
    request: Request, service: CurrentService, session: Session, actor: Admin, body: UserCreate
) -> NewUserResponse:
    """Somebody new, and the link to send them: it logs in once and lets them choose a password."""
    only_in_a_team(service)
    person = await people.create(session, body, actor.user_id)
    shown = UserResponse.model_validate(person)
    return NewUserResponse(**shown.model_dump(), link=await link_of(request, session, actor.user_id, person.id))


@router.get("/{user_id}", dependencies=[Depends(admins)])
async def show_user(session: Session, user_id: UUID) -> UserResponse:
    """One person."""
    return UserResponse.model_validate(await people.found(session, user_id))


@router.patch("/{user_id}")
async def update_user(session: Session, actor: Admin, user_id: UUID, body: UserUpdate) -> UserResponse:
    """The role, or whether the account is disabled; what is left out stays."""
    person = await people.found(session, user_id)
    return UserResponse.model_validate(await people.update(session, person, body, actor.user_id))


@router.post("/{user_id}/link", status_code=201)
async def make_link(request: Request, session: Session, actor: Admin, user_id: UUID) -> LinkResponse:
    """For somebody who forgot the password: it logs in once, and lets them choose another."""
    return await link_of(request, session, actor.user_id, user_id)


@router.delete("/{user_id}", status_code=204)
async def delete_user(session: Session, actor: Admin, user_id: UUID) -> None:
    """The person, with all their projects and what was gathered."""
    await people.remove(session, await people.found(session, user_id), actor.user_id)
