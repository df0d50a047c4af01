"""The images of an older job as a source: what a refresh visits again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select

from backend.db import Database
from backend.models import Image
from backend.models.enums import ImageOutcome
from backend.services.refreshes import KNOWN
from gleanset.types import Candidate, Inspection, Known, Licence, Page, Query, ResizedFile

_PAGE = 200
_MEASURES = (
    "format", "width", "height", "file_size", "pdq", "pdq_quality", "brightness", "contrast", "sharpness", "entropy",
    "uniformity", "colour", "border", "orientation", "animated", "alpha",
)  # fmt: skip


class KnownSource:
    """Reads the range of downloads that a query of `refreshes.known_images` names. A cursor is the last id before."""

    name = KNOWN

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        job, upto = int(query.options["crawl_job_id"]), int(query.options["upto"])
        after = int(query.options["after"] if cursor is None else cursor)
        images = select(Image).where(Image.crawl_job_id == job, Image.outcome == ImageOutcome.DOWNLOADED.value)
        while True:
            async with self._database.transaction() as session:
                page = images.where(Image.id > after, Image.id <= upto).order_by(Image.id).limit(_PAGE)
                found = (await session.scalars(page)).all()
            ended = len(found) < _PAGE or found[-1].id >= upto
            after = found[-1].id if found else upto
            yield Page(tuple(_candidate(image) for image in found), None if ended else str(after))
            if ended:
                return


def _candidate(image: Image) -> Candidate:
    return Candidate(
        url=image.original_url,
        label=image.label or "unlabelled",
        source=image.source or KNOWN,
        keyword=image.keyword,
        page_url=image.page_url,
        title=image.title,
        creator=image.creator,
        creator_url=image.creator_url,
        licence=Licence(image.licence, image.licence_version, image.licence_url) if image.licence else None,
        attribution=image.attribution,
        metadata=image.metadata_ or {},
        known=_known(image),
    )


def _known(image: Image) -> Known | None:
    """What the row remembers; None where a measure is missing, as in rows that no crawl wrote."""
    measures: dict[str, Any] = {name: getattr(image, name) for name in _MEASURES}
    if image.sha256 is None or image.filename is None or None in measures.values():
        return None
    return Known(
        inspection=Inspection(**measures, sha256=image.sha256.hex()),
        key=f"{image.filename[:2]}/{image.filename}",
        crc32=image.crc32,
        resized=_resized(image),
        final_url=image.final_url or image.original_url,
        etag=image.etag,
        last_modified=image.last_modified,
    )


def _resized(image: Image) -> ResizedFile | None:
    width, height, size = image.resized_width, image.resized_height, image.resized_size
    if image.resized_sha256 is None or width is None or height is None or size is None:
        return None
    return ResizedFile(width=width, height=height, file_size=size, sha256=image.resized_sha256.hex())
