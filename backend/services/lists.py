"""Lists of image URLs that people upload: kept in the image store, where every worker can read them.

A list's key is the SHA-256 of what is in it. Whoever can name the key has the list, or was given the key by somebody
who has it; keys are never listed, so no list is bound to a person, and the same list is kept once.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import BinaryIO

from backend.schemas.lists import ListResponse
from gleanset.errors import SourceError
from gleanset.sources import copies, urls
from gleanset.sources.lists import open_list
from gleanset.store import Store

_SLICE = 10_000


def keep_list(name: str, stream: BinaryIO, store: Store, folder: Path, max_bytes: int) -> ListResponse:
    """Keep the list, which is read to its end, so that a broken one is refused at once. Blocks.

    Raises SourceError for what is no list, or too long, and StoreError.
    """
    name = _plain_name(name)
    file = copies.keep(name, stream, store, folder, max_bytes)
    assert file.key is not None
    reader = open_list(file)
    columns = list(reader.columns)
    if not columns:
        raise SourceError(f"The list {name} is empty.")
    guessed = urls.guess_url_column(columns)
    rows = 0
    for part in reader.slices(guessed or columns[0], _SLICE):
        rows = part.stop
    return ListResponse(
        key=file.key, name=name, format=file.suffix.lstrip("."), columns=columns, url_column=guessed, rows=rows
    )


def _plain_name(given: str) -> str:
    """What a browser calls the file, without folders, and without what no name needs."""
    name = PurePath(given.replace("\\", "/")).name
    return "".join(character if character.isprintable() else "_" for character in name)[-200:] or "list"
