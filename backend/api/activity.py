"""Who did what: own doings, those that concern what one may see, and everybody's for moderators."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from backend.errors import BadInput
from backend.http.access import Reader
from backend.http.paging import Cursor, Limit, Page, paged
from backend.http.service import Session
from backend.schemas.activity import ActivityLogResponse
from backend.schemas.base import RowId
from backend.services import activity

router = APIRouter(prefix="/activity", tags=["activity"])


@router.get("")
async def list_activity(
    session: Session,
    actor: Reader,
    user_id: Annotated[UUID | None, Query(description="Only what this person did; others' is for moderators.")] = None,
    action: Annotated[
        str | None, Query(pattern=r"^[a-z_.]{1,50}$", description="Only actions that begin so: `crawl_job.`")
    ] = None,
    resource_type: Annotated[
        str | None, Query(pattern=r"^[a-z_]{1,50}$", description="With `resource_id`: only what was done to this.")
    ] = None,
    resource_id: Annotated[RowId | None, Query(description="Its number.")] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="Only from then on.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Only what was done before.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ActivityLogResponse]:
    """The newest first: what you did, and what was done to yours, by workers and admins too. Moderators read all.

    Each entry tells in `metadata_` the state before (`from`) and after (`to`); what nobody did has `by`, as `worker`.
    """
    if (resource_type is None) != (resource_id is None):
        missing = "resource_type" if resource_type is None else "resource_id"
        raise BadInput("Give resource_type and resource_id together.", field=f"query.{missing}")
    resource = (resource_type, resource_id) if resource_type and resource_id else None
    query, entry = await activity.entries(
        session, actor, user_id=user_id, action=action, resource=resource, since=since, until=until
    )
    return await paged(session, query, entry.id, cursor, limit)
