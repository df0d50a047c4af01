"""The tar exports, read by GNU tar, gzip and sha256sum as well as by Python."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gleanset.errors import ExportError
from gleanset.export import FORMATS, About, Entries, Entry, Packed, export, form_of
from gleanset.export.tar import tar_header
from gleanset.store import Store, blob_key
from tests.engine.exporting import PAPERS

ABOUT = About(
    name="Birds", keywords=["bird"], rules={}, failures={}, invalid={}, created=datetime(2026, 1, 2, tzinfo=UTC)
)
SIZES = st.one_of(st.integers(0, 2**40), st.sampled_from([8**11 - 1, 8**11]))
NAMES = st.one_of(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=120),
                  st.text("ab/.", min_size=95, max_size=105))  # fmt: skip
LABELS = ["bird", "Möwe", "a/b\\c:d", "x" * 150, "../../etc"]
TARS = [name for name in FORMATS if name.startswith("tar")]


@given(NAMES, SIZES)
def test_a_header_is_the_one_that_tarfile_writes(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert tar_header(name, size) == info.tobuf(tarfile.PAX_FORMAT, "utf-8")


async def silent(_: int) -> None:
    pass


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "blobs"))


async def entries(store: Store, blobs: Iterable[bytes]) -> list[Entry]:
    made: list[Entry] = []
    for number, data in enumerate(blobs):
        digest = hashlib.sha256(data).hexdigest()
        key = blob_key(digest, "png")
        await store.put(key, data)
        made.append(
            Entry(
                position=number + 1, key=key, sha256=digest,
                label=LABELS[number % len(LABELS)], format="png", width=1, height=1,
                file_size=len(data), original_url=f"https://example.org/{number}.png",
            )
        )  # fmt: skip
    return made


def stream(items: list[Entry]) -> Entries:
    async def after(position: int) -> AsyncIterator[Entry]:
        for item in items[position:]:
            yield item

    return after


async def packed(name: str, store: Store, items: list[Entry], target: Path) -> Packed:
    return await export(form_of(name), stream(items), store, target, ABOUT, silent)


@pytest.mark.parametrize("name", TARS)
async def test_gnu_tar_unpacks_what_the_manifest_lists(store: Store, tmp_path: Path, name: str) -> None:
    items = await entries(store, [bytes([n]) * (1 + 511 * n) for n in range(40)])
    target = tmp_path / f"birds.{name}"
    done = await packed(name, store, items, target)
    folder = tmp_path / "out"
    folder.mkdir()
    subprocess.run(["tar", "-xf", target, "-C", folder], check=True, capture_output=True)
    manifest = hashlib.sha256((folder / "MANIFEST.sha256").read_bytes()).hexdigest()
    assert done == Packed(target, 40, target.stat().st_size, manifest)
    checked = subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count(": OK") == 40 + len(PAPERS) - 1
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [item.label for item in items]
    for row, item in zip(rows, items, strict=True):
        assert hashlib.sha256((folder / row["file_name"]).read_bytes()).hexdigest() == item.sha256


@pytest.mark.parametrize("name", TARS)
async def test_the_same_entries_give_the_same_bytes(store: Store, tmp_path: Path, name: str) -> None:
    items = await entries(store, [b"one", b"two" * 1000])
    files = [tmp_path / f"{n}.{name}" for n in (1, 2)]
    for file in files:
        await packed(name, store, items, file)
    assert files[0].read_bytes() == files[1].read_bytes()


async def test_members_belong_to_nobody_and_stay_inside(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "birds.tar"
    await packed("tar", store, await entries(store, [bytes([n]) for n in range(5)]), target)
    with tarfile.open(target) as archive:
        members = archive.getmembers()
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in members} == {(0, 0, "", "", 0, 0o644)}
    assert all(m.isfile() and not m.name.startswith("/") and ".." not in m.name.split("/") for m in members)


async def test_a_tar_by_zstandard_is_whole_for_zstd(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "birds.tar.zst"
    await packed("tar.zst", store, await entries(store, [b"x" * 100_000]), target)
    subprocess.run(["zstd", "--test", "-q", target], check=True)


async def test_a_gzipped_tar_is_whole_for_gzip(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "birds.tar.gz"
    await packed("tar.gz", store, await entries(store, [b"x" * 100_000]), target)
    subprocess.run(["gzip", "--test", target], check=True)


@pytest.mark.parametrize("name", TARS)
async def test_a_damaged_image_leaves_no_file(store: Store, tmp_path: Path, name: str) -> None:
    items = await entries(store, [b"sound", b"damaged"])
    await store.put(items[1].key, b"something else")
    target = tmp_path / f"birds.{name}"
    with pytest.raises(ExportError, match="damaged"):
        await packed(name, store, items, target)
    assert not target.exists()
