"""Pictures that are at hand as a source: a folder, or a zip or tar archive of one. Folders name the labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.base import SourceInfo
from gleanset.sources.columns import UNLABELLED, described
from gleanset.sources.directory import Directory
from gleanset.sources.shelf import Shelf, mapped, quoted, unquoted
from gleanset.sources.sidecar import Sidecar
from gleanset.sources.tar_shelf import TarShelf
from gleanset.sources.tar_stream import is_tar
from gleanset.sources.text import as_dict, clean
from gleanset.sources.zip_shelf import ZipShelf
from gleanset.types import Candidate, Page, Query

_MEASURED = ("file_name", "width", "height", "file_size", "format", "sha256", "pdq", "fetched_at")


class Folder:
    """Reads the folder or archive that a query of `plan` names. A cursor is the path of the last file, or its number.

    Its candidates have `file:` addresses that nothing else may be asked for: `reading` has the bytes.
    """

    name = "folder"

    def __init__(self, page_files: int = 200) -> None:
        self._page_files = page_files

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        shelf = await asyncio.to_thread(_open, query)
        sidecar = None
        try:
            sidecar = await asyncio.to_thread(Sidecar, shelf)
            files = shelf.files(cursor)
            ahead = await asyncio.to_thread(list, islice(files, 1))
            while True:
                found = ahead + await asyncio.to_thread(list, islice(files, self._page_files))
                ahead = found[self._page_files :]
                found = found[: self._page_files]
                candidates = await asyncio.to_thread(_candidates, query, shelf.url, sidecar, found)
                yield Page(candidates, found[-1][1] if ahead else None)
                if not ahead:
                    return
        finally:
            if sidecar is not None:
                sidecar.close()
            shelf.close()

    @asynccontextmanager
    async def reading(self, query: Query, max_bytes: int) -> AsyncGenerator[Callable[[Candidate], Awaitable[bytes]]]:
        """Gives what reads the bytes of this query's candidates; it raises OutcomeError."""
        shelf = await asyncio.to_thread(_open, query)
        # In the order in which they were asked for: a tar only goes forward.
        turn = nullcontext() if shelf.parallel else asyncio.Lock()

        async def read(candidate: Candidate) -> bytes:
            path = unquoted(candidate.url.removeprefix(shelf.url))
            async with turn:
                return await asyncio.to_thread(shelf.read, path, max_bytes)

        try:
            yield read
        finally:
            shelf.close()


def plan(path: str | Path, *, label: str | None = None) -> Query:
    """Looks through the folder or archive once. Its option `count` is the number of files that may be pictures.

    A given `label` wins over folders and tables. Raises SourceError for what cannot be read or holds no such file.
    """
    root = Path(path).absolute()
    options: dict[str, Any] = {"path": str(root), "size": _size(root), "label": label}
    query = Query(source=Folder.name, label=label or UNLABELLED, options=options)
    shelf = _open(query)
    try:
        Sidecar(shelf).close()
        count = sum(1 for _ in shelf.files(None))
    finally:
        shelf.close()
    if not count:
        raise SourceError(f"{root} holds no file that may be a picture.")
    return Query(source=query.source, label=query.label, options=options | {"count": count})


def _size(root: Path) -> int | None:
    """The archive's bytes; None for a folder."""
    with mapped(root, OSError):
        return None if root.is_dir() else root.stat().st_size


def _open(query: Query) -> Shelf:
    if "path" not in query.options:
        raise SourceError("A folder must be planned before it is read.")
    root = Path(query.options["path"])
    if _size(root) != query.options["size"]:
        raise SourceError(f"{root} has changed since the job was planned. Start a new job with it.")
    return Directory(root) if root.is_dir() else _archive(root)


def _archive(path: Path) -> Shelf:
    """Known by its first bytes."""
    with mapped(path, OSError), path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return ZipShelf(path)
    if is_tar(start):
        return TarShelf(path)
    raise SourceError(f"{path} is neither a folder nor a zip or tar archive.")


def _candidates(query: Query, base: str, sidecar: Sidecar, files: list[tuple[str, str]]) -> tuple[Candidate, ...]:
    return tuple(_candidate(query, base, path, sidecar.row(path)) for path, _ in files)


def _candidate(query: Query, base: str, path: str, row: dict[str, Any]) -> Candidate:
    given = query.options["label"] or clean(row.get("label"))
    folder = path.split("/")[0] if "/" in path else None
    rest = {name: value for name, value in row.items() if name not in {*_MEASURED, "label", "metadata"}}
    return described(
        rest | {name: value for name, value in _nested(row.get("metadata")).items() if name not in rest},
        url=base + quoted(path),
        label=given or clean(folder) or query.label,
        source=Folder.name,
        keyword=query.keyword,
    )


def _nested(value: Any) -> dict[str, Any]:
    """The export's column `metadata`: an object, or one written as text in CSV."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return as_dict(value)


INFO = SourceInfo(
    name=Folder.name,
    title="Folder or archive",
    needs="a folder, or a zip or tar archive, of pictures",
    allows="as many pictures as there are; none of it goes over the network",
    terms="The rights to the pictures are whatever their owners say: metadata.jsonl or metadata.csv beside them tells.",
    page=None,
    open=lambda _http, _options: Folder(),
    searched=False,
)
