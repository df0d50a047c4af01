"""Which bytes an export's attempts have sent, and what is taken down meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.models import ExportJob
from backend.schemas.exports import StoredOptions
from backend.services import deliveries, exports, profiles
from gleanset.export import Packed
from tests.services.helpers import Place
from tests.services.test_refreshes import finished


async def running(place: Place) -> ExportJob:
    crawl = await finished(place, [])
    async with place.database.transaction() as session:
        owner = await profiles.local_owner(session)
        made = await exports.create(session, crawl, owner.id, "zip", StoredOptions(out="s3://bucket/birds.zip"))
        job = await exports.begin(session, made.id)
    assert job is not None
    return job


def packed(of: str) -> Packed:
    return Packed(path=Path("birds.zip"), images=1, file_size=1, sha256=of * 32)


async def test_bytes_are_noted_when_no_others_are_there(place: Place) -> None:
    job = await running(place)

    async def begin(of: str) -> bool | None:
        async with place.database.transaction() as session:
            return await deliveries.begin(session, job.id, job.attempts, packed(of))

    async def bring(of: str) -> None:
        async with place.database.transaction() as session:
            assert await deliveries.bring(session, job.id, job.attempts, packed(of))

    assert await begin("aa") is False
    await bring("aa")
    assert await begin("aa") is True
    assert await begin("bb") is False
    assert await begin("bb") is False, "the one before was killed when some of the first bytes were there still"
    assert await begin("aa") is False
    await bring("aa")
    assert await begin("aa") is True


async def test_who_packs_or_sends_is_stopped_by_a_takedown(place: Place) -> None:
    job = await running(place)
    async with place.database.transaction() as session:
        (await session.get_one(ExportJob, job.id)).taken_down_images = 1
    number, attempt = job.id, job.attempts
    with pytest.raises(deliveries.TakenDown, match="taken down meanwhile"):
        async with place.database.transaction() as session:
            await exports.progress(session, number, attempt, 1)
    with pytest.raises(deliveries.TakenDown):
        async with place.database.transaction() as session:
            await deliveries.begin(session, number, attempt, packed("aa"))
    with pytest.raises(deliveries.TakenDown):
        async with place.database.transaction() as session:
            await deliveries.progress(session, number, attempt, 1)
    with pytest.raises(deliveries.TakenDown):
        async with place.database.transaction() as session:
            await exports.finish(session, number, attempt, packed("aa"), "file:///birds.zip", days=1)
