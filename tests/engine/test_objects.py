"""Datasets that are put into an object store: a real S3 API, and a way to it that breaks."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from gleanset.errors import NotDelivered
from gleanset.export import ObjectPlace

LARGE = bytes(range(256)) * (20 << 12)
"""More than two parts of what is sent part by part."""


def lying(address: str) -> dict[str, Any]:
    return {each["path"]: each for page in obstore.list(from_url(address)) for each in page}


def folder(path: Path, files: dict[str, bytes]) -> Path:
    sums = b"".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode() for name, data in sorted(files.items()))
    for name, data in {**files, "MANIFEST.sha256": sums}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """The same as a file."""
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(folder(path.with_suffix(".files"), files).rglob("*")):
            made.write(file, file.name)
    return path


def mine(address: str, *, folder: bool, mark: str = "export 1") -> ObjectPlace:
    """With the marker there."""
    place = ObjectPlace(address, folder=folder, mark=mark)
    assert place.claim(begun=False, sha256=None)
    return place


async def nobody(_: int) -> None:
    """Is told of progress."""


async def test_files_and_folders_come_there_whole_and_tell_how_far_they_are(s3: str, tmp_path: Path) -> None:
    told: list[int] = []

    async def tell(sent: int) -> None:
        told.append(sent)

    files = {f"images/cat/{n}.jpg": b"%d" % n for n in range(20)} | {"data/large.parquet": LARGE, "ü 1.txt": b"x"}
    packed = folder(tmp_path / "packed", files)
    place = ObjectPlace(f"{s3}/birds/", folder=True)
    place.check()
    assert lying(s3) == {}, "nothing is left of the trial"
    place = mine(f"{s3}/birds/", folder=True)
    await place.send(packed, tell)
    place.release()
    sizes = {path.relative_to(packed).as_posix(): path.stat().st_size for path in packed.rglob("*") if path.is_file()}
    assert {name: each["size"] for name, each in lying(f"{s3}/birds").items()} == sizes
    assert bytes(obstore.get(from_url(f"{s3}/birds"), "data/large.parquet").bytes()) == LARGE
    assert told == sorted(told)
    assert told[-1] == sum(sizes.values())
    assert len(told) > 5

    (tmp_path / "large.zip").write_bytes(LARGE)
    single = ObjectPlace(f"{s3}/large.zip", folder=False)
    single.check()
    single = mine(f"{s3}/large.zip", folder=False)
    await single.send(tmp_path / "large.zip", tell)
    single.release()
    assert bytes(obstore.get(from_url(s3), "large.zip").bytes()) == LARGE
    for taken in (place, single):
        with pytest.raises(NotDelivered, match="exists already"):
            taken.check()


async def test_who_goes_on_sends_only_what_is_lacking(s3: str, tmp_path: Path) -> None:
    packed = folder(tmp_path / "packed", {f"{n:02}.jpg": b"%d" % n for n in range(30)})
    place = mine(s3, folder=True)

    class Broken(Exception):
        pass

    async def breaks(sent: int) -> None:
        if sent > 12:
            raise Broken

    with pytest.raises(Broken):
        await place.send(packed, breaks)
    first = lying(s3)
    first.pop(".gleanset-export")
    assert 0 < len(first) < 30
    assert "MANIFEST.sha256" not in first
    assert place.claim(begun=True, sha256=None)
    await place.send(packed, nobody)
    place.release()
    whole = lying(s3)
    assert len(whole) == 31
    assert {name: whole[name]["last_modified"] for name in first} == {
        name: each["last_modified"] for name, each in first.items()
    }

    other = folder(tmp_path / "other", {"00.jpg": b"X", "new.jpg": b"new"})
    with pytest.raises(NotDelivered, match="not this export's any more"):
        place.clear()
    obstore.put(from_url(s3), ".gleanset-export", b"export 1")
    place.clear()
    assert set(lying(s3)) == {".gleanset-export"}
    await place.send(other, nobody)
    place.release()
    assert set(lying(s3)) == {"00.jpg", "new.jpg", "MANIFEST.sha256"}
    assert bytes(obstore.get(from_url(s3), "00.jpg").bytes()) == b"X"


async def test_a_large_file_that_stops_on_its_way_is_not_to_be_seen(s3: str, tmp_path: Path) -> None:
    (tmp_path / "large.zip").write_bytes(LARGE)
    place = mine(f"{s3}/large.zip", folder=False)

    async def stop(sent: int) -> None:
        raise KeyError(sent)

    with pytest.raises(KeyError):
        await place.send(tmp_path / "large.zip", stop)
    assert set(lying(s3)) == {".large.zip.gleanset-export"}
    await place.send(tmp_path / "large.zip", nobody)
    whole = lying(s3)["large.zip"]
    await place.send(tmp_path / "large.zip", nobody)
    place.release()
    assert lying(s3) == {"large.zip": whole}, "it is not sent twice"


@pytest.mark.parametrize("folder_", [True, False])
async def test_what_is_wrong_with_a_place_is_said_in_a_sentence(s3: str, folder_: bool, tmp_path: Path) -> None:
    with pytest.raises(NotDelivered, match="there is no such bucket") as missing:
        ObjectPlace("s3://nowhere/birds.zip", folder=folder_).check()
    assert "Debug" not in str(missing.value)
    assert "\n" not in str(missing.value)
    (tmp_path / "MANIFEST.sha256").write_bytes(b"")
    packed = tmp_path if folder_ else tmp_path / "MANIFEST.sha256"
    with pytest.raises(NotDelivered, match="there is no such bucket"):
        await ObjectPlace("s3://nowhere/birds.zip", folder=folder_).send(packed, nobody)
    for wrong in ("s3:/", "nonsense://x/y"):
        with pytest.raises(NotDelivered, match="is no address of an object store"):
            ObjectPlace(wrong, folder=True)


def test_a_store_that_does_not_answer_is_told_soon(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(NotDelivered, match="cannot be put to s3://") as away:
        ObjectPlace(s3, folder=True).check()
    assert "Debug" not in str(away.value)


@pytest.mark.parametrize("folder_", [True, False])
async def test_who_goes_on_touches_nothing_that_others_put_there_meanwhile(
    s3: str, folder_: bool, tmp_path: Path
) -> None:
    packed = folder(tmp_path / "packed", {"0.jpg": b"0", "1.jpg": b"1"})
    packed = packed if folder_ else packed / "0.jpg"
    address = f"{s3}/birds"
    place = mine(address, folder=folder_)
    await place.send(packed, nobody)
    obstore.delete(from_url(s3), list(lying(s3)))  # somebody clears it for another dataset
    name = "birds/theirs.jpg" if folder_ else "birds"
    obstore.put(from_url(s3), name, b"theirs")
    before = lying(s3)
    with pytest.raises(NotDelivered, match="exists already"):
        await asyncio.to_thread(place.claim, begun=True, sha256="ab" * 32)
    with pytest.raises(NotDelivered, match="not this export's any more"):
        await place.send(packed, nobody)
    with pytest.raises(NotDelivered, match="not this export's any more"):
        place.clear()
    assert lying(s3) == before


async def test_a_place_that_is_cleared_while_files_go_gets_no_manifest(s3: str, tmp_path: Path) -> None:
    packed = folder(tmp_path / "packed", {f"{n:02}.jpg": b"%d" % n for n in range(20)})

    async def cleared(_: int) -> None:
        obstore.delete(from_url(s3), list(lying(s3)))

    with pytest.raises(NotDelivered, match="not this export's any more"):
        await mine(s3, folder=True).send(packed, cleared)
    assert "MANIFEST.sha256" not in lying(s3)


@pytest.mark.parametrize("folder_", [True, False])
def test_of_two_that_come_at_once_one_gets_the_place(s3: str, folder_: bool) -> None:
    places = [ObjectPlace(f"{s3}/birds", folder=folder_, mark=f"export {n}") for n in range(8)]

    with ThreadPoolExecutor(len(places)) as threads:
        claims = [threads.submit(place.claim, begun=False, sha256=None) for place in places]
        refused = [str(error) for error in (claim.exception() for claim in claims) if error is not None]
    assert len(refused) == len(places) - 1
    assert all("exists already" in each for each in refused)
    assert len(lying(s3)) == 1
    with pytest.raises(NotDelivered, match="another export has begun there"):
        ObjectPlace(f"{s3}/birds", folder=folder_).check()


@pytest.mark.parametrize("folder_", [True, False])
async def test_who_was_killed_behind_the_end_of_the_marker_finds_all_there(
    s3: str, folder_: bool, tmp_path: Path
) -> None:
    packed = (folder if folder_ else archive)(tmp_path / "packed", {"0.jpg": b"0"})
    place = mine(f"{s3}/birds", folder=folder_)
    await place.send(packed, nobody)
    place.release()
    before = lying(s3)
    manifest = next(tmp_path.rglob("MANIFEST.sha256")).read_bytes()
    assert not await asyncio.to_thread(place.claim, begun=True, sha256=hashlib.sha256(manifest).hexdigest())
    with pytest.raises(NotDelivered, match="exists already"):
        await asyncio.to_thread(place.claim, begun=True, sha256="ab" * 32)
    with pytest.raises(NotDelivered, match="exists already"):
        place.claim(begun=False, sha256=None)
    assert lying(s3) == before
