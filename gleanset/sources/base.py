"""What a source is, and what it needs of the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gleanset.errors import SourceError
from gleanset.types import Candidate, Pace, Page, Query


class Response(Protocol):
    """A complete HTTP answer. `url` is the final one; `headers` are looked up without regard to case."""

    @property
    def url(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Http(Protocol):
    """The HTTP client as sources see it: it paces and names itself; any final status is an answer.

    `request` is for services that offer themselves to programs; with `form` it is a POST of a form. What its status
    means is for the source to say, and by `quiet` how long nobody may ask the service again. `visit` is for what is
    meant for people, pages and sitemaps: it also keeps robots.txt, and tries again what fails in passing. Both raise
    OutcomeError when no answer could be had.
    """

    async def request(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> Response: ...

    def quiet(self, url: str, seconds: float) -> None: ...

    async def visit(self, url: str, *, max_bytes: int | None = None) -> Response: ...


class Source(Protocol):
    """Turns a query into pages of candidates.

    `pages` may begin at any cursor that an earlier page carried, and then gives exactly the candidates behind that
    page. It raises SourceError; a retryable one leaves the last cursor good.
    """

    @property
    def name(self) -> str: ...

    def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]: ...


@runtime_checkable
class Reader(Protocol):
    """What a source is besides when it has the bytes of its candidates itself, so that nothing is fetched."""

    def reading(
        self, query: Query, max_bytes: int
    ) -> AbstractAsyncContextManager[Callable[[Candidate], Awaitable[bytes]]]:
        """Gives what reads the bytes of this query's candidates; it raises OutcomeError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What an operator says of the services, by source: other addresses than the real ones, and keys.

    `store`: where the image store is, for what sources keep there. `contact`: how to reach whoever runs this.
    """

    urls: Mapping[str, str] = field(default_factory=dict[str, str])
    keys: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    store: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A source for a person to choose, and how to open it.

    `needs`: what it wants from him. `allows`: how much may be asked of it, and how deep. `terms`: in one sentence; a
    `page` to read more. `url`: where its service is. `pace` is that of the service, `media` that of other hosts it
    sends to. `filters`: whether the service itself can keep to a query's licences. `licence`: the code of the one
    licence that all of its pictures have. `key`: whether it needs a key; `needs` says where to get it then. `contact`:
    whether it wants to know how to reach whoever asks. `searched`: whether it takes keywords; a source that does not
    takes what `needs` says.
    """

    name: str
    title: str
    needs: str
    allows: str
    terms: str
    page: str | None
    open: Callable[[Http, SourceOptions], Source]
    url: str | None = None
    pace: Pace | None = None
    media: Mapping[str, Pace] = field(default_factory=dict[str, Pace])
    filters: bool = False
    licence: str | None = None
    key: bool = False
    contact: bool = False
    searched: bool = True

    def url_in(self, options: SourceOptions) -> str:
        """The service's address: the operator's, or the real one."""
        url = options.urls.get(self.name, self.url)
        assert url is not None, f"{self.name} has no service"
        return url

    def check_contact(self, options: SourceOptions) -> None:
        """Raises SourceError when the service wants a contact, and none is set. One at another address is one's own."""
        if self.contact and not options.contact and self.name not in options.urls:
            raise SourceError(
                f"{self.title} only answers programs that name somebody to turn to. Set your e-mail address or a URL as"
                " GLEANSET_CONTACT; it is sent along as part of the User-Agent."
            )

    def has_key(self, options: SourceOptions) -> bool:
        """Whether the operator has set a key for it."""
        return bool(options.keys.get(self.name, "").strip())

    def key_in(self, options: SourceOptions) -> str:
        """The operator's key. Raises SourceError, which says where to get one and how to set it."""
        key = options.keys.get(self.name, "").strip()
        setting = f"""GLEANSET_SOURCE_KEYS='{{"{self.name}": "..."}}'"""
        if not key:
            raise SourceError(f"{self.title} needs {self.needs}. Set it as {setting}")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise SourceError(f"The key of {self.title} holds characters that no key has. Set it as {setting}")
        return key
