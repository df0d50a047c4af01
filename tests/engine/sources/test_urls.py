from __future__ import annotations

import asyncio
import csv
import io
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import SourceError
from gleanset.sources.urls import UrlList, count_rows, plan
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.reading import assert_resumable, candidates, read

Rows = list[dict[str, str]]


async def all_of(path: Path, **options: Any) -> list[Candidate]:
    source = UrlList()
    return [candidate for query in plan(path, **options) for candidate in candidates(await read(source, query))]


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["url", "label", "note"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    schema = pa.schema([(name, pa.string()) for name in ("url", "label", "note")])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=7)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "list.csv": write_csv,
    "list.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "list.jsonl": write_jsonl,
    "list.parquet": write_parquet,
}
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries({"url": st.sampled_from(["", "https://x.example/1", "junk", "https://x.example/ü?a,b;c"])})
    | st.fixed_dictionaries({"url": CELL, "label": CELL, "note": CELL | st.just('a "quoted",\nlong; one')}),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, rows_per_chunk=st.integers(1, 12), page_rows=st.integers(1, 5))
def test_slices_pages_and_resumes_give_every_row_once(
    name: str, rows: Rows, rows_per_chunk: int, page_rows: int
) -> None:
    rows = [{"url": "", "label": "", "note": ""} | row for row in rows]
    expected = [
        (row["url"].strip(), row["label"].strip() or "unlabelled", row["note"]) for row in rows if row["url"].strip()
    ]
    source = UrlList(page_rows)

    async def check(path: Path) -> None:
        queries = plan(path, rows_per_chunk=rows_per_chunk)
        found: list[Candidate] = []
        for query in queries:
            query = Query(source="urls", label=query.label, options=json.loads(json.dumps(dict(query.options))))
            part = candidates(await read(source, query))
            assert len(part) == query.options["count"]
            assert query.options["stop"] - query.options["start"] <= rows_per_chunk
            await assert_resumable(source, query)
            found += part
        assert [(one.url, one.label, one.metadata.get("note", "")) for one in found] == expected
        assert count_rows(path) == len(expected)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        WRITERS[name](path, rows)
        if expected:
            asyncio.run(check(path))
        else:
            with pytest.raises(SourceError, match="holds no URL"):
                plan(path)


async def test_a_plain_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffhttps://a.example/1.jpg\r\n\r\n# a comment\n  https://a.example/ü.jpg \nnot a url".encode())
    found = await all_of(path, rows_per_chunk=2)
    assert [one.url for one in found] == ["https://a.example/1.jpg", "https://a.example/ü.jpg", "not a url"]
    assert {(one.label, one.source, one.keyword) for one in found} == {("unlabelled", "urls", None)}
    assert {one.label for one in await all_of(path, label="cat")} == {"cat"}
    for query in plan(path, rows_per_chunk=2):
        await assert_resumable(UrlList(1), query)


PROVENANCE = {
    "image_url": "https://m.example/1.jpg",
    "label": "cat",
    "source_page": "https://m.example/1",
    "title": "Tom",
    "Author": "Ada",
    "author_url": "https://m.example/ada",
    "license": "CC BY-SA 4.0",
    "License URL": "https://creativecommons.org/licenses/by-sa/4.0/",
    "camera": "Box",
    "empty": "",
}
CANDIDATE = Candidate(
    url="https://m.example/1.jpg",
    label="cat",
    source="urls",
    page_url="https://m.example/1",
    title="Tom",
    creator="Ada",
    creator_url="https://m.example/ada",
    licence=Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    attribution='"Tom" by Ada, CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), via https://m.example/1',
    metadata={"camera": "Box"},
)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_columns_become_fields_in_csv(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "list.csv"
    lines = [delimiter.join(PROVENANCE), delimiter.join(PROVENANCE.values())]
    path.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    assert await all_of(path) == [CANDIDATE]


async def test_columns_become_fields_in_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    deep = PROVENANCE | {"exif": {"iso": 100, "gps": [1.5, float("nan")]}, "title": "Tom"}
    path.write_text(
        json.dumps(deep) + "\n\n" + json.dumps({"image_url": 5, "label": 7, "author": ["x"]}), encoding="utf-8"
    )
    first, second = await all_of(path)
    assert first.metadata == {"camera": "Box", "exif": {"iso": 100, "gps": [1.5, None]}}
    assert (first.licence, first.attribution) == (CANDIDATE.licence, CANDIDATE.attribution)
    assert (second.url, second.label, second.creator, second.metadata) == ("5", "7", None, {"author": ["x"]})


async def test_columns_become_fields_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    table = pa.Table.from_pylist([PROVENANCE | {"size": 3, "raw": b"\xff", "score": 0.5}])
    nanoseconds = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))
    table = table.append_column("taken", nanoseconds).append_column("day", pa.array([date(2024, 1, 2)], pa.date32()))
    pq.write_table(table, path)
    (found,) = await all_of(path)
    assert found.metadata == {
        "camera": "Box",
        "size": 3,
        "score": 0.5,
        "taken": "2023-11-14 22:13:20.123456789",
        "day": "2024-01-02",
    }
    assert found.page_url == CANDIDATE.page_url


async def test_named_columns_and_a_given_label(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("url,full,kind,label\nhttps://t.example/s,https://t.example/l,dog,animal\n")
    (found,) = await all_of(path, url_column="full", label_column="kind")
    assert (found.url, found.label) == ("https://t.example/l", "dog")
    assert found.metadata == {"url": "https://t.example/s", "label": "animal"}
    (given_label,) = await all_of(path, label="pet")
    assert (given_label.label, given_label.metadata["label"]) == ("pet", "animal")


async def test_cells_past_the_header_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("url,label\nhttps://t.example/1,cat,more,still\nhttps://t.example/2\n")
    first, second = await all_of(path)
    assert first.metadata == {"extra": ["more", "still"]}
    assert (second.url, second.label) == ("https://t.example/2", "unlabelled")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("list.txt", b"", "holds no URL"),
        ("list.txt", b"# nothing\n\n", "holds no URL"),
        ("list.csv", b"", "is empty"),
        ("list.csv", b"url,label\n", "holds no URL"),
        ("list.csv", b"url,label\n,cat\n ,dog\n", "holds no URL"),
        ("list.csv", b"name,size\nx,3\n", "no column that is known to hold URLs.*: name, size"),
        ("list.jsonl", b'{"name": "x"}\n', "no column that is known to hold URLs.*: name"),
        ("list.jsonl", b"\n", "is empty"),
        ("list.jsonl", b'{"url": "https://x"}\n\n{"url": "https://y"\n', "list.jsonl line 3 is not valid JSON"),
        ("list.jsonl", b'{"url": "https://x"}\n["https://y"]\n', "list.jsonl line 2 is not a JSON object"),
        ("list.txt", b"https://x\nhttps://y\n\xff\xfe\n", "list.txt line 3 is not UTF-8"),
        ("list.csv", "url\nhttps://x\n".encode("utf-16"), "list.csv line 1 is not UTF-8"),
        ("list.csv", b'url,label\nhttps://x,"never\nclosed\n', "list.csv line 3 is not valid CSV"),
        ("list.txt", b"x" * (9 * 2**20), "list.txt line 1 is longer than 8 MiB"),
        ("list.parquet", b"url\nhttps://x\n", "is not a readable Parquet file"),
        ("list.parquet", b"", "is not a readable Parquet file"),
        ("list.xlsx", b"PK", r"suffix that says nothing.*\.txt, \.csv"),
    ],
)
def test_an_unreadable_list_gets_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=sentence) as caught:
        plan(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.txt", tmp_path / "gone.parquet", tmp_path):
        with pytest.raises(SourceError, match="does not exist or is not a file"):
            plan(path)


async def test_slices_of_one_large_row_group(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    urls = [f"https://x.example/{number}" for number in range(2_000)]
    pq.write_table(pa.table({"url": urls}), path)
    assert [one.url for one in await all_of(path, rows_per_chunk=700)] == urls


@pytest.mark.parametrize("column", ["url_column", "label_column"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_column_that_is_not_there(tmp_path: Path, name: str, column: str) -> None:
    WRITERS[name](tmp_path / name, [{"url": "https://x", "label": "cat", "note": "n"}])
    with pytest.raises(
        SourceError, match=r"no column 'noet'\. Did you mean note\? Its columns are: url, label, note\."
    ):
        plan(tmp_path / name, **{column: "noet"})
    with pytest.raises(SourceError, match="no column 'noet'"):
        plan(tmp_path / name, **{column: "noet"}, label="cat")


async def test_a_list_that_changed_after_planning(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("https://x.example/1\n")
    (query,) = plan(path)
    path.write_text("https://x.example/1\nhttps://x.example/2\n")
    with pytest.raises(SourceError, match="has changed since the job was planned"):
        await read(UrlList(), query)
    path.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        await read(UrlList(), query)


async def test_a_cursor_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("https://x.example/1\n" * 10)
    _, second = plan(path, rows_per_chunk=5)
    for cursor in ("4", "11", "x"):
        with pytest.raises(SourceError, match="it is a row from 5 to 10"):
            await read(UrlList(), second, cursor)
    with pytest.raises(SourceError, match="must be planned"):
        await read(UrlList(), Query(source="urls", label="x"))


@pytest.mark.parametrize("name", ["list.txt", *WRITERS])
async def test_a_reader_that_stops_early_closes_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"url": f"https://x.example/{number}", "label": "a", "note": "b"} for number in range(50)]
    WRITERS.get(name, lambda path, rows: path.write_text("\n".join(row["url"] for row in rows)))(path, rows)
    (query,) = plan(path)
    pages = UrlList(10).pages(query, None)
    await anext(pages)
    assert is_open(path)
    await pages.aclose()
    assert not is_open(path)


def is_open(path: Path) -> bool:
    return any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())


async def test_a_long_list_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("w") as file:
        file.write("url,note\n")
        file.writelines(f"https://x.example/{number},{'n' * 2000}\n" for number in range(8_000))
    count = 0
    tracemalloc.start()
    for query in plan(path, rows_per_chunk=4_000):
        async for page in UrlList().pages(query, None):
            count += len(page.candidates)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 8_000
    assert peak < 2 * 2**20, "a page or two of rows, of a file of 16 MB"


async def test_what_contradicts_itself_states_no_licence_and_stays_to_be_read(tmp_path: Path) -> None:
    said = {"licence": "All rights reserved", "licence_url": "https://creativecommons.org/licenses/by/4.0/"}
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps({"url": "https://x.example/1"} | said) + "\n")
    (found,) = await all_of(path)
    assert (found.licence, found.attribution, found.metadata) == (None, None, said)
