"""A killed export goes on where it was whole at last, and ends with the bytes of one that ran through."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gleanset.export import FORMATS, Entry, Options, Packed, Workspace, form_of, pack
from gleanset.export.verify import is_export
from gleanset.store import Store
from tests.engine.exporting import ABOUT, silent, stored, stream

IMAGES = 60
KILLS = (1, 9, 10, 11, 35, 59)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints every few images."""
    monkeypatch.setattr("gleanset.export.packing._CHECKPOINT_IMAGES", 7)
    monkeypatch.setattr("gleanset.export.images._COPIED", 3)
    monkeypatch.setattr("gleanset.export.images._READ", 3)
    monkeypatch.setattr("gleanset.export.packing._AHEAD", 2)


class KilledError(Exception):
    pass


def jpeg(number: int) -> bytes:
    """A small picture like no other."""
    file = BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (30, 40 + number, 3), np.uint8)
    Image.fromarray(noise).save(file, "jpeg", quality=30)
    return file.getvalue()


async def dataset(store: Store) -> list[Entry]:
    """Pictures of two labels in three splits; some of them twice."""
    pictures = await stored(store, [jpeg(n) for n in range(IMAGES - 10)], "jpeg")
    many = sorted([*pictures, *pictures[:10]], key=lambda entry: entry.sha256)
    splits = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    return [
        replace(entry, label=["cat", "Dog"][n % 2], position=n + 1, split=split)
        for n, (entry, split) in enumerate(zip(many, splits, strict=True))
    ]


async def attempt(name: str, entries: list[Entry], store: Store, folder: Path, kill_at: int | None = None) -> Packed:
    async def after(position: int) -> AsyncIterator[Entry]:
        for entry in entries[position:]:
            if entry.position == kill_at:
                raise KilledError
            yield entry

    place = Workspace(folder, "the same")
    try:
        return await pack(form_of(name), after, store, place, ABOUT, silent, Options(max_shard_bytes=9_000))
    finally:
        place.close()


def content(packed: Packed) -> dict[str, str]:
    """Path and SHA-256 of every file."""
    files = sorted(packed.path.rglob("*")) if packed.path.is_dir() else [packed.path]
    return {
        str(file.relative_to(packed.path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


@pytest.mark.parametrize("name", FORMATS)
async def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    whole = await attempt(name, entries, store, tmp_path / "through")
    begun: list[int] = []
    for kill_at in KILLS:
        with pytest.raises(KilledError):
            await attempt(name, entries, store, tmp_path / "killed", kill_at)
        place = Workspace(tmp_path / "killed", "the same")
        begun.append(place.state.get("images", 0))
        place.close()
        for grown in (tmp_path / "killed").iterdir():  # what a kill leaves behind the checkpoint
            if grown.is_file() and grown.name not in ("checkpoint.json", "lock"):
                with grown.open("ab") as file:
                    file.write(b"half a row")
    assert begun == sorted(begun)
    assert begun[-1] >= 40
    packed = await attempt(name, entries, store, tmp_path / "killed")
    assert content(packed) == content(whole)
    assert replace(packed, path=whole.path) == whole


async def test_what_is_done_is_not_read_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    with pytest.raises(KilledError):
        await attempt("tar", entries, store, tmp_path / "work", 40)
    shutil.rmtree(tmp_path / "blobs" / entries[0].key[:2])
    place = Workspace(tmp_path / "work", "the same")
    position = place.state["position"]
    place.close()
    assert 20 <= position < 40
    assert all(entry.key[:2] > entries[0].key[:2] for entry in entries[position:])  # they are sorted by hash
    assert (await attempt("tar", entries, store, tmp_path / "work")).images == IMAGES


async def test_another_export_begins_anew(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    with pytest.raises(KilledError):
        await attempt("zip", entries, store, tmp_path / "work", 40)
    place = Workspace(tmp_path / "work", "something else")
    assert place.state == {}
    assert [path.name for path in place.folder.iterdir()] == ["lock"]
    place.close()


async def test_a_lost_end_of_a_file_begins_anew(tmp_path: Path) -> None:
    """As after a power cut on a disk that had promised more than it kept."""
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    with pytest.raises(KilledError):
        await attempt("zip", entries, store, tmp_path / "work", 40)
    with (tmp_path / "work" / "dataset").open("r+b") as file:
        file.truncate(100)
    assert (await attempt("zip", entries, store, tmp_path / "work")).images == IMAGES


async def test_a_machine_that_was_started_again_begins_anew(tmp_path: Path) -> None:
    """What it had in memory is lost: the files may be as long as noted, with zeros in them."""
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    with pytest.raises(KilledError):
        await attempt("zip", entries, store, tmp_path / "work", 40)
    note, archive = (tmp_path / "work" / name for name in ("checkpoint.json", "dataset"))
    note.write_text(json.dumps({**json.loads(note.read_text()), "start": "of another day"}))
    archive.write_bytes(bytes(archive.stat().st_size))
    packed = await attempt("zip", entries, store, tmp_path / "work")
    assert packed.images == IMAGES
    assert is_export(str(packed.path), packed.sha256)


async def test_another_dataset_is_not_that_export(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    packed = await attempt("zip", entries, store, tmp_path / "work")
    assert not is_export(str(packed.path), "0" * 64)
    assert not is_export(str(tmp_path / "nothing"), packed.sha256)
    whole = packed.path.read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1000])
    assert not is_export(str(tmp_path / "cut"), packed.sha256)
    changed = bytearray(whole)
    changed[5000] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    assert not is_export(str(tmp_path / "changed"), packed.sha256)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "work")
    with pytest.raises(BlockingIOError):
        Workspace(tmp_path / "work")
    place.close()
    Workspace(tmp_path / "work").remove()
    assert not (tmp_path / "work").exists()


async def test_the_plain_stream_is_numbered(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    entries = await stored(store, [b"one", b"two"])
    assert [entry.position async for entry in stream(entries)(1)] == [2]


async def test_killed_while_the_papers_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are in the archive already, and are needed again."""
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)

    def killed(_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("gleanset.export.zip.Zip.finish", killed)
        with pytest.raises(KilledError):
            await attempt("zip", entries, store, tmp_path / "killed")
    place = Workspace(tmp_path / "killed", "the same")
    assert place.state["images"] == 56
    place.close()
    whole = await attempt("zip", entries, store, tmp_path / "through")
    assert content(await attempt("zip", entries, store, tmp_path / "killed")) == content(whole)


@pytest.mark.parametrize("inside", ["zip", "tar.gz", "folder"])
@pytest.mark.parametrize("kill_at", [0, 3, 17])
async def test_killed_while_shards_wait_for_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str, kill_at: int
) -> None:
    """Parquet goes into the container at the end, shard by shard, and from each of them on it can be gone on with."""
    monkeypatch.setattr("gleanset.export.parquet._AT_ONCE", 1)
    monkeypatch.setattr("gleanset.export.packing._TELL", 1e9)  # one word of progress for each shard that is placed
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    told: list[int] = []

    async def packed(folder: Path, kill_at: int | None = None) -> Packed:
        async def progress(_: int) -> None:
            told.append(_)
            if len(told) == kill_at:
                raise KilledError

        place = Workspace(folder, "the same")
        try:
            form = form_of("parquet", inside)
            options = Options(max_shard_bytes=9_000)
            return await pack(form, stream(entries), store, place, ABOUT, progress, options)
        finally:
            place.close()

    whole = await packed(tmp_path / "through")
    shards = len(told)
    assert shards == 18
    assert not list((tmp_path / "through").glob("*.parquet")), "none stays beside the container"
    told.clear()
    with pytest.raises(KilledError):
        await packed(tmp_path / "killed", 1 + kill_at)
    place = Workspace(tmp_path / "killed", "the same")
    assert (place.state["images"], place.state["layout"]["packed"]) == (IMAGES, 1 + kill_at)
    place.close()
    for left in (tmp_path / "killed").glob("*.parquet"):
        with left.open("ab") as file:
            file.write(b"half a directory")
    told.clear()
    again = await packed(tmp_path / "killed")
    assert content(again) == content(whole)
    assert len(told) == shards - 1 - kill_at


@pytest.mark.parametrize("told", [1, 10, 18, 19])
@pytest.mark.parametrize("raised", [asyncio.CancelledError, KilledError])
async def test_who_is_told_of_progress_may_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int, raised: type[BaseException]
) -> None:
    """A worker that is to stop gives the export back by a cancellation, however few batches are left."""
    monkeypatch.setattr("gleanset.export.packing._TELL", 0)
    store = Store(str(tmp_path / "blobs"))
    entries = await dataset(store)
    times = 0

    async def progress(_: int) -> None:
        nonlocal times
        times += 1
        if times == told:
            raise raised

    place = Workspace(tmp_path / "place", "the same")
    with pytest.raises(raised):
        await asyncio.wait_for(pack(form_of("tar"), stream(entries), store, place, ABOUT, progress), 20)
    place.close()
    assert times == told
