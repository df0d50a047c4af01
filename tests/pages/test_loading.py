"""The code that the page shows beside each export, run as it stands there, over the file that the page gives out."""

from __future__ import annotations

import html
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from gleanset.export import DOWNLOADED, FORMATS, TAKEN_BY
from tests.api.albums import Gathered, gathered, picture
from tests.api.working import worker
from tests.serving import Served

# The libraries leave files to the collector, and warn of what others do.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WITHOUT_IMAGES = {"csv", "jsonl"}
NO_TORCH = {"torchvision", "Ultralytics"}
"""Clients whose code is not run here: it is compiled, and what it names has to be there."""
SHARDS = 3


@pytest.fixture(scope="module")
def packing(served: Served) -> Iterator[None]:
    with worker(served):
        yield


@pytest.fixture(scope="module")
def job(served: Served, packing: None) -> Gathered:
    """Pictures of several formats and labels, some MB of them."""
    files = [picture("china", 640 + n, "png") for n in range(6)]
    files += [picture("flower", 200 + n, ("jpeg", "webp")[n % 2]) for n in range(12)]
    return gathered(served, served.person(), files, fields=lambda n: {"label": ("cat", "Dog")[n % 2]})


@pytest.fixture
def me(served: Served, job: Gathered) -> Iterator[httpx.Client]:
    with served.browser(job.user_id, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody has saved the file. Hugging Face's library has no network, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def packed(me: httpx.Client, job: Gathered, here: Path, **form: str) -> tuple[dict[str, str], dict[str, int]]:
    """Order an export by the form, save its file, and what the page says of it: code by client; and the splits."""
    asked = {"name": "Cats & dogs", "include_metadata": "yes", **form}
    if asked["format"] in TAKEN_BY["max_shard_size"]:
        asked["max_shard"] = "1"
    page = me.post(f"/jobs/{job.job_id}/exports", data=asked)
    assert "The images are being packed." in page.text
    ends = time.monotonic() + 90
    while True:
        [*_, made] = sorted(me.get("/api/v1/export-jobs").json()["items"], key=lambda each: each["id"])
        if made["status"] not in ("pending", "running") or time.monotonic() > ends:
            break
        time.sleep(0.1)
    assert (made["status"], made["error_message"]) == ("completed", None)
    file = me.get(f"/api/v1/export-jobs/{made['id']}/download")
    [name] = re.findall(r'filename="([^"]+)"', file.headers["Content-Disposition"])
    (here / name).write_bytes(file.content)
    text = me.get(f"/jobs/{job.job_id}/exports").text.partition('class="card export"')[2].partition("</details>")[0]
    shown = re.findall(r'<h4>(.*?)</h4>\s*<pre tabindex="0">(.*?)</pre>', text, re.DOTALL)
    return {client: html.unescape(code) for client, code in shown}, made["splits"]


def check(shown: Mapping[str, str], format_: str, images: int, of_first: int, *, loads_split: bool) -> None:
    """Unpack as the page says, and run all that it shows."""
    subprocess.run(["sh", "-euc", shown["Unpack and check"]], check=True, capture_output=True)
    for client, code in shown.items():
        expected = of_first if (loads_split and client != "pandas") or ".split(" in code else images
        if client in NO_TORCH:
            compile(code, client, "exec")
            for name in re.findall(r'"([^"]*/[^"]*)"', code):
                assert Path(name).exists(), code
            if "ImageFolder" in code:
                [root] = re.findall(r'ImageFolder\("(.*?)"\)', code)
                assert sum(path.is_file() for path in Path(root).glob("*/*")) == expected
        elif client != "Unpack and check":
            run(client, code, expected, with_images=format_ not in WITHOUT_IMAGES)


def run(client: str, code: str, expected: int, *, with_images: bool) -> None:
    names: dict[str, Any] = {}
    exec(code, names)  # as it stands on the page
    if client == "pandas":
        assert len(names["rows"]) == expected
    elif client == "pycocotools":
        assert len(names["dataset"].getImgIds()) == expected
    elif client == "webdataset":
        rows = list(names["dataset"])
        assert len(rows) == expected
        assert all(image.size and row["licence"] == "by-sa" for image, _, row in rows)
    elif client.startswith("PyTorch"):
        assert len(names["dataset"]) == expected
        assert names["picture"].mode == "RGB"
    else:
        assert client == "Hugging Face datasets"
        assert len(names["dataset"]) == expected
        first = names["dataset"][0]
        assert bool({"image", "png", "jpg"} & first.keys()) == with_images
        assert with_images or first["original_url"].startswith("https://example.org/")


@pytest.mark.parametrize("format_", DOWNLOADED)
@pytest.mark.parametrize("split", ["", "folds"])
def test_what_the_page_shows_loads_what_it_packed(
    me: httpx.Client, job: Gathered, here: Path, format_: str, split: str
) -> None:
    shown, splits = packed(me, job, here, format=format_, split=split, folds="2", related_series="")
    images = len(job.images)
    assert sum(splits.values()) == (images if split else 0)
    layout, _ = FORMATS[format_]
    whole = layout in WITHOUT_IMAGES
    check(shown, format_, images, splits.get("fold_1", images), loads_split=not whole)


def test_all_shards_are_read(me: httpx.Client, job: Gathered, here: Path) -> None:
    shown, _ = packed(me, job, here, format="webdataset")
    subprocess.run(["sh", "-euc", shown["Unpack and check"]], check=True)
    assert len(list(here.glob("*/train-*.tar"))) >= SHARDS
    run("webdataset", shown["webdataset"], len(job.images), with_images=True)


@pytest.mark.parametrize("format_", [name for name in DOWNLOADED if name not in {"tar", "tar.gz", "tar.zst"}])
def test_copies_without_metadata(me: httpx.Client, job: Gathered, here: Path, format_: str) -> None:
    form = {"include_metadata": "", "resize": "crop", "size": "32", "resize_format": "png", "split": "ratios"}
    shown, splits = packed(me, job, here, format=format_, ratios="train=50, validation=50", related_series="", **form)
    whole = FORMATS[format_][0] in WITHOUT_IMAGES
    check(shown, format_, len(job.images), splits["train"], loads_split=not whole)


def test_what_is_not_there_has_no_code(me: httpx.Client, job: Gathered) -> None:
    new = gathered(job.served, job.user_id, [picture()])
    text = me.get(f"/jobs/{new.job_id}/exports").text
    assert "Unpack and check" not in text
    assert "load_dataset" not in text
