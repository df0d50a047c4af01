"""Files that are at hand, in a folder or an archive: what both kinds of them offer, and which files count."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from os.path import splitext
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote_to_bytes

from gleanset.errors import ImageRefused, SourceError
from gleanset.sources.list_file import ListFile
from gleanset.types import Reason

SIDECARS = ("metadata.jsonl", "metadata.csv")
_COMPANIONS = {
    *(".csv", ".htm", ".html", ".json", ".jsonl", ".log", ".md", ".ndjson", ".parquet", ".pdf", ".py", ".sha256"),
    *(".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml"),
}
_HIDDEN = re.compile(r"(?:^|/)(?:\.(?!\.?(?:[/\\]|$))|__MACOSX/|Thumbs\.db$|desktop\.ini$)|^contact-sheet\.jpg$")
"""What lies about in folders; the last of it in those that Gleanset packed."""


class Shelf(Protocol):
    """Files below a root, in an order that stays the same. Used by one thread at a time unless `parallel`.

    `name` is what a person calls the root; `url` is its address, to which the quoted path of a file is added.
    """

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def parallel(self) -> bool: ...

    def files(self, cursor: str | None) -> Iterator[tuple[str, str]]:
        """Path and cursor of each file that may be a picture, behind the given cursor. Raises SourceError."""
        ...

    def read(self, path: str, max_bytes: int) -> bytes:
        """A file's bytes; those of a tar are best asked for in their order. Raises OutcomeError."""
        ...

    def sidecar(self) -> AbstractContextManager[ListFile | None]:
        """The table beside the files at the root, if there is one."""
        ...

    def close(self) -> None: ...


def is_wanted(path: str) -> bool:
    """Whether a file may be a picture: hidden files, and what lies beside pictures by its name, are left out."""
    suffix = splitext(path)[1].lower()  # noqa: PTH122 - pathlib keeps the names that it takes apart
    return _HIDDEN.search(path) is None and suffix not in _COMPANIONS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not for a person to see."""
    return _HIDDEN.search(name) is not None or name == "__MACOSX"


def check_path(path: str) -> None:
    """Raises ImageRefused for the name of an archive's entry that leads elsewhere, were it unpacked."""
    parts = re.split(r"[/\\]", path)
    if parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", path):
        raise ImageRefused(Reason.UNSAFE_PATH, path[:200])


def check_size(size: int, max_bytes: int) -> None:
    """Raises ImageRefused for what is empty or too long."""
    if size > max_bytes:
        raise ImageRefused(Reason.TOO_LARGE, f"{size} bytes, {max_bytes} allowed")
    if size == 0:
        raise ImageRefused(Reason.EMPTY)


def quoted(path: str) -> str:
    """The path as it stands in a URL, whatever bytes it is of."""
    return quote(path.encode("utf-8", "surrogateescape"))


def unquoted(path: str) -> str:
    """The path that was quoted."""
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


@contextmanager
def mapped(path: Path, *kinds: type[Exception]) -> Generator[None]:
    """Maps the errors of reading what a person named."""
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{path} cannot be read: {str(reason).splitlines()[0].rstrip('.')}.") from error
