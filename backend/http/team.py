"""What administering people asks of the request: whether there is a team, and at which address it finds us."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import Conflict
from backend.http.service import Service
from backend.schemas.accounts import LinkResponse
from backend.services import people


def only_in_a_team(service: Service) -> None:
    """Raises Conflict in local mode."""
    if service.settings.accounts != "team":
        raise Conflict("This Gleanset has one owner. For several people start it with GLEANSET_ACCOUNTS=team.")


async def link_of(request: Request, session: AsyncSession, by: UUID, user_id: UUID) -> LinkResponse:
    """A new link, at the address under which the request came."""
    token, until = await people.new_link(session, await people.found(session, user_id), by)
    return LinkResponse(url=str(request.url_for("show_link", token=token)), expires_at=until)
