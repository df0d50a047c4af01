"""Datasets read in place, as other libraries want them, and archives that are no datasets."""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gleanset.client import Dataset, Sample, archive
from gleanset.client.archive import Archive, unpack
from gleanset.errors import ClientError, DatasetError
from tests.client.making import dataset_files, manifest, picture, write_tar, write_zip


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    split = lambda n: "train" if n < 4 else "test"  # noqa: E731
    with Dataset.open(write_zip(tmp_path / "set.zip", dataset_files(6, split=split))) as dataset:
        yield dataset


def test_going_through_it(dataset: Dataset) -> None:
    samples = list(dataset)
    assert len(dataset) == len(samples) == 6
    assert [sample.label for sample in samples] == ["tern", "gull"] * 3
    assert [sample.metadata["metadata"] for sample in samples] == [{"n": n} for n in range(6)]
    for number, (image, _, metadata) in enumerate(dataset.as_bytes()):
        assert image == picture(number)
        assert hashlib.sha256(image).hexdigest() == metadata["sha256"]
        assert samples[number].image.tobytes() == Image.open(BytesIO(image)).tobytes()
    assert dataset[-1].metadata == samples[5].metadata == list(dataset.metadata())[5]
    assert [sample.metadata["metadata"]["n"] for sample in dataset[1:5:2]] == [1, 3]
    assert "6 images, 2 labels, set.zip" in repr(dataset)
    with pytest.raises(IndexError):
        dataset[6]


def test_its_parts(dataset: Dataset) -> None:
    assert dataset.labels == ["gull", "tern"]
    assert dataset.splits == {"test": 2, "train": 4}
    assert len(dataset.split("train")) == 4
    assert dataset.split("test").label_counts == {"gull": 1, "tern": 1}
    with pytest.raises(DatasetError, match=r"no split 'dev' \(test, train\)"):
        dataset.split("dev")
    orders = [[row["metadata"]["n"] for row in dataset.shuffled(seed).metadata()] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(6))
    batches = list(dataset.iter_batches(4))
    assert [len(batch.images) for batch in batches] == [4, 2]
    assert batches[0].labels == ["tern", "gull", "tern", "gull"]
    assert len(list(dataset.iter_batches(4, drop_last=True))) == 1


def test_leaving_it_early_leaves_no_thread(dataset: Dataset) -> None:
    import threading

    def ours() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name.startswith("gleanset-decode")]

    for _ in dataset:
        assert ours()
        break
    for thread in ours():
        thread.join(5)
    assert ours() == []


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_threads_and_processes_read_it_at_once(tmp_path: Path, method: int) -> None:
    count = 60
    with Dataset.open(write_zip(tmp_path / "set.zip", dataset_files(count), method), decode=False) as dataset:
        wanted = [hashlib.sha256(picture(n)).hexdigest() for n in range(count)] * 3
        numbers = list(range(count)) * 3
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda n: hashlib.sha256(dataset[n].image).hexdigest(), numbers)) == wanted
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork"), _hold, (dataset,)) as processes:
            assert list(processes.map(_hash, numbers, chunksize=5)) == wanted


_held: list[Dataset] = []


def _hold(dataset: Dataset) -> None:
    _held.append(dataset)


def _hash(number: int) -> str:
    return hashlib.sha256(_held[0][number].image).hexdigest()


def test_an_export_without_metadata_has_labels_all_the_same(tmp_path: Path) -> None:
    files = dataset_files(4)
    del files["metadata.jsonl"]
    with Dataset.open(write_tar(tmp_path / "set.tar", files)) as dataset:
        assert [sample.label for sample in dataset] == ["tern", "gull", "tern", "gull"]
        assert dataset.as_bytes()[3].image == picture(3)
        assert sorted(dataset[0].metadata) == ["file_name", "label", "sha256"]


def test_a_pickled_part_is_the_same_part(dataset: Dataset) -> None:
    with pickle.loads(pickle.dumps(dataset.split("test").as_bytes())) as again:
        assert list(again) == list(dataset.split("test").as_bytes())


def test_as_pandas_wants_it(dataset: Dataset) -> None:
    table = dataset.to_pandas()
    assert table.shape[0] == 6
    assert table.groupby("label").size().to_dict() == {"gull": 3, "tern": 3}
    assert str(table["fetched_at"].dtype).startswith("datetime64")


def test_as_hugging_face_wants_it(dataset: Dataset, tmp_path: Path) -> None:
    rows = dataset.to_huggingface(tmp_path / "hf")
    assert rows.features["label"].names == ["gull", "tern"]
    assert (rows.num_rows, rows.features["width"].dtype, rows.features["metadata"].dtype) == (6, "int64", "string")
    for row, sample in zip(rows, dataset, strict=True):
        assert row["image"].tobytes() == sample.image.tobytes()
        assert rows.features["label"].int2str(row["label"]) == sample.label
        assert row["sha256"] == sample.metadata["sha256"]
    assert dataset.split("train").to_huggingface(tmp_path / "hf").num_rows == 4


def plain_loader(items: Any, size: int) -> Iterator[list[Any]]:
    """What torch's DataLoader does with a map-style dataset, without torch."""
    for start in range(0, len(items), size):
        yield [items[place] for place in range(start, min(start + size, len(items)))]


def torch_loader(items: Any, size: int) -> Iterator[list[Any]]:
    from torch.utils.data import DataLoader

    return iter(DataLoader(items, batch_size=size, num_workers=2, collate_fn=list))


LOADERS = [plain_loader, *([torch_loader] if importlib.util.find_spec("torch") else [])]


@pytest.mark.parametrize("loader", LOADERS)
def test_as_torch_wants_it(dataset: Dataset, loader: Callable[[Any, int], Iterator[list[Any]]]) -> None:
    items = dataset.split("train").to_torch(transform=_corner, target_transform=str)
    assert (len(items), items.classes, items.class_to_idx) == (4, ["gull", "tern"], {"gull": 0, "tern": 1})
    batches = list(loader(items, 3))
    assert [len(batch) for batch in batches] == [3, 1]
    assert [target for batch in batches for _, target in batch] == ["1", "0", "1", "0"]
    assert batches[0][0][0] == Image.open(BytesIO(picture(0))).getpixel((0, 0))
    assert dataset.to_torch()[0][0].mode == "RGB"


def _corner(image: Image.Image) -> Any:
    return image.getpixel((0, 0))


def test_a_library_that_is_not_there_is_named(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name, convert in (("pandas", dataset.to_pandas), ("datasets", dataset.to_huggingface)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ClientError, match=f"pip install {name}"):
            convert()


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_damage_is_found_where_it_is(tmp_path: Path) -> None:
    files = dataset_files(3)
    path = write_zip(tmp_path / "image.zip", files)
    change(path, picture(1)[5000:5020], bytes(20))
    with Dataset.open(path) as dataset:
        assert isinstance(dataset[0], Sample)
        with pytest.raises(DatasetError, match=r"images/gull/.* is damaged: its SHA-256"):
            dataset[1]
        with pytest.raises(DatasetError, match="damaged"):
            list(dataset)
    path = write_zip(tmp_path / "table.zip", files)
    change(path, b'"width": 160', b'"width": 161')
    with pytest.raises(DatasetError, match=r"metadata\.jsonl of table\.zip is damaged"):
        Dataset.open(path)
    path = write_zip(tmp_path / "cut.zip", files)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="no zip or tar"):
        Dataset.open(path)
    text = b"no image at all"
    name = f"images/tern/{hashlib.sha256(text).hexdigest()}.jpg"
    table = b'{"file_name": "%s", "label": "tern", "sha256": "%s"}\n' % (name.encode(), name[12:-4].encode())
    odd = {name: text, "metadata.jsonl": table}
    path = write_zip(tmp_path / "text.zip", odd | {"MANIFEST.sha256": manifest(odd)})
    with Dataset.open(path) as dataset, pytest.raises(DatasetError, match="cannot be decoded"):
        dataset[0]


def test_files_that_are_no_datasets(tmp_path: Path) -> None:
    files = dataset_files(2)
    with pytest.raises(DatasetError, match=r"neither metadata\.jsonl nor MANIFEST\.sha256"):
        Dataset.open(write_zip(tmp_path / "a.zip", {"train-00000.parquet": b"PAR1"}))
    some = dict(files)
    del some["MANIFEST.sha256"]
    with pytest.raises(DatasetError, match=r"it has no MANIFEST\.sha256"):
        Dataset.open(write_zip(tmp_path / "b.zip", some))
    some = dict(files)
    del some[next(iter(some))]
    with pytest.raises(DatasetError, match="no image for a row"):
        Dataset.open(write_zip(tmp_path / "c.zip", some))
    for table in (b"[1]\n", b"{\n", b"\n", b'{"file_name": 1}\n'):
        odd = {"metadata.jsonl": table}
        with pytest.raises(DatasetError, match="row"):
            Dataset.open(write_zip(tmp_path / "d.zip", odd | {"MANIFEST.sha256": manifest(odd)}))
    (tmp_path / "e.zip").write_bytes(b"PK\3\4" + bytes(100))
    for path in (tmp_path / "e.zip", tmp_path / "nothing.zip"):
        with pytest.raises(DatasetError):
            Dataset.open(path)


@pytest.mark.parametrize(
    "name", ["../up.jpg", "/etc/passwd", "images/../../up", "C:/x", "C:\\x", "a\\..\\b", "..", "images/.."]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    files = dataset_files(1) | {name: b"x"}
    for path in (write_zip(tmp_path / "set.zip", files), write_tar(tmp_path / "set.tar", files)):
        with pytest.raises(DatasetError, match="is not what Gleanset packs"):
            Dataset.open(path)


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        path = write_tar(tmp_path / "set.tar", dataset_files(1))
        with tarfile.open(path, "a") as packed:
            info = tarfile.TarInfo("images/link.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
        with pytest.raises(DatasetError, match="not what Gleanset packs"):
            Dataset.open(path)
    path = write_zip(tmp_path / "set.zip", dataset_files(1))
    with zipfile.ZipFile(path, "a") as zipped:
        link = zipfile.ZipInfo("images/link.jpg")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="not what Gleanset packs"):
        Dataset.open(path)


def test_a_tar_that_leads_round_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    entry = tarfile.TarInfo("x")
    entry.size = -512
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(DatasetError, match="less than no bytes"):
        Dataset.open(path)


def test_bombs_do_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bytes(50_000_000)
    path = write_zip(tmp_path / "set.zip", {"bomb": bomb}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(archive, "MAX_FILE", 1_000_000)
    with pytest.raises(DatasetError, match="more than is read here"):
        Archive(path).read("bomb")
    lying = path.read_bytes().replace((50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(lying)
    with pytest.raises(DatasetError, match="damaged"):
        Archive(path).read("bomb")
    monkeypatch.setattr(archive, "_SPARE", 1_000_000)
    packed = write_tar(tmp_path / "set.tar.gz", {"bomb": bomb}, "w:gz")
    with pytest.raises(DatasetError, match="far more"):
        unpack(packed, tmp_path / "set.tar", "gzip")
    assert (tmp_path / "set.tar").stat().st_size < 3_000_000
