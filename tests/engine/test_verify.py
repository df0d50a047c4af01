"""Checking an export against its manifest: nothing that is wrong with one passes, and nothing hostile does harm."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gleanset.errors import NotAnExport
from gleanset.export.paper_names import MANIFEST
from gleanset.export.reading import Part, open_package
from gleanset.export.verify import MOST_LISTED, Verified, verify
from gleanset.store import Store
from tests.engine.packages import KINDS, Files, files_of, liar, manifest, member, package


def verified(path: str) -> Verified:
    return verify(open_package(path))


def found(result: Verified) -> dict[str, list[str]]:
    """What is wrong, by kind; nothing for what is not."""
    return {name: sorted(listing.files) for name, listing in result.listings.items() if listing.count}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_export(tmp_path: Path, kind: str) -> None:
    files = files_of()
    told: list[tuple[int, int]] = []
    result = verify(open_package(package(tmp_path, kind, files)), lambda *read: told.append(read))
    assert result.sound
    assert found(result) == {}
    assert (result.files, result.bytes) == (len(files), sum(len(data) for _, data in files))
    assert result.manifest_sha256 == hashlib.sha256(dict(files)[MANIFEST]).hexdigest()
    assert max(told) == (len(files) - 1, result.bytes)


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 7, (17 << 20) + 7])
def test_a_file_that_deflates_to_nearly_nothing(tmp_path: Path, size: int) -> None:
    """zlib holds output back when all of the input is read."""
    files = files_of(1, **{"long.txt": b"x" * size})
    assert verified(package(tmp_path, "deflated.zip", files)).sound


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, kind: str) -> None:
    files = files_of()
    (missing, _), (altered, data), (renamed, same) = files[1], files[2], files[3]
    wrong = [files[0], (altered, data[:-1] + b"x"), ("images/dog/new.png", same), *files[4:], ("ä\u2028.txt", b"")]
    result = verified(package(tmp_path, kind, wrong))
    assert not result.sound
    assert result.damage is None
    assert found(result) == {
        "missing": sorted([missing, renamed]),
        "altered": [altered],
        "additional": ["images/dog/new.png", "ä\u2028.txt"],
    }


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_elsewhere_and_what_is_no_file(tmp_path: Path, kind: str) -> None:
    names = ["../out", "/etc/passwd", "a/../../b", "C:\\x", "a\\..\\b", "./x/./y", "a//b", "new\nline"]
    path = package(tmp_path, kind, [*files_of(3), *((name, b"") for name in names)])
    with zipfile.ZipFile(path, "a") if kind == "zip" else tarfile.open(path, "a") as made:
        if isinstance(made, zipfile.ZipFile):
            link = zipfile.ZipInfo("link")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            made.writestr(link, "/etc/passwd")
        else:
            for kind_, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device")):
                made.addfile(member(name, kind=kind_, target="/etc/passwd"))
    result = verified(path)
    assert set(result.listings["unsafe"].files) >= {"../out", "/etc/passwd", "a/../../b", "new\nline", "link"}
    assert result.listings["unsafe"].count >= len(names)
    assert result.listings["missing"].count == result.listings["altered"].count == 0
    assert not result.sound


def test_a_tar_that_leads_round_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    entry = tarfile.TarInfo("x")
    entry.size = -512
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    result = verified(str(path))
    assert not result.sound
    assert "less than no bytes" in str(result)


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    path = Path(package(tmp_path, "folder", files_of(3)))
    (path / "loop").symlink_to(path)
    (path / "outside").symlink_to("/etc/passwd")
    (path / ".DS_Store").write_bytes(b"of a desktop")
    assert found(verified(str(path))) == {"unsafe": ["loop", "outside"]}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("second", [b"", b"others"])
def test_a_name_that_occurs_twice(tmp_path: Path, kind: str, second: bytes) -> None:
    files = files_of(3)
    name, data = files[0]
    assert found(verified(package(tmp_path, kind, [*files, (name, second or data)]))) == {"repeated": [name]}
    assert found(verified(package(tmp_path, kind, [(name, second or data), *files]))) == {"repeated": [name]}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_wrong_files_of_one_name(tmp_path: Path, kind: str) -> None:
    files = files_of(3)
    wrong = [(files[0][0], b"one"), ("new", b"one"), *files[1:], ("new", b"two"), (files[0][0], b"two")]
    told = {"altered": [files[0][0]], "additional": ["new"], "repeated": sorted([files[0][0], "new"])}
    assert found(verified(package(tmp_path, kind, wrong))) == told


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_manifests_the_last_counts(tmp_path: Path, kind: str) -> None:
    files = files_of(3)
    for forged in (b"forged nonsense", b"", files[-1][1]):
        result = verified(package(tmp_path, kind, [(MANIFEST, forged), *files]))
        assert found(result) == {"repeated": [MANIFEST]}
        assert not result.sound
        assert result.manifest_sha256 == hashlib.sha256(files[-1][1]).hexdigest()
    assert verified(package(tmp_path, kind, [*files, (MANIFEST, b"forged nonsense")])).damage is not None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
@pytest.mark.parametrize("more", ["junk", "short", "itself"])
def test_what_lies_behind_an_archive(tmp_path: Path, kind: str, more: str) -> None:
    path = Path(package(tmp_path, kind, files_of(3)))
    whole = path.read_bytes()
    behind = {"junk": b"junk " * 300, "short": b"!", "itself": whole}[more]
    path.write_bytes(whole + behind)
    result = verified(str(path))
    assert not result.sound
    assert result.damage is not None
    if kind == "tar" or (kind.endswith("zip") and more != "itself"):
        assert f"{len(behind):,} bytes lie behind the end of" in result.damage
        assert result.files == len(files_of(3))
        assert found(result) == {}


@pytest.mark.parametrize("length", [1, 511, 512, 513, 10_000])
def test_what_stands_in_the_place_of_the_end_of_a_tar(tmp_path: Path, length: int) -> None:
    path = Path(package(tmp_path, "tar", files_of(3)))
    end = -512 * (len(path.read_bytes().rstrip(b"\0")) // -512)
    path.write_bytes(path.read_bytes()[:end])
    assert verified(str(path)).sound
    path.write_bytes(path.read_bytes() + b"!" * length)
    assert verified(str(path)).damage == f"{length:,} bytes lie behind the end of {path}."


def test_zeros_fill_a_tar_up_to_any_length(tmp_path: Path) -> None:
    path = Path(package(tmp_path, "tar", files_of(3)))
    path.write_bytes(path.read_bytes() + bytes(3 << 20))
    assert verified(str(path)).sound


def test_a_zip_has_no_comment_and_nothing_before_its_end(tmp_path: Path) -> None:
    path = Path(package(tmp_path, "zip", files_of(3)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"look here"
    assert verified(str(path)).damage == "9 bytes lie behind the end of the archive, where an export has none."
    whole = Path(package(tmp_path, "zip", files_of(3))).read_bytes()
    path.write_bytes(whole[:-22] + b"between" + whole[-22:])
    assert "is not where it should be" in str(verified(str(path)).damage)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_what_is_cut_off_anywhere_is_never_sound(tmp_path: Path, kind: str) -> None:
    whole = Path(package(tmp_path, kind, files_of(5))).read_bytes()
    cut = tmp_path / f"cut.{kind}"
    # A tar ends with two empty blocks at least, and fills up to 10,240 bytes: without those it is whole.
    end = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole)
    for length in {*range(0, end, max(1, end // 97)), end - 1, end - 9}:
        cut.write_bytes(whole[:length])
        with suppress(NotAnExport):
            assert not verified(str(cut)).sound, length


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_an_altered_byte_does_no_harm_and_none_of_a_file_passes(tmp_path: Path, kind: str) -> None:
    files = files_of(5)
    whole = Path(package(tmp_path, kind, files)).read_bytes()
    stored = kind in ("zip", "tar")
    inside = [at + len(data) // 2 for _, data in files if stored and len(data) > 200 and (at := whole.find(data)) > 0]
    assert len(inside) > 2 or not stored
    changed = tmp_path / f"changed.{kind}"
    chance = random.Random(5)
    for at in [*inside, *(chance.randrange(len(whole)) for _ in range(150))]:
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        try:
            result = verified(str(changed))
        except NotAnExport:
            continue
        assert not result.sound or at not in inside


def test_one_damaged_file_of_a_zip_does_not_hide_the_others(tmp_path: Path) -> None:
    files = files_of(5)
    path = Path(package(tmp_path, "zip", files))
    whole = bytearray(path.read_bytes())
    name, data = files[3]
    whole[whole.find(data)] ^= 255  # its checksum is wrong too now
    at = whole.find(files[1][0].encode())
    whole[at] ^= 1  # another name at its place than in the list
    path.write_bytes(whole)
    assert found(verified(str(path))) == {"altered": sorted([name, files[1][0]])}


def test_traps(tmp_path: Path) -> None:
    result = verified(liar(tmp_path, 1 << 40))
    assert result.damage is not None
    assert "trap" in result.damage
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(1 << 20))
    packed = path.read_bytes()
    for claimed, told in ((1 << 31, "trap"), (100, None)):
        path.write_bytes(packed.replace(struct.pack("<L", 1 << 20), struct.pack("<L", claimed)))
        try:
            damage = verified(str(path)).damage
        except NotAnExport:
            damage = None
        assert (told in (damage or "")) if told else damage is None
    path.write_bytes(files := b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65000, 65000, 1 << 30, 0, 0))
    assert len(files) == 22
    assert not verified(str(path)).sound


def test_a_zip64_of_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 500)
    files = files_of(40)
    path = package(tmp_path, "zip", files)
    assert b"PK\6\6" in Path(path).read_bytes()
    assert verified(path).sound
    assert verified(path).files == len(files)


@pytest.mark.parametrize("text", [b"no hash  a\n", b"\xff\xfe", b"0" * 64 + b" one-space\n", b"a" * 200_000])
def test_a_manifest_that_is_none(tmp_path: Path, text: bytes) -> None:
    result = verified(package(tmp_path, "tar", [("a", b"a"), (MANIFEST, text)]))
    assert not result.sound
    assert result.damage == f"Line 1 of {MANIFEST} is no hash with the name of a file."


def test_what_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name, told in (("text", "neither a folder nor"), ("empty", f"holds no {MANIFEST}"), ("none", "No such file")):
        with pytest.raises(NotAnExport, match=told):
            verified(str(tmp_path / name))


class Many:
    """A million files would take too long here; memory is in proportion."""

    name, size, count = "many", None, 30_000

    def __init__(self, *, wrong: bool) -> None:
        self._wrong = wrong

    def files(self) -> Iterator[tuple[str, bytes]]:
        return ((f"images/{'long' * 20}/{n}.jpg", b"%d" % n) for n in range(self.count))

    def parts(self) -> Iterator[Part]:
        for name, data in self.files():
            content = data + b"!" if self._wrong else data
            yield Part(name, len(content), io.BytesIO(content))
        text = manifest(self.files())
        yield Part(MANIFEST, len(text), io.BytesIO(text))


@pytest.mark.parametrize("wrong", [False, True])
def test_memory_is_a_hash_a_file(*, wrong: bool) -> None:
    text = len(manifest(Many(wrong=wrong).files()))
    tracemalloc.start()
    try:
        result = verify(Many(wrong=wrong))
        peak = tracemalloc.get_traced_memory()[1] - 2 * text  # which this test holds
    finally:
        tracemalloc.stop()
    assert result.sound is not wrong
    assert result.listings["altered"].count == (Many.count if wrong else 0)
    assert len(result.listings["altered"].files) == (MOST_LISTED if wrong else 0)
    assert peak < Many.count * (260 if wrong else 130) + (4 << 20)


@pytest.mark.parametrize("kind", ["zip", "folder"])
async def test_an_export_in_a_bucket(s3: str, tmp_path: Path, kind: str) -> None:
    files: Files = files_of(5)
    store = Store(s3)
    if kind == "zip":
        await store.put("export.zip", Path(package(tmp_path, "zip", files)).read_bytes())
    else:
        for name, data in files:
            await store.put(f"folder/{name}", data)
    place = f"{s3}/export.zip" if kind == "zip" else f"{s3}/folder"
    result = await in_thread(place)
    assert result.sound
    assert result.files == len(files)
    if kind == "folder":
        await store.put(f"folder/{files[0][0]}", b"other")
        assert found(await in_thread(place)) == {"altered": [files[0][0]]}
    with pytest.raises(NotAnExport):
        await in_thread(f"{s3}/none.zip")


async def in_thread(place: str) -> Verified:
    import asyncio

    return await asyncio.to_thread(verified, place)
