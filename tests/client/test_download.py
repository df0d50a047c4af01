"""Exports downloaded for real: in parts, interrupted, damaged on their way or on the disk, by several processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from backend.models import ExportJob as Row
from gleanset.client import Client, ExportJob, parts
from gleanset.errors import ClientError, DownloadError, NotThere, Unreachable
from tests.client.conftest import HASTE, Person
from tests.client.making import LABELS
from tests.client.proxy import Proxy, proxy
from tests.serving import Served

PART = 256 * 1024


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", PART)


@pytest.fixture
def person(packer: Person) -> Person:
    return packer


@pytest.fixture
def way(served: Served) -> Iterator[Proxy]:
    with proxy(served.url) as way:
        yield way


@pytest.fixture
def client(way: Proxy, person: Person, tmp_path: Path) -> Iterator[Client]:
    with Client(way.url, person.key, cache=tmp_path / "cache", patience=HASTE) as client:
        yield client


def placed(folder: Path) -> list[str]:
    """What lies in the cache, below the folder of the one export."""
    return sorted(path.name for path in (folder / "cache/exports").rglob("*") if path.is_file())


def test_an_export_is_loaded_by_name_once(client: Client, way: Proxy, packed: ExportJob, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    with client.load("Tests/Birds", told=lambda had, size: heard.append((had, size))) as dataset:
        assert len(dataset) == 40
        assert dataset.labels == sorted(LABELS)
        assert {sample.image.size for sample in dataset} == {(160, 160)}
    assert [export.id for export in client.export_jobs.list(name="Birds", status="completed")] == [packed.id]
    assert list(client.export_jobs.list(name="Birds", status="failed")) == []
    assert heard[-1] == (packed.file_size, packed.file_size)
    ranges = way.headers("Range", "/download")
    assert len(ranges) == -(-packed.file_size // PART)
    assert set(way.headers("If-Range", "/download")) == {f'"{packed.sha256}"'}
    before = way.carried
    for which in (packed, packed.id, "Tests/Birds"):
        with client.load(which, decode=False) as again:
            assert again[0].image[:2] == b"\xff\xd8"
    assert way.carried - before < 20_000, "it is in the cache"
    assert placed(tmp_path) == ["dataset"]
    assert (tmp_path / "cache/exports" / packed.sha256).stat().st_mode & 0o077 == 0


def test_connections_that_break_are_made_again_from_where_they_broke(
    client: Client, way: Proxy, packed: ExportJob
) -> None:
    way.cut += [10**9, 100_000, 50_000, 200_000, 10]
    client.close()
    with client.load(packed) as dataset:
        assert len(list(dataset.as_bytes())) == 40
    starts = {int(each.removeprefix("bytes=").partition("-")[0]) for each in way.headers("Range", "/download")}
    assert any(start % PART for start in starts), "in the middle of a part"
    assert way.carried < packed.file_size * 1.2


def test_an_interrupted_download_is_taken_up_again(
    client: Client, way: Proxy, person: Person, packed: ExportJob, tmp_path: Path
) -> None:
    client.export_jobs.get(packed)
    way.cut += [700_000, *[0] * 100]
    client.close()
    with pytest.raises(Unreachable):
        list(client.load(packed, threads=1))
    assert [name for name in placed(tmp_path) if not name.endswith(".lock")] == [
        "download.part",
        "download.parts",
    ]
    way.cut.clear()
    way.requests.clear()
    before = way.carried
    with client.load(packed) as dataset:
        assert len(list(dataset)) == 40
    assert packed.file_size
    assert len(way.headers("Range", "/download")) == -(-packed.file_size // PART) - 3
    assert way.carried - before < packed.file_size - packed.file_size % PART - 2 * PART + 20_000


def test_bytes_that_change_on_their_way_are_not_kept(
    client: Client, way: Proxy, packed: ExportJob, tmp_path: Path
) -> None:
    way.flip, way.flips = 700_000, 1  # behind the tables, which come first
    with client.load(packed, threads=1) as dataset, pytest.raises(DownloadError, match="whole and sound"):
        list(dataset)
    assert placed(tmp_path) == []
    with client.load(packed) as dataset:
        assert len(list(dataset)) == 40


def test_parts_that_are_damaged_on_the_disk_are_fetched_again(
    client: Client, way: Proxy, packed: ExportJob, tmp_path: Path
) -> None:
    way.cut += [10**9, 700_000, *[0] * 100]
    client.close()
    client.export_jobs.get(packed)
    client.close()
    with pytest.raises(Unreachable):
        list(client.load(packed, threads=1))
    way.cut.clear()
    [partial] = (tmp_path / "cache/exports").rglob("*.part")
    with partial.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    with client.load(packed) as dataset:
        assert len(list(dataset)) == 40


def test_a_way_that_knows_no_ranges_is_used_once(client: Client, way: Proxy, packed: ExportJob) -> None:
    way.hide_ranges = True
    with client.load(packed) as dataset:
        assert len(dataset) == 40
    assert way.carried < packed.file_size * 2.5


def test_an_export_that_is_another_one_meanwhile(
    served: Served, client: Client, packed: ExportJob, tmp_path: Path
) -> None:
    other = packed.model_copy(update={"sha256": "0" * 64})
    from gleanset.client.cache import Cache

    with pytest.raises(DownloadError, match="another one now"):
        Cache(tmp_path).hold(client._http, other)


def test_processes_at_once_fetch_it_once(way: Proxy, person: Person, packed: ExportJob, tmp_path: Path) -> None:
    code = (
        "import json, sys; from gleanset.client import load; url, key, cache = sys.argv[1:]\n"
        "with load('Tests/Birds', url, key, cache=cache) as dataset:\n"
        "    print(json.dumps([len(dataset), dataset[7].metadata['sha256']]))"
    )
    command = [sys.executable, "-c", code, way.url, person.key, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in running]
    assert {err for _, err in said} == {""}
    assert {out for out, _ in said} == {said[0][0]}
    assert json.loads(said[0][0])[0] == 40
    assert packed.file_size < way.carried < packed.file_size + 100_000
    assert placed(tmp_path) == ["dataset"], "no lock is left"


def test_a_killed_process_leaves_what_it_had(
    way: Proxy, client: Client, person: Person, packed: ExportJob, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from gleanset.client import Client, parts; url, key, cache, number = sys.argv[1:]\n"
        f"parts.PART = {PART}\n"
        "def slowly(had, size):\n"
        "    print(had, flush=True); time.sleep(0.05 if had < 1_000_000 else 60)\n"
        "list(Client(url, key, cache=cache).load(int(number), told=slowly, threads=1))"
    )
    command = [sys.executable, "-c", code, way.url, person.key, str(tmp_path / "cache"), str(packed.id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while int(process.stdout.readline()) < 1_000_000:
            pass
        process.kill()
    way.requests.clear()
    with client.load(packed) as dataset:
        assert len(dataset) == 40
    assert len(way.headers("Range", "/download")) <= -(-packed.file_size // PART) - 3


@pytest.mark.parametrize(
    "format_", ["tar", "tar.gz", "tar.zst", "imagefolder", "yolo", "coco", "webdataset", "parquet"]
)
def test_other_containers(client: Client, packed: ExportJob, tmp_path: Path, format_: str) -> None:
    made = client.export_jobs.wait(client.export_jobs.create(packed.crawl_job_id, f"As {format_}", format_), timeout=60)
    with client.load(f"Tests/As {format_}") as dataset, client.load(packed) as zipped:
        pairs = list(zip(dataset, zipped, strict=True))
        assert {one.image.tobytes() == other.image.tobytes() and one.label == other.label for one, other in pairs} == {
            True
        }
        same = {one.metadata == other.metadata for one, other in pairs}
        assert same == {format_.startswith("tar")}, "other layouts have other names"
    assert made.sha256
    assert [path.name for path in (tmp_path / "cache/exports" / made.sha256).iterdir()] == ["dataset"]


def test_a_name_means_the_latest_that_has_images(client: Client, packed: ExportJob) -> None:
    for format_ in ("csv", "jsonl"):
        client.export_jobs.wait(client.export_jobs.create(packed.crawl_job_id, packed.name, format_), timeout=60)
    with client.load(f"Tests/{packed.name}") as dataset:
        assert len(dataset) == 40
    made = client.export_jobs.create(packed.crawl_job_id, "A table", "csv")
    client.export_jobs.wait(made, timeout=60)
    with pytest.raises(NotThere, match="1 exports of that name are csv or jsonl, which have no images"):
        client.load("Tests/A table")


def test_what_cannot_be_loaded(served: Served, client: Client, packed: ExportJob, tmp_path: Path) -> None:
    for name, word in (("Tests/Fish", "there is none"), ("Nowhere/Birds", "there is none"), ("Birds", "not the name")):
        with pytest.raises(ClientError, match=word):
            client.load(name)
    load_whole(client, packed)
    change(served, packed, taken_down_images=2)
    try:
        with pytest.raises(NotThere, match="2 of the images"):
            client.load(packed)
        assert placed(tmp_path) == [], "what was taken down does not stay here"
        with pytest.raises(NotThere, match=f"'Tests/Birds' is number {packed.id}. 2 of the images"):
            client.load("Tests/Birds")
    finally:
        change(served, packed, taken_down_images=0)
    load_whole(client, packed)
    expires = packed.expires_at
    change(served, packed, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with client.load(packed) as dataset:
        assert len(dataset) == 40, "a copy that is here may be used when the server's has expired"
    change(served, packed, expires_at=expires)


def load_whole(client: Client, export: ExportJob) -> None:
    with client.load(export) as dataset:
        assert len(list(dataset)) == 40


def change(served: Served, export: ExportJob, **values: object) -> None:
    served.run(lambda session: session.execute(update(Row).where(Row.id == export.id).values(**values)))


def test_a_cache_that_cannot_be_written(client: Client, person: Person, packed: ExportJob, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    other = Client(client.url, person.key, cache=tmp_path / "file", patience=HASTE)
    with other, pytest.raises(DownloadError, match="cannot be made"):
        other.load(packed)
