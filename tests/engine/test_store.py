"""Blobs in a folder and behind a real S3 API, and what is said when there is no room or no blob."""

from __future__ import annotations

import asyncio
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import StoreError
from gleanset.store import EXTENSIONS, Store, blob_key, parse_key, thumbnail_key
from tests.engine.disk import small_disk


def key_of(data: bytes, image_format: str = "jpeg") -> str:
    return blob_key(hashlib.sha256(data).hexdigest(), image_format)


async def keys_of(store: Store) -> list[str]:
    listings = store.keys()
    return sorted([key async for listing in listings for key in listing])


async def test_put_get_list_delete(place: str) -> None:
    store = Store(place)
    blobs = {key_of(data): data for data in (b"one", b"two", b"", b"\x00" * 100_000)}
    for key, data in blobs.items():
        await store.put(key, data)
    assert await keys_of(store) == sorted(blobs)
    assert {key: await store.get(key) for key in blobs} == blobs
    first, *others = sorted(blobs)
    await store.delete([first])
    assert await keys_of(store) == others
    with pytest.raises(StoreError):
        await store.get(first)
    await store.delete(others)
    assert await keys_of(store) == []


async def test_another_process_finds_the_same_blobs(place: str) -> None:
    await Store(place).put(key_of(b"one"), b"one")
    assert await Store(place).get(key_of(b"one")) == b"one"


async def test_the_same_blob_twice_and_at_once(place: str) -> None:
    store = Store(place)
    data = b"picture" * 10_000
    await store.put(key_of(data), data)
    await asyncio.gather(*(Store(place).put(key_of(data), data) for _ in range(20)))
    assert await keys_of(store) == [key_of(data)]
    assert await store.get(key_of(data)) == data


async def test_when_a_blob_was_written(place: str) -> None:
    store = Store(place)
    key = key_of(b"one")
    assert await store.modified(key) is None
    await store.put(key, b"one")
    written = await store.modified(key)
    assert written is not None
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)
    assert [(blob.key, blob.modified) async for blobs in store.blobs() for blob in blobs] == [(key, written)]


async def test_a_blob_streams_whole_or_in_part(place: str) -> None:
    store, data = Store(place), random.Random(1).randbytes(900_000)
    await store.put(key_of(data), data)
    for part in (None, (0, 1), (5, 700_000), (899_999, 900_000)):
        found = await store.stream(key_of(data), part)
        assert found is not None
        start, stop = part or (0, len(data))
        assert (found.size, found.start, found.stop) == (len(data), start, stop)
        assert b"".join([block async for block in found.blocks]) == data[start:stop]
    assert await store.length(key_of(data)) == len(data)
    assert await store.stream(key_of(b"another")) is None
    assert await store.stream(key_of(b"another"), (0, 1)) is None
    assert await store.length(key_of(b"another")) is None


async def test_a_blob_is_erased_with_its_thumbnail_and_what_is_not_there_passed_over(place: str) -> None:
    store = Store(place)
    keys = [key_of(data) for data in (b"one", b"two", b"three")]
    for key in keys[1:]:
        await store.put(key, b"picture")
        await store.put(thumbnail_key(key), b"small")
    await store.erase(keys[:2])
    assert sorted(await keys_of(store)) == sorted([keys[2], thumbnail_key(keys[2])])


async def test_a_missing_blob_is_one_sentence(place: str) -> None:
    store = Store(place)
    key = key_of(b"never written")
    with pytest.raises(StoreError) as caught:
        await store.get(key)
    text = str(caught.value)
    assert text.startswith(f"The image {store.url(key)} cannot be read: ")
    assert "not found" in text
    assert "\n" not in text
    assert isinstance(caught.value.__cause__, Exception)


async def test_a_missing_bucket_is_told(s3: str) -> None:
    with pytest.raises(StoreError, match=r"^An image cannot be written to s3://no-such-bucket: [^\n]+$"):
        await Store("s3://no-such-bucket/").put(key_of(b"x"), b"x")


async def test_prefixes_of_one_bucket_are_stores_of_their_own(s3: str) -> None:
    cats, dogs = Store(f"{s3}/cats"), Store(f"{s3}/dogs/")
    await cats.put(key_of(b"cat"), b"cat")
    assert await keys_of(dogs) == []
    assert dogs.url("a/b.jpg") == f"{s3}/dogs/a/b.jpg"


async def test_more_keys_than_one_listing_holds(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    wanted = sorted(key_of(b"%d" % n) for n in range(1500))
    await asyncio.gather(*(store.put(key, b"x") for key in wanted))
    assert [len(listing) async for listing in store.blobs()] == [1000, 500]
    assert await keys_of(store) == wanted


async def test_addresses_of_a_folder(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "with space" / ".." / "ä"))
    key = key_of(b"x")
    await store.put(key, b"x")
    assert store.url(key) == f"{(tmp_path / 'ä').as_uri()}/{key}"
    assert (tmp_path / "ä" / key).read_bytes() == b"x"


@pytest.mark.parametrize("place", ["s3://", "nonsense://a/b", "http://", "ftp://a/b"])
def test_a_place_that_is_none(place: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(place)
    why = "empty host" if place == "http://" else "it is neither a folder nor an address such as s3://bucket/folder"
    assert str(caught.value) == f"The image store {place} cannot be opened: {why}"


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Store(str(file / "blobs"))
    assert "\n" not in str(caught.value)


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file stands where the folder of the key would be: that stops root as well, rights would not."""
    store = Store(str(tmp_path))
    key = key_of(b"x")
    (tmp_path / key[:2]).write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot be written to file://[^\n]*: [^\n]+$"):
        await store.put(key, b"x")
    with pytest.raises(StoreError, match=r"cannot be written to file://[^\n]*: [^\n]+$"):
        store.put_now(key, b"x")
    with pytest.raises(StoreError, match="cannot be read"):
        await store.get(key)


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/../outside"])
async def test_no_key_leads_out_of_the_store(tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    store = Store(str(tmp_path / "blobs"))
    with pytest.raises(StoreError):
        await store.get(key)
    with pytest.raises(StoreError):
        await store.put(key, b"overwritten")
    with pytest.raises(StoreError):
        store.put_now(key, b"overwritten")
    assert (tmp_path / "outside").read_bytes() == b"secret"


async def test_a_full_disk_is_told_and_leaves_no_half_blob(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as mounted:
        store = Store(str(tmp_path / "small"))
        await store.put(key_of(b"fits"), b"fits")
        big = b"a" * 2_000_000
        with pytest.raises(StoreError) as caught:
            await store.put(key_of(big), big)
        with pytest.raises(StoreError) as caught_now:
            store.put_now(key_of(big), big)
        for each in (caught, caught_now):
            assert str(each.value).startswith("An image cannot be written to file://")
            assert ("make room" in str(each.value)) == mounted
        assert len([path for path in (tmp_path / "small").rglob("*") if path.is_file()]) == 1
        assert await keys_of(store) == [key_of(b"fits")]
        with pytest.raises(StoreError):
            await store.get(key_of(big))
        assert await store.get(key_of(b"fits")) == b"fits"


async def test_who_reads_never_sees_half_of_what_many_write(tmp_path: Path) -> None:
    """Of the same key, as workers do that find the same picture; what is not whole is in no listing."""
    store, data = Store(str(tmp_path)), b"a picture " * 300_000
    key = key_of(data)
    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(store.put_now, key, data) for _ in range(40)]
        while not all(each.done() for each in writing):
            if (tmp_path / key).exists():
                assert store.get_now(key) == data
            assert set(await keys_of(store)) <= {key}
    assert [each.result() for each in writing] == [None] * 40
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / key]


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.sampled_from(sorted(EXTENSIONS)))
def test_keys_round_trip(digest: bytes, image_format: str) -> None:
    key = blob_key(digest.hex(), image_format)
    assert parse_key(key) == (digest.hex(), EXTENSIONS[image_format])
    assert key.startswith(f"{digest.hex()[:2]}/{digest.hex()}.")
    for other in (key.upper(), f"x{key}", f"{key}\n", key[1:], key.rsplit(".", 1)[0], f"{key}.exe", f"00{key[2:]}x"):
        assert parse_key(other) is None
