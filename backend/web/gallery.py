"""The images of a job to look through, keep and reject, and one image with everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from backend.errors import BadInput
from backend.http.access import Moderator, Reader, Writer
from backend.http.paging import Cursor, Id, decode_cursor, encode_cursor
from backend.http.service import CurrentService, Session, release
from backend.models import CrawlJob, Image, Profile, Project
from backend.models.enums import Choice, JobStatus, Role
from backend.schemas.decisions import Decided, DecisionUndo, Note
from backend.schemas.images import ImageDetail, ImageFilter, ImageItem, Neighbour
from backend.services import decisions, takedowns
from backend.services.access import owned, seen
from backend.services.image_detail import detail
from backend.services.neighbours import neighbours
from backend.services.search import beside
from backend.services.search import page as images_page
from backend.web.forms import checked, chosen_of, fields_of
from backend.web.narrowing import Narrowing, narrowing
from backend.web.render import go, page
from gleanset.types import Reason

router = APIRouter()
_ON_A_PAGE = 60
_BROWSERS_SHOW = frozenset({"jpeg", "png", "webp", "gif", "avif", "bmp"})
_DONE = {"keep": "kept", "reject": "rejected", "undo": "undone"}


class _Decision(DecisionUndo):
    note: Note | None = None


class _Takedown(BaseModel):
    note: Note | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryPage:
    """`values` and `errors` are those of the filters, `query` the filters as an address has them."""

    job_id: int
    job_name: str
    project_id: int
    project_name: str
    changeable: bool
    crawling: bool
    items: Sequence[ImageItem]
    next: str | None
    query: str
    values: Mapping[str, str]
    errors: Mapping[str, str]
    offered: Narrowing


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """`decider` is who decided; `shown` whether a browser can show the file itself; `before` and `after` in the job."""

    image: ImageDetail
    job_name: str
    project_name: str
    changeable: bool
    decider: str | None
    shown: bool
    before: int | None
    after: int | None
    neighbours: Sequence[Neighbour]
    may_take_down: bool


@router.get("/jobs/{job_id}/images")
async def show_gallery(
    request: Request, session: Session, actor: Reader, job_id: Id, cursor: Cursor = None
) -> Response:
    """Without a script too: pages by a link, and boxes to tick."""
    job = await seen(session, actor, CrawlJob, job_id)
    project = await session.get_one(Project, job.project_id)
    given = {name: value for name, value in request.query_params.items() if value and name in ImageFilter.model_fields}
    wanted, errors = checked(ImageFilter, given)
    after = decode_cursor(cursor) if cursor else 0
    asked = wanted or ImageFilter()
    items, more = await images_page(session, job, asked, after, _ON_A_PAGE)
    context = GalleryPage(
        job_id=job.id,
        job_name=job.name,
        project_id=project.id,
        project_name=project.name,
        changeable=actor.may_change(project.user_id),
        crawling=job.status in (JobStatus.PENDING, JobStatus.RUNNING),
        items=items,
        next=None if more is None else encode_cursor(more),
        query=urlencode(given),
        values=given,
        errors=errors,
        offered=await narrowing(session, job, given),
    )
    return page(request, "gallery.html", context, 422 if errors else 200)


@router.post("/jobs/{job_id}/images")
async def decide_in_gallery(request: Request, session: Session, actor: Writer, job_id: Id) -> Response:
    """Keep, reject or undo what is ticked."""
    job = await owned(session, actor, CrawlJob, job_id)
    project = await session.get_one(Project, job.project_id)
    fields = await fields_of(request)
    place = {name: fields[name] for name in ("query", "cursor") if fields.get(name)}
    query = "&".join([place.get("query", ""), urlencode({"cursor": place["cursor"]}) if "cursor" in place else ""])
    message = await _decide(request, session, project, actor.user_id)
    return go(f"/jobs/{job.id}/images?{query.strip('&')}", message)


@router.get("/images/{image_id}")
async def show_image(request: Request, session: Session, actor: Reader, image_id: Id) -> Response:
    """Measures, provenance, licence, verdicts, what was decided, and what looks alike."""
    image = await seen(session, actor, Image, image_id)
    job = await session.get_one(CrawlJob, image.crawl_job_id)
    project = await session.get_one(Project, job.project_id)
    found = await detail(session, image)
    before, after = await beside(session, image)
    decider = found.decision and found.decision.user_id and await session.get(Profile, found.decision.user_id)
    context = ImagePage(
        image=found,
        job_name=job.name,
        project_name=project.name,
        changeable=actor.may_change(project.user_id) and found.sha256 is not None,
        decider=(decider.full_name or decider.email) if decider else None,
        shown=found.format in _BROWSERS_SHOW,
        before=before,
        after=after,
        neighbours=(await neighbours(session, image)).items,
        may_take_down=actor.is_at_least(Role.MODERATOR) and image.reason != Reason.TAKEN_DOWN.value,
    )
    return page(request, "image.html", context)


@router.post("/images/{image_id}")
async def decide_on_image(request: Request, session: Session, actor: Writer, image_id: Id) -> Response:
    """Keep, reject or undo, with the reason why."""
    image = await owned(session, actor, Image, image_id)
    job = await session.get_one(CrawlJob, image.crawl_job_id)
    project = await session.get_one(Project, job.project_id)
    message = await _decide(request, session, project, actor.user_id)
    return go(f"/images/{image.id}", message)


@router.post("/images/{image_id}/takedown")
async def take_down(
    request: Request, service: CurrentService, request_session: Session, actor: Moderator, image_id: Id
) -> Response:
    """Remove it everywhere, in all projects, and refuse it from now on."""
    image = await seen(request_session, actor, Image, image_id)
    fields = await fields_of(request)
    url, digest = (None, image.sha256) if image.sha256 else (image.original_url, None)
    wanted, errors = checked(_Takedown, {"note": fields.get("note") or None})
    if wanted is None or fields.get("sure") != "yes":
        return go(f"/images/{image_id}", f"Nothing was taken down: {errors.get('note', 'tick the box first.')}")
    await release(request_session)
    done = await takedowns.remove(
        service.database, service.store, url=url, sha256=digest, why=wanted.note, user_id=actor.user_id
    )
    exports = f"{done.exports} {'export' if done.exports == 1 else 'exports'}"
    return go(f"/images/{image_id}", f"Taken down, and refused from now on. It was in {exports}.")


async def _decide(request: Request, session: Session, project: Project, user_id: Any) -> str:
    fields = await fields_of(request)
    given = {"image_ids": await chosen_of(request, "image_ids"), "note": fields.get("note") or None}
    if not given["image_ids"]:
        return "Tick the images first, then keep or reject them."
    wanted, errors = checked(_Decision, given)
    choice = fields.get("choice", "")
    if wanted is None or choice not in _DONE:
        raise BadInput(next(iter(errors.values()), "Choose keep, reject or undo."))
    if choice == "undo":
        done: Decided = await decisions.undo(session, project, wanted.image_ids, user_id=user_id)
    else:
        kind = Choice(choice)
        done = await decisions.decide(session, project, wanted.image_ids, kind, why=wanted.note, user_id=user_id)
    return f"{done.pictures} {'picture' if done.pictures == 1 else 'pictures'} {_DONE[choice]}."
