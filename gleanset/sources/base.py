"""What a source is, and what it needs of the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gleanset.types import Page, Query


class Response(Protocol):
    """A complete HTTP answer; `headers` are looked up without regard to case."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Http(Protocol):
    """The HTTP client as sources see it: it paces, retries and names itself; any final status is an answer.

    Raises OutcomeError when no answer could be had.
    """

    async def request(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> Response: ...


class Source(Protocol):
    """Turns a query into pages of candidates.

    `pages` may begin at any cursor that an earlier page carried, and then gives exactly the candidates behind that
    page. It raises SourceError; a retryable one leaves the last cursor good.
    """

    @property
    def name(self) -> str: ...

    def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where the services are: the real ones, unless a mirror or a test says otherwise."""

    openverse_url: str = "https://api.openverse.org/v1/"
    wikimedia_url: str = "https://commons.wikimedia.org/w/api.php"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A source for a person to choose: what it `needs` from him, its `terms` in one sentence, a `page` to read more."""

    name: str
    title: str
    needs: str
    terms: str
    page: str | None
    open: Callable[[Http, SourceOptions], Source]
