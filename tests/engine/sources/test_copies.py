"""Lists that are compressed or lie elsewhere: brought into the store once, and read from there by range."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from gleanset.errors import SourceError, StoreError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.sources.copies import readable_everywhere
from gleanset.sources.list_file import ListFile
from gleanset.sources.urls import UrlList, plan
from gleanset.store import Store
from gleanset.types import Candidate
from tests.engine.disk import longest_file
from tests.engine.sources.reading import assert_resumable, candidates, read
from tests.engine.sources.serving import Served

MOST = 10_000_000
URLS = [f"https://x.example/{number}" for number in range(250)]
CSV = ("url,label\n" + "".join(f"{url},cat\n" for url in URLS)).encode()


class Lists(Served):
    """Serves files, body and media type by name; /moved leads to /export."""

    def __init__(self, files: dict[str, tuple[bytes, str]]) -> None:
        super().__init__()
        self.files = files
        self.breaks = 1
        self.asked = 0

    async def __aenter__(self) -> Lists:
        await self.start()
        return self

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/moved", self._moved), web.get("/breaks.csv", self._breaks), web.get("/{name}", self._file)]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        body, kind = self.files.get(request.match_info["name"], (b"", ""))
        return web.Response(body=body, content_type=kind) if kind else web.Response(status=404)

    async def _moved(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/export"})

    async def _breaks(self, request: web.Request) -> web.StreamResponse:
        """Breaks off in the middle the first time."""
        answer = web.StreamResponse(headers={"Content-Length": str(len(CSV))})
        await answer.prepare(request)
        self.breaks -= 1
        await answer.write(CSV if self.breaks < 0 else CSV[:1000])
        if self.breaks >= 0 and request.transport is not None:
            request.transport.abort()
        return answer


async def urls_of(file: ListFile, place: str) -> list[str]:
    found: list[Candidate] = []
    for query in plan(file, rows_per_chunk=100):
        source = UrlList(30, place)
        await assert_resumable(source, query)
        found += candidates(await read(source, query))
    return [one.url for one in found]


def stored(content: bytes, suffix: str) -> str:
    return f"lists/{hashlib.sha256(content).hexdigest()}{suffix}"


@pytest.mark.parametrize("name", ["list.csv.gz", "LIST.CSV.GZ", "list.csv", "list"])
async def test_a_gzipped_list_is_known_by_its_bytes(tmp_path: Path, http: Fetcher, place: str, name: str) -> None:
    content = CSV if name != "list" else "\n".join(URLS).encode()
    half = len(content) // 2
    (tmp_path / name).write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    file = await readable_everywhere(str(tmp_path / name), http, Store(place), tmp_path / "tmp", MOST)
    assert file.key == stored(content, ".txt" if name == "list" else ".csv")
    assert await urls_of(file, place) == URLS
    assert list((tmp_path / "tmp").iterdir()) == []
    (tmp_path / name).unlink()
    assert await urls_of(file, place) == URLS, "the copy is all that is needed"


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz", "gone.csv.gz"])
async def test_a_plain_list_stays_where_it_is(tmp_path: Path, http: Fetcher, name: str) -> None:
    if "gone" not in name:
        (tmp_path / name).write_bytes(CSV)
    file = await readable_everywhere(str(tmp_path / name), http, Store(str(tmp_path / "s")), tmp_path / "tmp", MOST)
    assert file == ListFile(str(tmp_path / name))
    assert not (tmp_path / "tmp").exists()


async def test_parquet_is_read_from_the_store(tmp_path: Path, http: Fetcher, place: str) -> None:
    pq.write_table(pa.table({"url": URLS, "n": range(250)}), tmp_path / "plain", row_group_size=70)
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / "list.parquet.gz").write_bytes(gzip.compress(content))
    path = str(tmp_path / "list.parquet.gz")
    file = await readable_everywhere(path, http, Store(place), tmp_path / "tmp", MOST)
    assert file.key == stored(content, ".parquet")
    assert await urls_of(file, place) == URLS


async def test_a_list_in_an_object_store(tmp_path: Path, http: Fetcher, s3: str) -> None:
    for name, content in (("a list.csv", CSV), ("list.csv.gz", gzip.compress(CSV))):
        await Store(f"{s3}/there").put(name, content)
        file = await readable_everywhere(f"{s3}/there/{name}", http, Store(s3), tmp_path / "tmp", MOST)
        assert (file.name, file.key) == (f"{s3}/there/{name}", stored(CSV, ".csv"))
        assert await urls_of(file, s3) == URLS
    with pytest.raises(SourceError, match="longer than 100 bytes"):
        await readable_everywhere(f"{s3}/there/a list.csv", http, Store(s3), tmp_path / "tmp", 100)
    with pytest.raises(SourceError, match=r"^The list s3://\S+/none.csv cannot be read\. .*not found.*\.$"):
        await readable_everywhere(f"{s3}/there/none.csv", http, Store(s3), tmp_path / "tmp", MOST)


async def test_an_object_store_that_does_not_let_us_in(
    tmp_path: Path, http: Fetcher, s3: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no such bucket; make it first, or choose another place"):
        await Store("s3://no-bucket-of-that-name/there").put("list.csv", CSV)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"{s3_server}/nowhere")
    with pytest.raises(SourceError) as caught:
        await readable_everywhere(f"{s3}/list.csv", http, Store(str(tmp_path / "s")), tmp_path / "tmp", MOST)
    assert "it needs credentials that allow it, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." in str(
        caught.value
    )


@pytest.mark.parametrize(
    "path", ["list.csv", "list.csv.gz", "moved", "export?format=csv", "list.csv?page=2&x=y.z", "breaks.csv"]
)
async def test_a_list_on_the_web(tmp_path: Path, http: Fetcher, path: str) -> None:
    place = str(tmp_path / "store")
    files = {
        "list.csv": (CSV, "text/plain"),
        "list.csv.gz": (gzip.compress(CSV), "application/gzip"),
        "export": (CSV, "text/csv"),
    }
    async with Lists(files) as lists:
        file = await readable_everywhere(f"{lists.origin}/{path}", http, Store(place), tmp_path / "tmp", MOST)
    assert file.key == stored(CSV, ".csv")
    assert await urls_of(file, place) == URLS
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("none.csv", r"cannot be fetched \(HTTP 404\)\. The server has no such file"),
        ("page", r"The name page says nothing about the list's format"),
        ("long.csv", "is longer than 5,000 bytes"),
        ("cut.csv.gz", "is not a whole gzip file"),
    ],
)
async def test_a_list_that_cannot_be_had(tmp_path: Path, http: Fetcher, path: str, sentence: str) -> None:
    files = {
        "page": (b"<html>", "text/html"),
        "long.csv": (CSV, "text/csv"),
        "cut.csv.gz": (gzip.compress(CSV)[:-300], "application/gzip"),
    }
    async with Lists(files) as lists:
        with pytest.raises(SourceError, match=sentence) as caught:
            await readable_everywhere(f"{lists.origin}/{path}", http, Store(str(tmp_path)), tmp_path / "tmp", 5_000)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.rglob("lists")) == list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz"])
async def test_a_disk_that_takes_no_more(tmp_path: Path, http: Fetcher, name: str) -> None:
    files = {"list.csv": (CSV * 100, "text/csv"), "list.csv.gz": (gzip.compress(CSV * 100), "application/gzip")}
    async with Lists(files) as lists:
        with pytest.raises(StoreError, match="File too large"), longest_file(100_000):
            await readable_everywhere(f"{lists.origin}/{name}", http, Store(str(tmp_path)), tmp_path / "tmp", MOST)
        assert lists.asked == 1, "asking again makes no room"
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_list_in_a_private_network_is_refused(tmp_path: Path) -> None:
    async with Lists({"list.csv": (CSV, "text/csv")}) as lists, Fetcher(FetchOptions()) as guarded:
        with pytest.raises(SourceError, match=r"internal address\. .*--allow-private"):
            await readable_everywhere(f"{lists.origin}/list.csv", guarded, Store(str(tmp_path)), tmp_path, MOST)


@pytest.mark.parametrize("address", ["ftp://x.example/list.csv", "file:///etc/passwd", "gopher://x/list.txt"])
async def test_an_address_that_is_none(tmp_path: Path, http: Fetcher, address: str) -> None:
    with pytest.raises(SourceError, match="Give a path, or an https:// or s3:// address"):
        await readable_everywhere(address, http, Store(str(tmp_path)), tmp_path / "tmp", MOST)


@pytest.mark.parametrize(("most", "sentence"), [(10_000_000, "longer than 10,000,000 bytes"), (10**12, "a trap")])
async def test_a_bomb_is_left_alone(tmp_path: Path, http: Fetcher, most: int, sentence: str) -> None:
    (tmp_path / "bomb.txt.gz").write_bytes(zeros(100_000_000))
    with pytest.raises(SourceError, match=sentence):
        await readable_everywhere(str(tmp_path / "bomb.txt.gz"), http, Store(str(tmp_path)), tmp_path / "tmp", most)
    assert list((tmp_path / "tmp").iterdir()) == []


def zeros(size: int) -> bytes:
    """So many of them, gzipped to a thousandth."""
    squeezing = zlib.compressobj(9, wbits=31)
    parts = [squeezing.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    return b"".join([*parts, squeezing.flush()])


async def test_a_copy_that_is_gone(tmp_path: Path, http: Fetcher, place: str) -> None:
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(CSV))
    store = Store(place)
    file = await readable_everywhere(str(tmp_path / "list.csv.gz"), http, store, tmp_path / "tmp", MOST)
    (query, *_) = plan(file)
    assert file.key is not None
    await store.delete([file.key])
    with pytest.raises(SourceError, match=r"^The copy of the list \S+list.csv.gz cannot be read\. .*\.$") as caught:
        await read(UrlList(store=place), query)
    assert caught.value.retryable, "a store may come back"
    with pytest.raises(SourceError, match="none is set up here"):
        await read(UrlList(), query)


MEASURE = """
import asyncio, re, sys
import pyarrow.parquet
from pathlib import Path
from gleanset.fetch import Fetcher
from gleanset.sources.copies import readable_everywhere
from gleanset.sources.urls import plan
from gleanset.store import Store

async def main():
    folder = Path(sys.argv[2]).parent
    store = Store(str(folder / "store"))
    async with Fetcher() as http:
        file = await readable_everywhere(sys.argv[2], http, store, folder / "tmp", 10**10)
    return sum(query.options["count"] for query in plan(file))

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

before = peak()
assert asyncio.run(main()) == int(sys.argv[1])
print(peak() - before)
"""


def write_many(path: Path, times: int) -> None:
    """20,000 rows, `times` over."""
    urls = [f"https://images.example.org/{n:08d}.jpg" for n in range(20_000)]
    lines = "".join(f"{url},cat\n" for url in urls).encode()
    match path.suffix:
        case ".csv":
            path.write_bytes(b"url,label\n" + lines * times)
        case ".gz":
            path.write_bytes(gzip.compress(b"url,label\n") + gzip.compress(lines, 1) * times)
        case _:
            table = pa.table({"url": urls * times, "label": ["cat"] * len(urls) * times})
            pq.write_table(table, path, row_group_size=1_000_000, use_dictionary=False)


@pytest.mark.parametrize(("name", "most"), [("list.csv", 30), ("list.csv.gz", 120), ("list.parquet", 100)])
def test_two_million_rows_are_planned_in_little_memory(tmp_path: Path, name: str, most: int) -> None:
    write_many(tmp_path / name, 100)
    command = [sys.executable, "-c", MEASURE, "2000000", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most, "MiB, most of it what the allocators of the store and of Arrow keep"


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
async def test_a_list_is_planned_in_one_pass_and_its_last_part_costs_what_its_first_does(
    tmp_path: Path, name: str
) -> None:
    write_many(tmp_path / name, 10)
    size = (tmp_path / name).stat().st_size
    start = bytes_read()
    first, *_, last = plan(tmp_path / name)
    assert bytes_read() - start < size + 2**20
    for query in (first, last):
        start = bytes_read()
        assert len(candidates(await read(UrlList(), query))) == 10_000
        assert bytes_read() - start < (2**20 if name == "list.csv" else size + 2**20)


def bytes_read() -> int:
    """By this process, from files, up to now."""
    return int(Path("/proc/self/io").read_text().split()[1])
