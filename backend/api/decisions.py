"""Decisions: what a person keeps or rejects, whatever the rules say."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from backend.http.access import Reader, Writer
from backend.http.paging import Cursor, Limit, Page, paged
from backend.http.service import Session
from backend.models import Decision, Project
from backend.schemas.decisions import Decided, DecisionCreate, DecisionUndo
from backend.schemas.images import DecisionResponse
from backend.services import decisions
from backend.services.access import owned, seen

router = APIRouter(prefix="/projects/{project_id}/decisions", tags=["decisions"])


@router.get("")
async def list_decisions(
    session: Session, actor: Reader, project_id: int, cursor: Cursor = None, limit: Limit = 50
) -> Page[DecisionResponse]:
    """The latest first."""
    project = await seen(session, actor, Project, project_id)
    return await paged(session, select(Decision).filter_by(project_id=project.id), Decision.id, cursor, limit)


@router.post("")
async def decide(session: Session, actor: Writer, project_id: int, body: DecisionCreate) -> Decided:
    """Keep or reject. The decision is about the bytes: it holds in all jobs of the project, and in those to come."""
    project = await owned(session, actor, Project, project_id)
    return await decisions.decide(session, project, body.image_ids, body.choice, why=body.note, user_id=actor.user_id)


@router.delete("")
async def undo_decisions(session: Session, actor: Writer, project_id: int, body: DecisionUndo) -> Decided:
    """Forget what was decided about these images; the rules count again."""
    project = await owned(session, actor, Project, project_id)
    return await decisions.undo(session, project, body.image_ids, user_id=actor.user_id)
