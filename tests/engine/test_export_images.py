"""Images on their way into an export: nobody else has to wait for them."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gleanset.decoders import AHEAD, Decoders
from gleanset.errors import ExportError
from gleanset.export import Options, Resize, export, form_of
from gleanset.export.images import Images
from gleanset.store import Store
from tests.engine.decoding import crash
from tests.engine.exporting import ABOUT, silent, stored, stream
from tests.engine.pictures import encode, photo


class _Slow(Store):
    """One that is not on this disk, and takes its time."""

    def get_now(self, key: str) -> bytes:
        time.sleep(0.1)
        return super().get_now(key)


class _Layout:
    packs_images = wants_bytes = True


async def test_an_export_that_is_given_up_is_not_waited_for(tmp_path: Path) -> None:
    store = _Slow("memory:///")
    assert store.folder is None
    entries = await stored(store, [b"%d" % n for n in range(64)])
    images = Images(store, _Layout(), None, None)  # pyright: ignore[reportArgumentType]
    reading = asyncio.create_task(images.ready(entries))
    await asyncio.sleep(0.15)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    began = time.monotonic()
    images.close()
    assert time.monotonic() - began < 1, "64 images take 6 s"


async def test_others_have_their_turn_beside_a_resized_export(tmp_path: Path) -> None:
    picture = encode(photo("china"), "jpeg")
    store = Store(str(tmp_path / "blobs"))
    entries = await stored(store, [picture + b"%d" % n for n in range(300)], "jpeg")
    options = Options(resize=Resize(mode="shorter", width=16, height=16))
    with closing(Decoders(1)) as decoders:
        target = tmp_path / "out.tar"
        packing = asyncio.create_task(
            export(form_of("tar"), stream(entries), store, target, ABOUT, silent, options, decoders)
        )
        most = 0
        while not packing.done():
            most = max(most, len(decoders._waiting) + sum(len(each.items) for each in decoders._decoders))  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        assert (await packing).images == 300
    assert 0 < most <= AHEAD


async def test_a_picture_over_which_decoders_crash_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "blobs"))
    picture = encode(photo("china"), "jpeg")
    entries = await stored(store, [picture + b"%d" % n for n in range(5)], "jpeg")
    guilty = entries[3].sha256
    monkeypatch.setattr("gleanset.export.images.Smaller", lambda *given: _Crashing(guilty, *given))
    options = Options(resize=Resize(mode="shorter", width=16, height=16))
    with pytest.raises(ExportError, match=f"{guilty}.jpg cannot be resized. The decoder crashed over it"):
        await export(form_of("tar"), stream(entries), store, tmp_path / "out.tar", ABOUT, silent, options)


class _Crashing:
    """Work over which a process crashes when one of the pictures is in it."""

    def __init__(self, guilty: str, *given: object) -> None:
        self.guilty, self.given = guilty, given

    def __call__(self, body: bytes) -> object:
        from gleanset.copying import Smaller

        work = Smaller(*self.given)  # pyright: ignore[reportArgumentType]
        if any(self.guilty in key for key, *_ in work.sizes):
            crash(b"deadly")
        return work(body)
