"""Lists that are uploaded: kept under their hash, refused when broken or too long, and gathered from."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.config import Settings
from backend.db import _FROZEN_AFTER  # pyright: ignore[reportPrivateUsage]
from backend.http.bodies import USUAL
from tests.api.working import ended, trust_loopback, until, worker
from tests.postgres import Server
from tests.serving import Served, serving
from tests.web import PictureWeb, expected, sha256_of

LISTS = "/api/v1/lists"
CSV = b"image_url,label\nhttps://example.org/1.jpg,tern\nhttps://example.org/2.jpg,gull\n"
LONGEST = 200_000


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = {"home": home, "max_upload_bytes": LONGEST}
    with embedded.migrated() as url, serving(Settings(database_url=url, **settings), url) as running:
        yield running


def upload(client: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return client.post(LISTS, files={"file": (name, data)})


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"url": ["https://example.org/1.jpg", "https://example.org/2.jpg"], "w": [1, 2]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("birds.csv", CSV, ("csv", ["image_url", "label"], "image_url", 2)),
        ("birds.csv.gz", gzip.compress(CSV), ("csv", ["image_url", "label"], "image_url", 2)),
        ("birds.tsv", CSV.replace(b",", b"\t"), ("tsv", ["image_url", "label"], "image_url", 2)),
        ("birds.txt", b"https://example.org/1.jpg\n# no\nhttps://example.org/2.jpg\n", ("txt", ["url"], "url", 2)),
        ("birds.jsonl", b'{"where": "https://example.org/1.jpg"}\n', ("jsonl", ["where"], None, 1)),
        ("birds.parquet", parquet(), ("parquet", ["url", "w"], "url", 2)),
        ("C:\\my birds\\\x01birds.csv", CSV, ("csv", ["image_url", "label"], "image_url", 2)),
    ],
    ids=["csv", "gzipped", "tsv", "txt", "jsonl", "parquet", "odd name"],
)
def test_a_list_is_kept_under_its_hash(served: Served, me: httpx.Client, name: str, data: bytes, told: Any) -> None:
    answer = upload(me, name, data)
    assert answer.status_code == 201, answer.text
    kept = answer.json()
    assert (kept["format"], kept["columns"], kept["url_column"], kept["rows"]) == told
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    assert kept["key"] == f"lists/{hashlib.sha256(plain).hexdigest()}.{told[0]}"
    assert (served.settings.home / "images" / kept["key"]).read_bytes() == plain
    entry, *_ = me.get("/api/v1/activity").json()["items"]
    assert (entry["action"], entry["metadata_"]["key"]) == ("list.uploaded", kept["key"])


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("birds.exe", CSV, "says nothing about the list's format"),
        ("birds.csv", b"", "is empty"),
        ("birds.csv", b"url\n\xff\xfe\n", "is not UTF-8"),
        ("birds.csv", b'url\n"never closed\n', "is not valid CSV"),
        ("birds.jsonl", b"{}\n[1]\n", "is not a JSON object"),
        ("birds.parquet", b"PAR1 no", "is not a readable Parquet file"),
        ("birds.csv.gz", gzip.compress(CSV)[:-9], "is not a whole gzip file"),
        ("birds.csv.gz", gzip.compress(b"url\n" + b"x" * LONGEST), "is longer than 200,000 bytes"),
    ],
    ids=["suffix", "empty", "encoding", "quote", "json", "parquet", "cut gzip", "long gzip"],
)
def test_what_is_no_list_is_refused(me: httpx.Client, name: str, data: bytes, sentence: str) -> None:
    answer = upload(me, name, data)
    assert (answer.status_code, sentence in answer.json()["message"]) == (422, True), answer.text


def test_a_form_without_a_file_is_refused(me: httpx.Client) -> None:
    fields = {f"field {n}": "x" for n in range(9)}
    for answer in (
        me.post(LISTS, data={"file": "text"}),
        me.post(LISTS, json={}),
        me.post(LISTS),
        me.post(LISTS, files={"file": ("birds.csv", CSV)}, data=fields),
        me.post("/api/v1/crawl-jobs", content=b"\xff", headers={"Content-Type": "application/json"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_nothing_longer_than_the_limit_is_taken(served: Served, me: httpx.Client) -> None:
    answer = upload(me, "birds.csv", b"url\n" + b"x" * 2 * LONGEST)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def unending() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 65536

    for path, kind in ((LISTS, "multipart/form-data; boundary=b"), ("/api/v1/projects", "application/json")):
        headers = {"Content-Type": kind}
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' if path == LISTS else b'"'
        )
        assert answered(me, path, body, unending(), headers) == 413
    assert me.post("/api/v1/projects", content=b" " * (USUAL + 1)).status_code == 413


def answered(client: httpx.Client, path: str, first: bytes, rest: Iterator[bytes], headers: dict[str, str]) -> int:
    """The status of an answer that comes before the whole request is sent; 413 when the server hung up on it."""

    def body() -> Iterator[bytes]:
        yield first
        yield from rest

    try:
        return client.post(path, content=body(), headers=headers).status_code
    except httpx.WriteError:
        return 413


def test_who_is_not_logged_in_uploads_nothing(served: Served) -> None:
    with served.anonymous() as nobody:
        assert upload(nobody, "birds.csv", CSV).status_code == 401


def test_the_token_may_be_in_the_form(served: Served, me: httpx.Client) -> None:
    token = me.headers.pop("X-CSRF-Token")
    assert upload(me, "birds.csv", CSV).status_code == 403
    answer = me.post(LISTS, files={"file": ("birds.csv", CSV)}, data={"csrf_token": token})
    assert answer.status_code == 201


def test_an_upload_may_take_longer_than_a_transaction_may_rest(me: httpx.Client) -> None:
    def slow() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        yield CSV
        time.sleep(_FROZEN_AFTER + 1)
        yield b"\r\n--b--\r\n"

    answer = me.post(LISTS, content=slow(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 201


def test_the_whole_way_from_an_uploaded_list_to_a_dataset(served: Served, me: httpx.Client) -> None:
    web = PictureWeb()
    numbers = range(1, 40)
    good = [number for number in numbers if expected(number) is None]
    with web.served() as url, worker(served):
        rows = "".join(f"{url}/{number}.jpg,{'odd' if number % 2 else 'even'}\n" for number in numbers)
        key = upload(me, "birds.csv", f"url,label\n{rows}".encode()).json()["key"]
        project = me.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]
        options = {"lists": [{"key": key}], "export": {"format": "zip"}, "rules": {"min_width": 16}}
        body = {"project_id": project, "name": "Mine", "options": options, "max_images": 100}
        job = me.post("/api/v1/crawl-jobs", json=body).json()
        path = f"/api/v1/crawl-jobs/{job['id']}"
        trust_loopback(served, job["id"])
        assert me.post(f"{path}/start").status_code == 202
        done = ended(me, path)
        export = until(lambda: me.get("/api/v1/export-jobs", params={"crawl_job_id": job["id"]}).json()["items"])[0]
        export = ended(me, f"/api/v1/export-jobs/{export['id']}")
    assert (done["status"], done["total_images"], done["downloaded_images"]) == ("completed", 39, len(good))
    assert {row["source"] for row in me.get(f"{path}/chunks").json()["items"]} == {"urls"}
    assert (export["status"], export["exported_images"]) == ("completed", len(good))
    link = me.post(f"/api/v1/export-jobs/{export['id']}/link").json()["url"]
    with served.anonymous() as nobody, zipfile.ZipFile(io.BytesIO(nobody.get(link).content)) as packed:
        assert packed.testzip() is None
        names = [name for name in packed.namelist() if name.startswith("images/")]
        hashes = {hashlib.sha256(packed.read(name)).hexdigest() for name in names}
    assert hashes == {sha256_of(number) for number in good}
    assert {name.split("/")[-2] for name in names} == {"odd", "even"}


def test_a_disk_that_takes_no_more_is_told(served: Served, me: httpx.Client) -> None:
    folder = served.settings.home / "tmp"
    away = folder.rename(folder.with_name("away")) if folder.exists() else None
    folder.write_text("not a folder")
    try:
        answer = upload(me, "birds.csv", CSV)
    finally:
        folder.unlink()
        if away:
            away.rename(folder)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert "Make room there, and try again" in answer.json()["message"]


def test_a_list_is_looked_at_before_it_is_gathered(me: httpx.Client, other: httpx.Client) -> None:
    key = upload(me, "birds.csv", CSV).json()["key"]
    options = {"lists": [{"key": key}, {"url": "https://example.org/list.csv"}]}
    seen = me.post("/api/v1/crawl-jobs/preview", json={"options": options, "limit": 1}).json()
    assert seen["items"] == [
        {
            "url": "https://example.org/1.jpg", "label": "tern", "source": "urls",
            "title": None, "creator": None, "licence": None, "page_url": None,
        }
    ]  # fmt: skip
    assert set(seen["problems"]) == {"https://example.org/list.csv"}
    for body in ({}, {"keywords": ["tern"], "limit": 25}, {"keywords": ["tern"], "options": {"sources": ["flickr"]}}):
        assert me.post("/api/v1/crawl-jobs/preview", json=body).status_code == 422
    assert me.get("/api/v1/crawl-jobs").json()["items"] == []
