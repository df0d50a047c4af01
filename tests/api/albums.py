"""Jobs with real pictures in the store, recorded as a crawl records them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from PIL import Image as Pillow
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlChunk, Decision, Image, Project, ValidationJob
from backend.schemas.plans import CrawlPlan
from backend.services import chunks, crawl_jobs, validation
from gleanset.inspect import inspect
from gleanset.store import Store, blob_key
from gleanset.types import Candidate, Downloaded, Failed, Licence, Outcome, Query, Reason
from tests.engine.pictures import PHOTOS, encode, photo
from tests.services.helpers import NOW
from tests.serving import Served


@cache
def picture(name: str = "china", width: int = 320, variant: str = "jpeg") -> bytes:
    """A photograph of so many pixels' width."""
    image = photo(name)
    return encode(image.resize((width, width * image.height // image.width), Pillow.Resampling.LANCZOS), variant)


def pictures(count: int) -> list[bytes]:
    """Different photographs, cut differently when they are used up."""
    names = list(PHOTOS)
    return [picture(names[n % len(names)], 320 + 16 * (n // len(names))) for n in range(count)]


@dataclass(frozen=True)
class Gathered:
    """A finished job and the ids of its images, in the order in which they were given."""

    served: Served
    user_id: UUID
    project_id: int
    job_id: int
    images: list[int]

    def validate(self, **rules: Any) -> int:
        """The number of a validation that is through."""

        async def create(session: AsyncSession) -> int:
            job = await crawl_jobs.finished(session, self.job_id)
            made = await validation.create(session, job, rules, user_id=self.user_id)
            return made.id

        number = self.served.run(create)
        self.served.do(validation.judge(self.served.database, number))
        return number

    def decided(self) -> dict[int, str]:
        """What the database has of decisions, by the image's place."""

        async def look(session: AsyncSession) -> dict[int, str]:
            query = select(Image.id, Decision.choice).join(Decision, Decision.sha256 == Image.sha256)
            mine = (Image.crawl_job_id == self.job_id, Decision.project_id == self.project_id)
            return {self.images.index(number): choice for number, choice in await session.execute(query.where(*mine))}

        return self.served.run(look)

    def row(self, kind: type[Any], key: Any) -> Any:
        return self.served.run(lambda session: session.get_one(kind, key))


def gathered(
    served: Served, user_id: UUID, files: Sequence[bytes], *, project_id: int | None = None, fields: Any = None
) -> Gathered:
    """A finished job over these files and one URL that was not found. `fields(n)`: of the n-th candidate."""
    store = Store(served.settings.store_place)
    outcomes: list[Outcome] = [_downloaded(store, data, n, fields(n) if fields else {}) for n, data in enumerate(files)]
    lost = Candidate(url="https://example.org/lost.jpg", label="cat", source="openverse")
    outcomes.append(Failed(candidate=lost, reason=Reason.NOT_FOUND, detail="HTTP 404", fetched_at=NOW))

    async def project(session: AsyncSession) -> int:
        made = Project(name="Pictures", user_id=user_id)
        session.add(made)
        await session.flush()
        return made.id

    async def record(session: AsyncSession) -> int:
        owner = await session.get_one(Project, project_id or new_project)
        job = await crawl_jobs.create(session, owner, "A job", ["cat"], CrawlPlan(), 100_000, user_id=owner.user_id)
        await crawl_jobs.start(session, job.id, [Query(source="openverse", label="cat", keyword="cat")], user_id=None)
        chunk = (await session.scalars(select(CrawlChunk).filter_by(crawl_job_id=job.id))).one()
        held = await chunks.claim(session, job.id, chunk.id)
        assert held is not None
        await chunks.record(session, held, outcomes, None, exhausted=True, storage_url=store.url)
        await chunks.end(session, held)
        return job.id

    new_project = served.run(project) if project_id is None else 0
    job_id = served.run(record)

    async def ids(session: AsyncSession) -> list[int]:
        query = select(Image.id).filter_by(crawl_job_id=job_id, outcome="downloaded").order_by(Image.id)
        return list(await session.scalars(query))

    return Gathered(served, user_id, project_id or new_project, job_id, served.run(ids))


def _downloaded(store: Store, data: bytes, number: int, fields: Any) -> Downloaded:
    inspection = inspect(data)
    key = blob_key(inspection.sha256, inspection.format)
    store.put_now(key, data)
    given: dict[str, Any] = {
        "url": f"https://example.org/{number}.jpg",
        "label": "cat",
        "source": "openverse",
        "title": f"Picture {number}",
        "creator": "Ann",
        "licence": Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    }
    return Downloaded(
        candidate=Candidate(**(given | fields)),
        inspection=inspection,
        key=key,
        crc32=zlib.crc32(data),
        final_url=f"https://cdn.example/{number}.jpg",
        fetched_at=NOW,
    )


def latest_validation(served: Served, job_id: int) -> ValidationJob:
    async def find(session: AsyncSession) -> ValidationJob:
        query = select(ValidationJob).filter_by(crawl_job_id=job_id).order_by(ValidationJob.id.desc()).limit(1)
        return (await session.scalars(query)).one()

    return served.run(find)
