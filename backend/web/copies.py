"""The choice of one image for a group of copies, or about one of them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.errors import BadInput
from backend.http.access import Writer
from backend.http.paging import Id
from backend.http.service import Session
from backend.models import CrawlJob, Project
from backend.models.enums import Choice
from backend.schemas.decisions import DecisionUndo
from backend.services import copies, decisions
from backend.services.access import owned
from backend.web.forms import checked, fields_of
from backend.web.render import go

router = APIRouter(prefix="/jobs/{job_id}/copies")


@router.post("/{image_id}")
async def choose(request: Request, session: Session, actor: Writer, job_id: Id, image_id: Id) -> Response:
    """`keep` one of the group that the image stands for and reject the others; or only `reject` one, or `undo` it."""
    job = await owned(session, actor, CrawlJob, job_id)
    fields = await fields_of(request)
    action = next((name for name in ("keep", "reject", "undo") if name in fields), None)
    wanted, _ = checked(DecisionUndo, {"image_ids": [fields[action]] if action else []})
    message = "Choose one of the copies first."
    if action and wanted:
        message = await _done(session, job, image_id, action, wanted.image_ids[0], actor.user_id)
    place = fields.get("place", "")
    page = f"?place={place}" if place.isdecimal() and len(place) < 7 else ""
    return go(f"/jobs/{job_id}/validation{page}#copies", message)


async def _done(session: Session, job: CrawlJob, original: int, action: str, image_id: int, user_id: UUID) -> str:
    if action == "keep":
        try:
            rejected = await copies.keep_one(session, job, original, image_id, user_id=user_id)
        except BadInput as gone:
            return str(gone)
        return f"Image {image_id} is kept, {rejected} {'copy' if rejected == 1 else 'copies'} rejected."
    project = await session.get_one(Project, job.project_id)
    if action == "reject":
        await decisions.decide(session, project, [image_id], Choice.REJECT, user_id=user_id)
        return f"Image {image_id} is rejected."
    await decisions.undo(session, project, [image_id], user_id=user_id)
    return f"What was decided about image {image_id} is undone."
