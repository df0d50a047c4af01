"""Where a list lies: a file on this machine, or a copy in the image store, which every worker can read."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gleanset.errors import SourceError, StoreError
from gleanset.store import Store


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list's bytes, to be opened as often as needed. `name` is what a person calls it: a path or an address.

    With a `key` they are read from the copy in the `store`, otherwise from the path.
    """

    name: str
    key: str | None = None
    store: Store | None = None

    @property
    def suffix(self) -> str:
        return Path(self.key or self.name).suffix.lower()

    def exists(self) -> bool:
        return self.key is not None or Path(self.name).is_file()

    def open(self) -> BinaryIO:
        """For reading from any place on; in ranges, where the store is a remote one."""
        return Path(self.name).open("rb") if self.key is None else self._copy().open(self.key)

    def size(self) -> int:
        """In bytes."""
        with reading(self):
            return Path(self.name).stat().st_size if self.key is None else self._copy().size(self.key)

    def _copy(self) -> Store:
        if self.store is None:
            raise SourceError(f"The list {self.name} was copied into an image store, but none is set up here.")
        return self.store


@contextmanager
def reading(file: ListFile) -> Generator[None]:
    """Maps the errors of the file system and of the store."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"The list {file.name} cannot be read: {error.strerror or error}.") from error
    except StoreError as error:
        reason = str(error).rstrip(".")
        raise SourceError(f"The copy of the list {file.name} cannot be read. {reason}.", retryable=True) from error
