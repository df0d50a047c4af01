"""Erasing blobs while others record the same bytes: what has an image stays, what has none is noted before it goes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from backend.services import chunks, erasing, takedowns
from gleanset.store import Store
from gleanset.types import ResizedFile
from tests.services.helpers import Place, downloaded


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


async def test_what_is_being_recorded_is_spared(place: Place, store: Store) -> None:
    mine, nobodys = downloaded("mine"), downloaded("nobody's")
    for each in (mine, nobodys):
        await store.put(each.key, b"bytes")
    _, [chunk] = await place.started()
    held = await place.claim(chunk)
    async with place.database.transaction() as session:
        outcomes, _ = await takedowns.sift(session, [mine])
        assert await erasing.lost(session, store, outcomes) == []
        erased = asyncio.create_task(erasing.erase_unused(place.database, store, [mine.key, nobodys.key]))
        await asyncio.sleep(0.3)
        assert not erased.done(), "it has to wait for who records"
        await chunks.record(session, held, outcomes, None, exhausted=False, storage_url=store.url)
    await erased
    assert [await store.length(each.key) for each in (mine, nobodys)] == [5, None]


async def test_who_records_what_was_erased_meanwhile_is_told(place: Place, store: Store) -> None:
    gone, again, other = downloaded("gone"), downloaded("again"), downloaded("other")
    copy = ResizedFile(width=64, height=48, file_size=5, sha256=downloaded("copy").inspection.sha256)
    with_copy = replace(downloaded("with copy"), resized=copy)
    keys = [key for each in (gone, again, other, with_copy) for key in erasing.blobs_of(each).values()]
    for key in keys:
        await store.put(key, b"bytes")
    await erasing.erase_unused(place.database, store, [key for key in keys if key != other.key])
    await store.put(again.key, b"bytes")
    async with place.database.transaction() as session:
        outcomes, _ = await takedowns.sift(session, [gone, again, other, with_copy])
        assert await erasing.lost(session, store, outcomes) == [gone, with_copy]
