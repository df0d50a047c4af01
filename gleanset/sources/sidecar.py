"""The table that lies beside pictures: metadata.jsonl or metadata.csv, with a `file_name` for each row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.lists import ListReader, Position, Row, open_list
from gleanset.sources.shelf import Shelf
from gleanset.sources.text import as_dict, clean, jsonable, storable

_NAME = "file_name"


class Sidecar:
    """The rows by file name. They are kept on disk, in a database that goes when it is closed: tables may be long."""

    def __init__(self, shelf: Shelf) -> None:
        """Reads the shelf's table, if it has one. Raises SourceError for one that is not as it should be."""
        self._rows: sqlite3.Connection | None = None
        with shelf.sidecar() as file:
            if file is None:
                return
            try:
                self._read(open_list(file))
            except (SourceError, sqlite3.Error) as error:
                self.close()
                text = str(error).replace(file.name, f"The table of the pictures in {shelf.name}").rstrip(".")
                raise SourceError(f"{text}.") from error

    def _read(self, table: ListReader) -> None:
        if _NAME not in table.columns:
            return  # of something else
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.execute("CREATE TABLE pictures (name TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID")
        self._rows.executemany("INSERT OR IGNORE INTO pictures VALUES (?, ?)", _named(table.rows(Position())))

    def row(self, path: str) -> dict[str, Any]:
        """What the table says of the file; nothing when it does not name it."""
        if self._rows is None:
            return {}
        found = self._rows.execute("SELECT content FROM pictures WHERE name = ?", (storable(path),)).fetchone()
        return as_dict(json.loads(found[0])) if found else {}

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()


def _named(rows: Iterator[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        name = clean(row.get(_NAME))
        if name is not None:
            yield name.removeprefix("./"), json.dumps(jsonable(row))
