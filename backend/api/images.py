"""Images: found, looked at, compared, and their files."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from backend.http.access import Reader
from backend.http.files import FILE_HEADERS, blob_answer, not_modified
from backend.http.paging import Page, decode_cursor, encode_cursor
from backend.http.problems import Problem
from backend.http.service import CurrentService, Session, release
from backend.models import CrawlJob, Image
from backend.schemas.images import ImageDetail, ImageItem, ImageQuery, Neighbours, Statistics
from backend.services import statistics
from backend.services.access import seen
from backend.services.image_detail import detail, stored_key
from backend.services.neighbours import neighbours
from backend.services.search import page_as_json
from gleanset.store import EXTENSIONS

router = APIRouter(tags=["images"])

_ALL = ImageQuery()
_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"image/*": {}}},
    206: {"description": "The part of the file that Range asks for."},
    304: {"description": "The file is the one that If-None-Match names."},
    416: {"model": Problem, "description": "The file has no such part."},
}


@router.get("/crawl-jobs/{crawl_job_id}/images", response_model=Page[ImageItem])
async def list_images(
    session: Session, actor: Reader, crawl_job_id: int, query: Annotated[ImageQuery, Query()] = _ALL
) -> Response:
    """In the order in which they were met. A page may be short, even empty, though `next` says that there is more: what
    no index answers is looked for among some thousand images at a time."""
    job = await seen(session, actor, CrawlJob, crawl_job_id)
    after = decode_cursor(query.cursor) if query.cursor else 0
    items, more = await page_as_json(session, job, query, after, query.limit)
    cursor = json.dumps(None if more is None else encode_cursor(more))
    return Response(f'{{"items":{items},"next":{cursor}}}', media_type="application/json")


@router.get("/crawl-jobs/{crawl_job_id}/statistics")
async def show_statistics(session: Session, actor: Reader, crawl_job_id: int) -> Statistics:
    """Counts and histograms of what was downloaded."""
    return await statistics.statistics(session, await seen(session, actor, CrawlJob, crawl_job_id))


@router.get("/images/{image_id}")
async def show_image(session: Session, actor: Reader, image_id: int) -> ImageDetail:
    """One image, with every verdict on it and what was decided."""
    return await detail(session, await seen(session, actor, Image, image_id))


@router.get("/images/{image_id}/neighbours")
async def show_neighbours(
    session: Session,
    actor: Reader,
    image_id: int,
    within: Annotated[int, Query(ge=0, le=128, description="Most bits of 256 that may differ.")] = 64,
    limit: Annotated[int, Query(ge=1, le=100)] = 12,
) -> Neighbours:
    """Images of the same job that look alike, the nearest first, those of the same bytes before all."""
    return await neighbours(session, await seen(session, actor, Image, image_id), within=within, limit=limit)


async def _key(session: Session, actor: Reader, image_id: int) -> str:
    """Nothing else is asked of the database, and the store and the decoder may take long: no connection waits."""
    key = stored_key(await seen(session, actor, Image, image_id))
    await release(session)
    return key


StoredKey = Annotated[str, Depends(_key)]


@router.get("/images/{image_id}/file", responses=_FILES, response_class=Response)
async def image_file(service: CurrentService, request: Request, key: StoredKey) -> Response:
    """The bytes as they were gathered, or the resized copy when only that was kept."""
    name, extension = key[3:].split(".")
    return await blob_answer(request, service.store, key, f'"{name}"', f"image/{_FORMATS[extension]}")


@router.get("/images/{image_id}/thumbnail", responses=_FILES, response_class=Response)
async def image_thumbnail(service: CurrentService, request: Request, key: StoredKey) -> Response:
    """A JPEG of at most 320 pixels, upright."""
    etag = f'"{key[3:].split(".")[0]}-thumbnail"'
    unchanged = not_modified(request, etag)
    if unchanged is not None:
        return unchanged
    return Response(await service.thumbnails.get(key), 200, FILE_HEADERS | {"ETag": etag}, "image/jpeg")
