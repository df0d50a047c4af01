"""Reading a source to its end, and again from each of its cursors."""

from __future__ import annotations

from collections.abc import Callable

from gleanset.sources import Source
from gleanset.types import Candidate, Page, Query


class Waits(list[float]):
    """Remembers how long it was asked to wait, and lets time pass by `pass_time` instead."""

    def __init__(self, pass_time: Callable[[], None]) -> None:
        super().__init__()
        self._pass_time = pass_time

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        self._pass_time()


async def read(source: Source, query: Query, cursor: str | None = None) -> list[Page]:
    return [page async for page in source.pages(query, cursor)]


def candidates(pages: list[Page]) -> list[Candidate]:
    return [candidate for page in pages for candidate in page.candidates]


async def assert_resumable(source: Source, query: Query) -> None:
    """From every cursor the source gives exactly the pages behind it; only the last page has none."""
    pages = await read(source, query)
    assert [page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]
    for place, page in enumerate(pages[:-1], start=1):
        assert await read(source, query, page.cursor) == pages[place:]
