"""Lists of URLs as a source: planned into slices of rows, each row a candidate with all its columns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.base import SourceInfo
from gleanset.sources.columns import UNLABELLED, described, normal
from gleanset.sources.list_file import ListFile
from gleanset.sources.lists import ListReader, Position, Row, Rows, Slice, open_list
from gleanset.sources.text import clean, integer
from gleanset.store import Store
from gleanset.types import Candidate, Page, Query

_URL_COLUMNS = (
    *("url", "image_url", "original_url", "img_url", "photo_url", "imageurl", "media_url", "download_url"),
    *("file_url", "image", "src", "link", "href", "uri", "urls"),
)


class UrlList:
    """Reads the slice of a list that a query of `plan` names. A cursor is the number of the next row."""

    name = "urls"

    def __init__(self, page_rows: int = 200, store: str | None = None) -> None:
        self._page_rows = page_rows
        self._store = store

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        row, rows = await asyncio.to_thread(_open, query, cursor, self._store)
        stop = int(query.options["stop"])
        try:
            while True:
                end = min(row + self._page_rows, stop)
                found = await asyncio.to_thread(_candidates, islice(rows, end - row), query)
                row = end
                yield Page(found, str(row) if row < stop else None)
                if row >= stop:
                    return
        finally:
            # A thread may still be reading when the task is cancelled; then the last reference closes the file.
            with suppress(ValueError):
                rows.close()


def plan(
    file: ListFile | str | Path,
    *,
    rows_per_chunk: int = 10_000,
    url_column: str | None = None,
    label_column: str | None = None,
    label: str | None = None,
) -> list[Query]:
    """Reads the whole list once, and cuts it into queries of at most `rows_per_chunk` rows.

    A given `label` wins over the label column. Each query's option `count` is the number of its candidates: rows with
    a URL, whatever it looks like. Raises SourceError for a list that cannot be read to its end or holds no URL.
    """
    file, reader, shared = _shared(file, url_column, label_column, label)
    queries = [
        Query(source=UrlList.name, label=label or UNLABELLED, options=shared | _options(part))
        for part in reader.slices(str(shared["url_column"]), rows_per_chunk)
        if part.count
    ]
    if not queries:
        raise SourceError(f"The list {file.name} holds no URL.")
    return queries


def first_rows(
    file: ListFile,
    rows: int,
    *,
    url_column: str | None = None,
    label_column: str | None = None,
    label: str | None = None,
) -> Query:
    """The query of the first rows of a list; no more than these are read. Raises SourceError as `plan` does."""
    file, reader, shared = _shared(file, url_column, label_column, label)
    part = next(reader.slices(str(shared["url_column"]), rows), None)
    if part is None:
        raise SourceError(f"The list {file.name} holds no URL.")
    return Query(source=UrlList.name, label=label or UNLABELLED, options=shared | _options(part))


def _shared(
    file: ListFile | str | Path, url_column: str | None, label_column: str | None, label: str | None
) -> tuple[ListFile, ListReader, dict[str, Any]]:
    """The list, and the options that the queries of all its slices have."""
    if not isinstance(file, ListFile):
        file = ListFile(str(Path(file).absolute()))
    reader = open_list(file)
    columns = reader.columns
    url_column = _url_column(file, columns, url_column)
    label_column = _label_column(file, columns, label_column)  # one that is not there is told in any case
    shared: dict[str, Any] = {
        "path": file.name,
        "size": file.size(),
        "url_column": url_column,
        "label_column": None if label else label_column,
    }
    return file, reader, shared | ({"key": file.key} if file.key is not None else {})


def count_rows(path: str | Path, *, url_column: str | None = None) -> int:
    """The number of candidates in a list. Reads all of it; raises SourceError as `plan` does."""
    return sum(query.options["count"] for query in plan(path, url_column=url_column))


def guess_url_column(columns: Sequence[str]) -> str | None:
    """The column that usually holds the URL; None when no name is known."""
    by_name = {normal(column): column for column in reversed(columns)}
    return next((by_name[name] for name in _URL_COLUMNS if name in by_name), None)


def _options(part: Slice) -> dict[str, int]:
    start = part.start
    return {"start": start.row, "stop": part.stop, "offset": start.offset, "line": start.line, "count": part.count}


def _open(query: Query, cursor: str | None, store: str | None) -> tuple[int, Rows]:
    """The row to begin with and the rows from there on."""
    options = query.options
    if "path" not in options:
        raise SourceError("A URL list must be planned before it is read.")
    name, start, stop = str(options["path"]), int(options["start"]), int(options["stop"])
    row = start if cursor is None else integer(cursor)
    if row is None or not start <= row <= stop:
        raise SourceError(f"{cursor!r} is not a cursor of this part of {name}: it is a row from {start} to {stop}.")
    file = ListFile(name, options.get("key"), Store(store) if store else None)
    reader = open_list(file)
    if file.size() != options["size"]:
        raise SourceError(f"The list {name} has changed since the job was planned. Start a new job with it.")
    rows = reader.rows(Position(start, int(options["offset"]), int(options["line"])))
    next(islice(rows, row - start, row - start), None)  # only the slice's start is known as a byte offset
    return row, rows


def _candidates(rows: Iterator[Row], query: Query) -> tuple[Candidate, ...]:
    return tuple(candidate for values in rows if (candidate := _candidate(values, query)))


def _candidate(values: Row, query: Query) -> Candidate | None:
    url_column, label_column = query.options["url_column"], query.options["label_column"]
    url = clean(values.get(url_column))
    if url is None:
        return None
    return described(
        values,
        url=url,
        label=clean(values.get(label_column)) or query.label,
        source=UrlList.name,
        without=(url_column, label_column),
        keyword=query.keyword,
    )


def _url_column(file: ListFile, columns: Sequence[str], wanted: str | None) -> str:
    if not columns:
        raise SourceError(f"The list {file.name} is empty.")
    if wanted is not None:
        return _named_column(file, columns, wanted)
    guessed = guess_url_column(columns)
    if guessed is not None:
        return guessed
    shown = ", ".join(columns)
    raise SourceError(
        f"The list {file.name} has no column that is known to hold URLs. Name one of its columns: {shown}."
    )


def _label_column(file: ListFile, columns: Sequence[str], wanted: str | None) -> str | None:
    if wanted is not None:
        return _named_column(file, columns, wanted)
    return next((column for column in columns if normal(column) == "label"), None)


def _named_column(file: ListFile, columns: Sequence[str], wanted: str) -> str:
    if wanted in columns:
        return wanted
    close = get_close_matches(wanted, columns, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise SourceError(f"The list {file.name} has no column {wanted!r}.{hint} Its columns are: {', '.join(columns)}.")


INFO = SourceInfo(
    name=UrlList.name,
    title="URL list",
    needs="a list as txt, csv, tsv, jsonl or parquet, gzipped or not: a file, or an https:// or s3:// address",
    allows="lists of any length; every host in it is asked at its own pace",
    terms="The rights to the pictures are whatever their owners say: the list should state each licence.",
    page=None,
    open=lambda _http, options: UrlList(store=options.store),
    searched=False,
)
