"""One image with everything that is known of it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotFound
from backend.models import CrawlJob, Decision, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome
from backend.schemas.images import FILES, DecisionResponse, ImageDetail, ImageResponse, VerdictResponse
from gleanset.store import EXTENSIONS, blob_key, parse_key


async def detail(session: AsyncSession, image: Image) -> ImageDetail:
    """With its project, every verdict, the latest first, and what was decided about its bytes."""
    job = await session.get_one(CrawlJob, image.crawl_job_id)
    judgings = select(ValidationJob.id).where(ValidationJob.crawl_job_id == job.id)
    mine = (Verdict.validation_job_id.in_(judgings), Verdict.image_id == image.id)
    verdicts = select(Verdict).where(*mine).order_by(Verdict.validation_job_id.desc())
    decision = await session.get(Decision, (job.project_id, image.sha256)) if image.sha256 else None
    told = ImageResponse.model_validate(image).model_dump()
    told["storage_url"] = f"{FILES}{image.id}/file" if image.outcome == ImageOutcome.DOWNLOADED else None
    return ImageDetail(
        **told,
        project_id=job.project_id,
        verdicts=[VerdictResponse.model_validate(each) for each in await session.scalars(verdicts)],
        decision=None if decision is None else DecisionResponse.model_validate(decision),
    )


def stored_key(image: Image) -> str:
    """Where in the store the image's file lies. Raises NotFound when it has none."""
    key = f"{image.filename[:2]}/{image.filename}" if image.filename else ""
    if parse_key(key) is not None:
        return key
    if image.outcome == ImageOutcome.DOWNLOADED and image.sha256 is not None and image.format in EXTENSIONS:
        return blob_key(image.sha256.hex(), image.format)
    raise NotFound(f"Image {image.id} has no file: it is {image.outcome}{f', {image.reason}' * bool(image.reason)}.")
