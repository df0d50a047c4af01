"""Pictures at hand: folders and archives, honest and hostile, with and without a table beside them."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from gleanset.errors import FetchFailed, ImageRefused, OutcomeError, SourceError
from gleanset.sources import directory, open_source
from gleanset.sources.folder import Folder, plan
from gleanset.types import Candidate, Licence, Query, Reason
from tests.engine.sources.reading import assert_resumable, candidates, read

Files = dict[str, bytes]
MOST = 1_000_000
FILES: Files = {
    "top.jpg": b"top",
    "cat/1.jpg": b"cat one",
    "cat/2.png": b"cat two",
    "cat/kittens/ü 3%#?.webp": b"cat three",
    "cat.jpg": b"beside its folder",
    "dog/without suffix": b"dog",
    "dog/nested.zip": b"PK",
}
LEFT_OUT: Files = {
    ".hidden.jpg": b"x",
    "cat/.DS_Store": b"x",
    ".git/objects/1.jpg": b"x",
    "__MACOSX/cat/1.jpg": b"x",
    "cat/Thumbs.db": b"x",
    "README.md": b"x",
    "cat/labels.CSV": b"x",
}


def make_folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def make_zip(path: Path, files: Files) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Files, mode: str = "w", prefix: str = "") -> Path:
    path = path.with_suffix(".tar")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


MAKERS: dict[str, Callable[[Path, Files], Path]] = {
    "folder": make_folder,
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda path, files: make_tar(path, files, "w:gz", "./"),
    "tar.xz": lambda path, files: make_tar(path, files, "w:xz"),
    "tar.bz2": lambda path, files: make_tar(path, files, "w:bz2"),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[Path, Files], Path]:
    return MAKERS[request.param]


async def had(query: Query, wanted: list[Candidate], max_bytes: int = MOST) -> list[bytes | Reason]:
    """What comes of reading the candidates one after the other."""
    got: list[bytes | Reason] = []
    async with Folder().reading(query, max_bytes) as read_one:
        for candidate in wanted:
            try:
                got.append(await read_one(candidate))
            except OutcomeError as error:
                got.append(error.reason)
    return got


async def all_of(query: Query) -> list[Candidate]:
    return candidates(await read(Folder(), query))


async def test_every_file_once_with_its_bytes(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    path = make(tmp_path / "pets ü", FILES | LEFT_OUT)
    query = plan(path)
    query = Query(source="folder", label=query.label, options=json.loads(json.dumps(dict(query.options))))
    assert query.options["count"] == len(FILES)
    found = await all_of(query)
    base = path.as_uri() + ("/" if path.is_dir() else "#")
    assert {one.url for one in found} == {base + quote(name) for name in FILES}
    by_url = {base + quote(name): name for name in FILES}
    names = [by_url[one.url] for one in found]
    if path.suffix != ".tar":
        assert [name.split("/") for name in names] == sorted(name.split("/") for name in FILES) or path.suffix == ".zip"
    assert {by_url[one.url]: one.label for one in found} == {
        name: name.split("/")[0] if "/" in name else "unlabelled" for name in FILES
    }
    assert {(one.source, one.licence, one.attribution) for one in found} == {("folder", None, None)}
    assert await had(query, found) == [FILES[name] for name in names]
    assert await had(query, found[::-1]) == [FILES[name] for name in names[::-1]], "in whatever order"
    for page_files in (1, 2, 3, 50):
        await assert_resumable(Folder(page_files), query)


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_a_large_folder_is_walked_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(directory, "_AT_ONCE", at_once)
    files = {f"{folder}/{n:02d}.jpg": b"x" for folder in ("a", "b", "c") for n in range(7)}
    query = plan(make_folder(tmp_path / "f", files))
    assert [one.url.rpartition("/f/")[2] for one in await all_of(query)] == sorted(files)
    await assert_resumable(Folder(2), query)


async def test_a_folder_of_many_files_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_AT_ONCE", 2_000)
    (tmp_path / "many").mkdir()
    for n in range(20_000):
        os.mknod(tmp_path / "many" / f"{n:06d}.jpg")
    query = plan(tmp_path / "many")
    count = 0
    tracemalloc.start()
    async for page in Folder().pages(query, None):
        count += len(page.candidates)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == query.options["count"] == 20_000
    assert peak < 2 * 2**20


async def test_links_pipes_and_names_that_are_no_text(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    root = make_folder(tmp_path / "root", {"cat/1.jpg": b"one", "dog/2.jpg": b"two"})
    (root / "cat" / "link.jpg").symlink_to(secret)
    (root / "cat" / "loop").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "dog" / "pipe.jpg")
    (root / os.fsdecode(b"cat/caf\xe9.jpg")).write_bytes(b"latin")
    query = plan(root)
    found = await all_of(query)
    assert [one.url.rpartition("/root/")[2] for one in found] == ["cat/1.jpg", "cat/caf%E9.jpg", "dog/2.jpg"]
    await assert_resumable(Folder(1), query)
    (root / "cat" / "1.jpg").unlink()
    (root / "cat" / "1.jpg").symlink_to(secret)
    (root / "dog" / "2.jpg").unlink()
    os.mkfifo(root / "dog" / "2.jpg")
    assert await had(query, found) == [Reason.UNREADABLE, b"latin", Reason.UNREADABLE], "they have changed meanwhile"
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert plan(linked).options["count"] == 1, "the root is what the person named"


async def test_sizes(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    path = make(tmp_path / "sizes", {"1.jpg": b"", "2.jpg": b"x" * 1000, "3.jpg": b"x" * 1001, "4.jpg": b"y"})
    query = plan(path)
    assert await had(query, await all_of(query), 1000) == [Reason.EMPTY, b"x" * 1000, Reason.TOO_LARGE, b"y"]


UNSAFE = ["../up.jpg", "/etc/abs.jpg", "a/../../b.jpg", "C:\\x.jpg", "..\\y.jpg", "a/.."]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
async def test_names_that_lead_out_of_an_archive(tmp_path: Path, kind: str) -> None:
    query = plan(MAKERS[kind](tmp_path / "evil", dict.fromkeys([*UNSAFE, "good/1.jpg"], b"x")))
    found = await all_of(query)
    results = dict(zip([one.url.rpartition("#")[2] for one in found], await had(query, found), strict=True))
    assert results == {quote(name): Reason.UNSAFE_PATH for name in UNSAFE} | {"good/1.jpg": b"x"}
    assert all(one.url.startswith(tmp_path.as_uri()) for one in found)


async def test_entries_of_other_kinds_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ):
            entry = tarfile.TarInfo(f"kind{kind.decode()}.jpg")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        entry = tarfile.TarInfo("real.jpg")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"real"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
            info = zipfile.ZipInfo(f"kind{kind}.jpg")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        archive.writestr("folder/", "")
        archive.writestr("real.jpg", "real")
    for name in ("a.tar", "a.zip"):
        query = plan(tmp_path / name)
        assert await had(query, await all_of(query)) == [b"real"]


async def test_an_entry_that_unfolds_too_far(tmp_path: Path) -> None:
    query = plan(make_zip(tmp_path / "z", {"bomb.jpg": bytes(5_000_000), "good.jpg": os.urandom(5_000_000)}))
    [bomb, good] = await had(query, await all_of(query), 10_000_000)
    assert bomb is Reason.TOO_LARGE
    assert len(bytes(good)) == 5_000_000


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2"])
def test_an_archive_that_unfolds_too_far(tmp_path: Path, kind: str) -> None:
    files = {f"{n}.jpg": bytes(30_000_000) for n in range(10)}
    with pytest.raises(SourceError, match="more than 200 times its size: that is no archive of pictures but a trap"):
        plan(MAKERS[kind](tmp_path / "bomb", files))


def test_a_zip_that_lies_about_its_list_of_entries(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "z", {"1.jpg": b"x"})
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\5\6")
    content[end:end] = bytes(70_000_000)
    struct.pack_into("<L", content, len(content) - 10, 70_000_000)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="too many entries for a zip archive; unpack it"):
        plan(path)


async def test_a_tar_with_a_huge_header_or_a_size_of_exabytes(tmp_path: Path) -> None:
    for name, kind, size in (("pax", tarfile.XHDTYPE, 2**33), ("file", tarfile.REGTYPE, 2**60)):
        entry = tarfile.TarInfo("1.jpg")
        entry.type, entry.size = kind, size
        content = entry.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)
        (tmp_path / f"{name}.tar").write_bytes(content)
        (tmp_path / f"{name}.tar.gz").write_bytes(gzip.compress(content))
        for path in (tmp_path / f"{name}.tar", tmp_path / f"{name}.tar.gz"):
            with pytest.raises(SourceError, match=rf"^{path} cannot be read: [^\n]+\.$"):
                plan(path)


async def test_damaged_and_encrypted_entries(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "z", {"1.jpg": b"a" * 500, "2.jpg": b"b" * 500, "3.jpg": b"c" * 500})
    content = bytearray(path.read_bytes())
    content[content.find(b"1.jpg") + 6] ^= 0xFF  # its bytes
    for header, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = content.find(
            header, content.find(b"2.jpg") - (30 if offset == 6 else 0) if offset == 6 else content.rfind(b"2.jpg") - 46
        )
        content[place + offset] |= 1  # encrypted
    path.write_bytes(content)
    query = plan(path)
    assert await had(query, await all_of(query)) == [Reason.UNREADABLE, Reason.UNREADABLE, b"c" * 500]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_a_cut_archive(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](tmp_path / "cut", {f"{n}.jpg": os.urandom(3000) for n in range(20)})
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(SourceError, match=rf"^{path} cannot be read: [^\n]+\.$"):
        plan(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone", None, "cannot be read: No such file"),
        ("list.txt", b"https://x", "is neither a folder nor a zip or tar archive"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd\0\0", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"url\n" * 500, mtime=0), "cannot be read"),
        ("a.zip", b"PK\3\4 and no more", "cannot be read"),
        ("empty", b"", "is neither"),
    ],
)
def test_what_is_no_folder(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=sentence) as caught:
        plan(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_picture(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    with pytest.raises(SourceError, match="holds no file that may be a picture"):
        plan(make(tmp_path / "none", LEFT_OUT))


def test_folders_in_folders_without_end(tmp_path: Path) -> None:
    (tmp_path / "/".join("d" * 70)).mkdir(parents=True)
    with pytest.raises(SourceError, match="nested more than 64 deep"):
        plan(tmp_path)


async def test_an_archive_that_changed_after_planning(tmp_path: Path) -> None:
    query = plan(make_zip(tmp_path / "z", {"1.jpg": b"x"}))
    make_zip(tmp_path / "z", {"1.jpg": b"x", "2.jpg": b"x"})
    with pytest.raises(SourceError, match="has changed since the job was planned"):
        await all_of(query)
    with pytest.raises(SourceError, match="must be planned"):
        await all_of(Query(source="folder", label="x"))


ROW = {
    "file_name": "cat/1.jpg", "label": "Tom's", "width": 5, "height": 5, "file_size": 7, "format": "jpeg",
    "sha256": "ab", "pdq": None, "source": "openverse", "source_page": "https://m.example/1",
    "original_url": "https://m.example/1.jpg", "title": "Tom", "creator": "Ada", "creator_url": None,
    "licence": "by-sa", "licence_version": "4.0", "licence_url": "https://creativecommons.org/licenses/by-sa/4.0/",
    "attribution": "Tom by Ada", "fetched_at": "2026-01-01T00:00:00+00:00", "metadata": {"camera": "Box"},
}  # fmt: skip


@pytest.mark.parametrize("table", ["metadata.jsonl", "metadata.csv"])
async def test_a_table_beside_the_pictures_tells_where_they_are_from(
    tmp_path: Path, make: Callable[[Path, Files], Path], table: str
) -> None:
    if table == "metadata.jsonl":
        text = json.dumps(ROW) + "\n" + json.dumps({"file_name": "../../etc/passwd", "licence": ["x"]})
    else:
        cells = [json.dumps(v) if isinstance(v, dict) else "" if v is None else str(v) for v in ROW.values()]
        text = ",".join(ROW) + "\n" + ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"
    path = make(tmp_path / "set", {"cat/1.jpg": b"one", "cat/2.jpg": b"two", table: text.encode()})
    first, second = await all_of(plan(path))
    assert (first.label, first.page_url, first.title, first.creator, first.attribution) == (
        "Tom's", "https://m.example/1", "Tom", "Ada", "Tom by Ada",
    )  # fmt: skip
    assert first.licence == Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/")
    assert first.metadata == {"camera": "Box", "source": "openverse", "original_url": "https://m.example/1.jpg"}
    assert (second.label, second.licence, second.metadata) == ("cat", None, {})
    given, other = await all_of(plan(path, label="pet"))
    assert {given.label, other.label} == {"pet"}


def test_a_table_that_is_broken(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    path = make(tmp_path / "set", {"1.jpg": b"x", "metadata.jsonl": b'{"file_name": "1.jpg"}\n{"file_name"\n'})
    with pytest.raises(SourceError, match=rf"^The table of the pictures in {path} line 2 is not valid JSON"):
        plan(path)


async def test_the_source_has_its_own_reader() -> None:
    from gleanset.sources import Reader

    source = open_source("folder", None)  # type: ignore[arg-type]
    assert isinstance(source, Reader)
    assert not isinstance(open_source("urls", None), Reader)  # type: ignore[arg-type]


async def test_errors_are_of_the_right_kind(tmp_path: Path) -> None:
    query = plan(make_folder(tmp_path / "f", {"1.jpg": b"x", "2.jpg": b""}))
    one, two = await all_of(query)
    (tmp_path / "f" / "1.jpg").unlink()
    async with Folder().reading(query, 10) as read_one:
        with pytest.raises(FetchFailed, match="No such file"):
            await read_one(one)
        with pytest.raises(ImageRefused):
            await read_one(two)
