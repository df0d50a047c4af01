"""Exports that are read while they come: in whatever order, and left in the middle."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gleanset.client import Client, ExportJob, parts
from gleanset.errors import ClientError, DatasetError, NotThere, Unreachable
from gleanset.export.verify import is_export
from tests.client.conftest import Person
from tests.client.proxy import Proxy
from tests.client.test_download import change, client, person, placed, way
from tests.serving import Served

__all__ = ["client", "person", "way"]

PART = 32 * 1024


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", PART)


@pytest.fixture
def half(client: Client, way: Proxy, packed: ExportJob) -> None:
    """Less than half of the export comes."""
    client.export_jobs.get(packed)
    assert packed.file_size
    assert packed.file_size > 1_300_000
    way.most = way.carried + 600_000


def test_the_first_images_are_there_long_before_the_last(
    client: Client, way: Proxy, packed: ExportJob, half: None, tmp_path: Path
) -> None:
    with client.load(packed) as dataset:
        assert (len(dataset), dataset.to_pandas().shape[0]) == (40, 40)
        samples = iter(dataset)
        first = [next(samples) for _ in range(5)]
        assert way.carried < 700_000
        assert "dataset" not in placed(tmp_path)
        way.most = None
        rest = list(samples)
        assert len(rest) == 35
        dataset.to_huggingface(tmp_path / "hf")  # which needs all
    [path] = (tmp_path / "cache/exports").rglob("dataset")
    assert packed.sha256
    assert is_export(str(path), packed.sha256)
    assert path.stat().st_size == packed.file_size
    assert placed(tmp_path) == ["dataset"]
    with client.load(packed) as again:
        same = [sample.image.tobytes() for sample in again]
    assert same == [sample.image.tobytes() for sample in [*first, *rest]]


def test_what_is_asked_for_comes_next(client: Client, way: Proxy, packed: ExportJob, half: None) -> None:
    with client.load(packed) as dataset, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(dataset.__getitem__, 30)
        with pytest.raises(TimeoutError):
            asked.result(0.3)
        way.most = way.carried + 400_000
        assert asked.result(20).image.size == (160, 160), "in their order its bytes would not be there yet"
        way.most = None


def test_who_leaves_early_keeps_what_came(
    client: Client, way: Proxy, packed: ExportJob, half: None, tmp_path: Path
) -> None:
    with client.load(packed) as dataset:
        for _ in dataset:
            break
    assert "dataset" not in placed(tmp_path)
    with pytest.raises(DatasetError, match=r"Birds \(export .*\) is closed"):
        dataset[0]
    way.most = None
    way.requests.clear()
    with client.load(packed) as dataset:
        assert len(list(dataset)) == 40
        pickle.dumps(dataset)
    assert placed(tmp_path) == ["dataset"]
    assert packed.file_size
    assert len(way.headers("Range", "/download")) < packed.file_size / PART - 8


def test_who_is_interrupted_ends_at_once(
    way: Proxy, client: Client, person: Person, packed: ExportJob, half: None, tmp_path: Path
) -> None:
    code = (
        "import signal, sys; from gleanset.client import Client, parts; url, key, cache, number = sys.argv[1:]\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which who starts the tests may have ignored
        f"parts.PART = {PART}\n"
        "for _ in Client(url, key, cache=cache).load(int(number)):\n"
        "    print('one', flush=True)"
    )
    command = [sys.executable, "-c", code, way.url, person.key, str(tmp_path / "cache"), str(packed.id)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "one\n"
            time.sleep(0.5)
            began = time.monotonic()
            process.send_signal(2)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - began < 5
    assert "download.part" in placed(tmp_path)


def test_a_way_that_breaks_is_an_error_of_the_iteration(client: Client, way: Proxy, packed: ExportJob) -> None:
    client.export_jobs.get(packed)
    way.cut += [*[200_000] * 4, *[0] * 100]
    client.close()
    seen: list[str] = []
    with client.load(packed, decode=False) as dataset, pytest.raises(Unreachable):
        seen.extend(sample.label for sample in dataset)
    assert len(seen) < 40


def test_processes_that_are_forked_off_read_it_as_it_comes(
    client: Client, way: Proxy, packed: ExportJob, half: None
) -> None:
    with client.load(packed, decode=False) as dataset:
        fork = multiprocessing.get_context("fork")
        near, far = fork.Pipe()
        child = fork.Process(target=lambda: far.send([sample.label for sample in dataset]))
        child.start()
        assert not near.poll(0.5)
        way.most = None
        assert near.poll(20)
        assert near.recv() == [sample.label for sample in dataset]
        child.join(10)
        assert child.exitcode == 0


@pytest.mark.parametrize("damage", ["an image", "the table", "everything"])
def test_a_copy_in_the_cache_that_is_damaged_is_fetched_again_once(
    client: Client, way: Proxy, packed: ExportJob, tmp_path: Path, damage: str
) -> None:
    with client.load(packed) as dataset:
        pickle.dumps(dataset)
        wanted = [sample.metadata for sample in dataset]
    [path] = (tmp_path / "cache/exports").rglob("dataset")
    data = path.read_bytes()
    at = {"an image": 100_000, "the table": data.index(b'{"file_name'), "everything": 0}[damage]
    path.write_bytes(b"" if damage == "everything" else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    way.requests.clear()
    with client.load(packed) as dataset:
        assert [sample.metadata for sample in dataset] == wanted
        assert len(dataset.split("train") if dataset.splits else dataset) == 40
    assert way.headers("Range", "/download")
    assert path.read_bytes() == data
    assert placed(tmp_path) == ["dataset"]


def test_a_damaged_copy_that_cannot_be_fetched_again_is_told_with_its_place(
    served: Served, client: Client, packed: ExportJob, tmp_path: Path
) -> None:
    with client.load(packed) as dataset:
        pickle.dumps(dataset)
    [path] = (tmp_path / "cache/exports").rglob("dataset")
    data = path.read_bytes()
    path.write_bytes(data[:100_000] + bytes([data[100_000] ^ 1]) + data[100_001:])
    change(served, packed, download_url=None)
    told = rf"in Birds \(export {packed.id}, {path}\) is damaged: .* It cannot be fetched again: .* expired"
    try:
        with client.load(packed) as dataset:
            seen = []
            with pytest.raises(DatasetError, match=told):
                seen += [sample.label for sample in dataset]
            with pytest.raises(DatasetError, match=r"is damaged: its SHA-256 is another one\.$"):
                list(dataset)
            assert dataset[39].image
    finally:
        change(served, packed, download_url=f"file:///exports/export-{packed.id}.zip")
    assert path.exists()
    path.write_bytes(data)


def test_a_newer_export_that_cannot_be_had_is_named(served: Served, client: Client, packed: ExportJob) -> None:
    newer = client.export_jobs.wait(client.export_jobs.create(packed.crawl_job_id, "Terns"), timeout=60)
    newest = client.export_jobs.wait(client.export_jobs.create(packed.crawl_job_id, "Terns"), timeout=60)
    change(served, newest, export_options={"container": "folder"})
    told = f"'Tests/Terns' is number {newest.id}. The export {newest.id} is a folder .* number {newer.id}"
    with pytest.raises(NotThere, match=told) as error:
        client.load("Tests/Terns")
    assert error.value.status == 410
    change(served, newest, export_options={}, download_url=None)
    with pytest.raises(NotThere, match=f"number {newest.id}. .* expired .* number {newer.id}"):
        client.load("Tests/Terns")
    change(served, newest, status="failed")
    with client.load("Tests/Terns") as dataset:
        assert len(dataset) == 40
    change(served, newer, status="failed")
    with pytest.raises(NotThere, match=f"of 2 none is completed, and the latest, {newest.id}, is failed"):
        client.load("Tests/Terns")


def test_a_programmers_mistake_is_a_value_error(client: Client, packed: ExportJob) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="0 threads"):
            client.load(packed, threads=0)
        with client.load(packed) as dataset:
            pickle.dumps(dataset)
    for size in (0, -5):
        with pytest.raises(ValueError, match="batch"):
            dataset.iter_batches(size)
    for read in (lambda: dataset[0], lambda: list(dataset), lambda: next(dataset.metadata()), dataset.to_pandas):
        with pytest.raises(ClientError, match="is closed"):
            read()
    assert len(dataset) == 40
    assert os.path.sep in repr(dataset)
