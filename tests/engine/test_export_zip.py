"""The zip export: exact bytes, papers that agree, names that are safe, and nothing left behind when it fails."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import re
import subprocess
import tracemalloc
import unicodedata
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gleanset.errors import ExportError, StoreError
from gleanset.export import export, form_of
from gleanset.export.base import METADATA_FIELDS, Entry, Packed, file_name, folder_name
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.disk import small_disk
from tests.engine.exporting import ABOUT, PAPERS, pack, silent, stored, stream

HOSTILE = [
    'quotes " and "" and \' and ,;\t', "line\nfeed", "carriage\rreturn", "both\r\n", "\n", "\r", " around ",
    "=cmd|'/C calc'!A0", "+1+1", "-2", "@SUM(A1)", "emoji 🐈‍⬛ and ä ё 漢字 \u202e rtl",
    "separators \u2028 \u2029 \x85 \x0b \x0c \x1c",
    "</script><script>alert(1)</script>", "| table | `code` ---", "\ufeffbom", "\\N", "null", "", "#", "a" * 10_000,
]  # fmt: skip


def beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "blobs"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "cats.zip"


LICENSED = {
    "pdq": "0f" * 32,
    "source": "openverse",
    "source_page": "https://example.org/page",
    "title": "A cat",
    "creator": "Ann",
    "creator_url": "https://example.org/ann",
    "licence": Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "attribution": '"A cat" by Ann, CC BY 4.0',
    "fetched_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "metadata": {"tags": ["cat"], "nested": {"ä": None}},
}


async def mixed(store: Store) -> list[Entry]:
    blobs = [bytes([n]) * (n * 100 + 1) for n in range(30)]
    plain = await stored(store, blobs)
    labels = ["cat", "Dog", "../../x", "Größe 漢字", "🐈"]
    return [replace(e, label=labels[n % 5], **(LICENSED if n % 2 else {})) for n, e in enumerate(plain)]


async def test_other_programs_read_it(store: Store, target: Path, tmp_path: Path) -> None:
    entries = await mixed(store)
    packed = await pack(entries, store, target)
    with zipfile.ZipFile(target) as archive:
        manifest = hashlib.sha256(archive.read("MANIFEST.sha256")).hexdigest()
    assert packed == Packed(target, 30, target.stat().st_size, manifest)
    assert beside(target) == ["cats.zip"]

    tested = subprocess.run(["unzip", "-t", str(target)], capture_output=True, text=True, check=True)
    assert "No errors detected" in tested.stdout
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        archive.extractall(unpacked)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "MANIFEST.sha256"],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stderr == ""
    assert len(checked.stdout.splitlines()) == 30 + len(PAPERS) - 1

    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert inside == PAPERS | {file_name(made) for made in entries}
    for made in entries:
        assert (unpacked / file_name(made)).read_bytes() == await store.get(made.key)
    listed = {line.split("  ", 1)[1] for line in (unpacked / "MANIFEST.sha256").read_text("utf-8").splitlines()}
    assert listed == inside - {"MANIFEST.sha256"}


async def test_the_same_entries_give_the_same_bytes(
    store: Store, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = await mixed(store)
    await pack(entries, store, target)
    again = target.with_name("again.zip")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    await asyncio.sleep(0.01)
    await pack(entries, store, again)
    assert again.read_bytes() == target.read_bytes()


def rows(target: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """metadata.jsonl and metadata.csv as their ordinary readers see them."""
    with zipfile.ZipFile(target) as archive:
        lines = archive.read("metadata.jsonl").decode().split("\n")
        assert lines.pop() == ""
        text = archive.read("metadata.csv").decode()
    return [json.loads(line) for line in lines], list(csv.DictReader(StringIO(text, newline="")))


async def test_both_papers_say_the_same_of_hostile_text(store: Store, target: Path) -> None:
    (plain,) = await stored(store, [b"one"])
    free = ("title", "creator", "creator_url", "attribution", "source", "source_page", "original_url")
    entries = [
        replace(plain, label=f"label {n}", metadata={text: [text, {"deep": text}]}, **dict.fromkeys(free, text))
        for n, text in enumerate(HOSTILE)
    ] + [replace(plain, **LICENSED)]
    await pack(entries, store, target)
    as_json, as_csv = rows(target)
    assert len(as_json) == len(as_csv) == len(entries)
    for made, row, line in zip(entries, as_json, as_csv, strict=True):
        assert list(row) == [*METADATA_FIELDS, "metadata"] == list(line)
        assert {name: row[name] for name in free} == {name: getattr(made, name) for name in free}
        assert row["label"] == made.label
        assert row["file_name"] == file_name(made)
        assert row["metadata"] == made.metadata == json.loads(line["metadata"])
        assert {k: "" if v is None else str(v) for k, v in row.items() if k != "metadata"} == {
            k: v for k, v in line.items() if k != "metadata"
        }
    assert as_json[-1]["licence"] == "by"
    assert as_json[-1]["licence_version"] == "4.0"
    assert as_json[-1]["fetched_at"] == "2026-01-02T03:04:05+00:00"
    assert as_json[0]["licence"] is None


async def test_the_card_keeps_hostile_names_in_their_place(store: Store, target: Path) -> None:
    (plain,) = await stored(store, [b"one"])
    hostile = "x\n---\n# Injected | a | `b` <script>"
    about = replace(ABOUT, name=hostile, keywords=[hostile], failures={hostile: 1}, invalid={})
    entries = [replace(plain, label=hostile, source=hostile, licence=Licence(hostile)), replace(plain, **LICENSED)]
    await export(form_of("zip"), stream(entries), store, target, about, silent)
    with zipfile.ZipFile(target) as archive:
        card = archive.read("README.md").decode()
    head, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert f"pretty_name: {json.dumps(hostile)}" in head.splitlines()
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        r"# x --- # Injected \| a \| \`b\` \<script\>"
    ]
    assert not re.search(r"(?<!\\)<script", re.sub("(?m)^Keywords: `[^`]*`$", "", text))  # code spans stay code
    assert "| CC BY 4.0 | 1 |" in text
    assert "2 images" in text
    for row in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3


async def test_the_same_image_twice_is_one_file_and_two_rows(store: Store, target: Path) -> None:
    (one,) = await stored(store, [b"one"])
    packed = await pack(
        [one, replace(one, original_url="https://example.org/b.png"), replace(one, label="dog")], store, target
    )
    assert packed.images == 3
    with zipfile.ZipFile(target) as archive:
        names = [name for name in archive.namelist() if name.startswith("images/")]
    assert names == [f"images/cat/{one.sha256}.png", f"images/dog/{one.sha256}.png"]
    assert [row["original_url"][-5:] for row in rows(target)[0]] == ["a.png", "b.png", "a.png"]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["cat", "golden retriever", "żółw", "漢字", "a-b_c", "cat-2", "7"])
def test_a_safe_label_keeps_its_name(label: str) -> None:
    assert folder_name(label) == label


UNSAFE = [
    "", ".", "..", "../../x", "/etc/passwd", "C:\\x", "a/b", "a\\b", "CON", "con", "Nul", "aux", "com1", "LPT9", "com¹",
    "a.", "a..", "a ", " a", "a\x00b", "a\nb", "a:b", "a*?", 'a"b', "<a>", "a|b", "🐈", "Cat", "CAT", "e\u0301",
    "é" * 300,
    "a" * 61, "ſ", "ος", "~", "_", "__", "\u202e", "\u200b", "con.txt", "cat.", "%2e%2e", "$HOME", "`id`", "größe",
    f"cat-{hashlib.sha256(b'Cat').hexdigest()[:8]}",
]  # fmt: skip


def on_other_systems(name: str) -> str:
    """What a file system that folds case and Unicode forms (Windows, macOS) takes the name for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name.casefold()).casefold())


def check_safe(name: str) -> None:
    assert re.fullmatch(r"[\w \-]+", name), name
    assert name == name.strip()
    assert len(name.encode()) <= 255
    assert name.split(".")[0] not in {"con", "prn", "aux", "nul", "com1", "com¹", "lpt9"}


@pytest.mark.parametrize("label", UNSAFE)
def test_an_unsafe_label_gets_a_safe_name(label: str) -> None:
    check_safe(folder_name(label))
    assert folder_name(label) != label


labels = st.text(max_size=80) | st.sampled_from(UNSAFE) | st.text("aAbB-_. \u0301", max_size=4)


@settings(deadline=None)
@given(labels, labels)
@example("Cat", f"cat-{hashlib.sha256(b'Cat').hexdigest()[:8]}")
@example("ſ", "s")
@example("ος", "οσ")
@example("e\u0301", "é")
def test_two_labels_never_share_a_folder(one: str, other: str) -> None:
    for label in (one, other):
        check_safe(folder_name(label))
    if one != other:
        assert on_other_systems(folder_name(one)) != on_other_systems(folder_name(other))


async def test_hostile_labels_unpack_inside_the_folder(store: Store, target: Path, tmp_path: Path) -> None:
    (plain,) = await stored(store, [b"one"])
    await pack([replace(plain, label=label) for label in UNSAFE], store, target)
    unpacked = tmp_path / "unpacked"
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-q", str(target), "-d", str(unpacked)], check=True, env=environment, capture_output=True)
    assert len(list((unpacked / "images").iterdir())) == len(UNSAFE)
    assert beside(unpacked) == ["blobs", "out", "unpacked"]
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=unpacked, check=True)


# --- failures --------------------------------------------------------------------------------------------------------


async def test_nothing_to_pack(store: Store, target: Path) -> None:
    with pytest.raises(ExportError, match="no valid image"):
        await pack([], store, target)
    assert beside(target) == []


async def test_a_damaged_blob(store: Store, target: Path) -> None:
    entries = await stored(store, [b"one", b"two", b"three"])
    await store.put(entries[1].key, b"tw0")
    with pytest.raises(ExportError, match=f"{entries[1].key} is damaged"):
        await pack(entries, store, target)
    assert beside(target) == []


@pytest.mark.parametrize("gone", [0, 5, 29])
async def test_a_missing_blob(store: Store, target: Path, gone: int) -> None:
    entries = await stored(store, [b"%d" % n for n in range(30)])
    await store.delete([entries[gone].key])
    with pytest.raises(StoreError, match="cannot be read"):
        await pack(entries, store, target)
    assert beside(target) == []


async def test_what_is_there_already_is_left_alone(store: Store, target: Path) -> None:
    target.write_bytes(b"somebody's work")
    with pytest.raises(ExportError, match="exists"):
        await pack(await stored(store, [b"one"]), store, target)
    assert target.read_bytes() == b"somebody's work"


async def test_a_folder_that_is_not_there(store: Store, target: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        await pack(await stored(store, [b"one"]), store, target.parent / "no" / "cats.zip")


async def test_an_error_of_the_entries_passes_through(store: Store, target: Path) -> None:
    (one,) = await stored(store, [b"one"])

    async def breaking(_: int) -> AsyncIterator[Entry]:
        yield one
        raise LookupError("the database is gone")

    with pytest.raises(LookupError):
        await export(form_of("zip"), breaking, store, target, ABOUT, silent)
    assert beside(target) == []


async def test_progress_tells_and_may_stop(store: Store, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gleanset.export.packing._TELL", 0)
    entries = await stored(store, [b"%d" % n for n in range(300)])
    told: list[int] = []

    async def listen(images: int) -> None:
        told.append(images)

    await pack(entries, store, target, listen)
    assert told == [256, 300]

    class StoppedError(Exception):
        pass

    async def stop(images: int) -> None:
        raise StoppedError(images)

    with pytest.raises(StoppedError, match="256"):
        await pack(entries, store, target.with_name("other.zip"), stop)
    assert beside(target) == ["cats.zip"]


async def test_cancelled_half_way_leaves_nothing(store: Store, target: Path) -> None:
    entries = await stored(store, [bytes([n]) * 200_000 for n in range(50)])
    for after in (1, 10, 40):
        reached = asyncio.Event()

        async def signalling(_: int, after: int = after, reached: asyncio.Event = reached) -> AsyncIterator[Entry]:
            for n, item in enumerate(entries):
                if n == after:
                    reached.set()
                yield item

        packing = asyncio.ensure_future(export(form_of("zip"), signalling, store, target, ABOUT, silent))
        await reached.wait()
        packing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await packing
        assert beside(target) == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await pack(entries, store, target)).images == 50


async def test_cancelled_while_an_image_is_being_written(store: Store, target: Path) -> None:
    """A thread is amid a large image then, and the files must not be closed under it."""
    entries = await stored(store, [bytes([n]) * 16_000_000 for n in range(6)])
    for pause in (0.005, 0.01, 0.02, 0.04):
        under_way = asyncio.Event()

        async def signalling(_: int, under_way: asyncio.Event = under_way) -> AsyncIterator[Entry]:
            for item in entries:
                yield item
            under_way.set()

        packing = asyncio.ensure_future(export(form_of("zip"), signalling, store, target, ABOUT, silent))
        await under_way.wait()
        await asyncio.sleep(pause)
        packing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await packing
        assert beside(target) == []


async def test_a_full_disk_is_one_sentence_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    entries = await stored(store, [bytes([n]) * 200_000 for n in range(20)])
    with small_disk(tmp_path / "small"):
        target = tmp_path / "small" / "cats.zip"
        with pytest.raises(ExportError, match=r"^The export cannot be written to [^\n]*small: [^\n]+\.$"):
            await pack(entries, store, target)
        assert beside(target) == []


async def test_memory_does_not_grow_with_the_dataset(store: Store, target: Path) -> None:
    """2,000 entries of 100 kB are 200 MB; what is held is the blobs read ahead."""
    blobs = [bytes([n]) * 100_000 for n in range(40)]
    entries = await stored(store, blobs)
    many = [replace(entries[n % 40], label=f"label {n // 40}") for n in range(2000)]
    tracemalloc.start()
    try:
        packed = await pack(many, store, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert packed.images == 2000
    assert packed.file_size > 200_000_000
    assert peak < 60_000_000, f"{peak:,} bytes"
