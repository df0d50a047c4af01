"""One request and its answer over the network: bounded in bytes and time, its errors given their reasons."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.helpers import is_ip_address
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL

from gleanset.errors import FetchFailed, ImageRefused, StoreError
from gleanset.fetch.address import AddrInfo, PrivateAddressError, guarded_socket
from gleanset.fetch.conditions import Conditions
from gleanset.fetch.connection import Connector
from gleanset.fetch.names import Resolver
from gleanset.fetch.options import FetchOptions
from gleanset.fetch.patterns import HostPatterns
from gleanset.types import Reason
from gleanset.window import leave_place, take_place

REDIRECTS = {301, 302, 303, 307, 308}

Headers = CIMultiDictProxy[str]
OnHeaders = Callable[[int, Headers], None]
"""Sees status and headers before a byte of the body is read, and may raise OutcomeError."""

_MAX_HEADER, _MAX_HEADERS = 8190, 128  # bytes of one, and how many
LONGEST_SAVE = 6 * 3600.0  # seconds for a whole file; a stalled one ends with the read timeout
_HEADER_LIMITS = ("Got more than", "Too many headers")  # how aiohttp says it

ERROR_TEXT = 64 * 1024
"""Bytes of an error's own words that a caller may want; what is behind them is left."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. `url` is the final one, behind all redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is sent along, and how much of the body is wanted: with `cut` the rest is left, without it is refused.

    With `into` the body goes into that file, from its beginning, and not into the answer.
    `error_text`: whether the body of an error is wanted too, as far as it comes.
    """

    limit: int
    headers: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None
    cut: bool = False
    into: BinaryIO | None = None
    error_text: bool = False
    conditions: Conditions | None = None


@dataclass(slots=True)
class TimeLeft:
    """Seconds on the network that are left to one URL, for its redirects and retries together. `came`: bytes of a body
    that the last request brought."""

    seconds: float
    came: int = 0

    def check(self) -> None:
        if self.seconds <= 0:
            raise FetchFailed(Reason.TIMEOUT, "the time for this URL is used up")


class Wire:
    """aiohttp's session; use as an async context manager.

    `resolver` and `new_socket` stand in for those that the options ask for.
    """

    def __init__(
        self,
        options: FetchOptions,
        resolver: AbstractResolver | None = None,
        new_socket: Callable[[AddrInfo], socket.socket] | None = None,
    ) -> None:
        self._options = options
        self._resolver = resolver
        self._new_socket = new_socket or (None if options.allow_private else guarded_socket)
        self._names: Resolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = self._options
        if self._resolver is None:
            hosts = {name.lower(): address for name, address in options.hosts.items()}
            self._names = Resolver(hosts, options.lookup_timeout)
        connector = Connector(
            HostPatterns(options.own_hosts),
            limit=0,  # bounded by the pipeline's window and the hosts' pacing
            use_dns_cache=self._names is None,  # which knows its answers itself
            ttl_dns_cache=60,
            resolver=self._resolver or self._names,
            socket_factory=self._new_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": options.user_agent, "Accept-Encoding": "gzip, deflate"},
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
            max_headers=_MAX_HEADERS,
            middlewares=(_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._names is not None:
            await self._names.close()

    async def ask(self, url: URL, ask: Ask, on_headers: OnHeaders, left: TimeLeft) -> Response:
        """The answer to a GET, or to a POST where there is a form. Redirects are answers. Takes its time off `left`."""
        if self._session is None:
            raise RuntimeError("use Fetcher as an async context manager")
        headers = {**(ask.headers or {}), **(ask.conditions.headers(url) if ask.conditions else {})}
        await self._look_up(url)
        began, left.came = time.monotonic(), 0
        answer = None
        try:
            async with self._session.request(
                "GET" if ask.form is None else "POST",
                url,
                headers=headers,
                data=ask.form,
                allow_redirects=False,
                timeout=self._timeout(left),
            ) as answer:
                on_headers(answer.status, answer.headers)
                body = await _wanted(answer, ask)
                return Response(str(answer.url), answer.status, answer.headers, body)
        except TimeoutError as error:
            raise FetchFailed(Reason.TIMEOUT, str(error)) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchFailed(Reason.DNS, url.host or "") from error
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError) as error:
            raise FetchFailed(Reason.TLS, str(error)) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddressError):
                raise ImageRefused(Reason.PRIVATE_ADDRESS, url.host or "") from error
            raise FetchFailed(Reason.CONNECTION, str(error)) from error
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise ImageRefused(Reason.BAD_URL, str(error)) from error
        except aiohttp.ClientPayloadError as error:
            if isinstance(error.__cause__, ContentEncodingError):
                raise FetchFailed(Reason.BAD_RESPONSE, error.__cause__.message) from error
            raise FetchFailed(Reason.CONNECTION, f"the body broke off: {error}") from error
        except (aiohttp.ClientResponseError, HttpProcessingError) as error:
            kind = Reason.HEADERS_TOO_LARGE if error.message.startswith(_HEADER_LIMITS) else Reason.BAD_RESPONSE
            raise FetchFailed(kind, str(error)) from error
        except ValueError as error:
            raise FetchFailed(Reason.BAD_RESPONSE, str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFailed(Reason.CONNECTION, str(error)) from error
        finally:
            left.seconds -= time.monotonic() - began
            left.came = answer.content.total_bytes if answer is not None else 0

    async def _look_up(self, url: URL) -> None:
        """Have the name looked up where it is not known, so that the connection finds it at once."""
        host = url.raw_host
        if self._names is None or not host or is_ip_address(host) or self._names.knows(host):
            return
        leave_place()
        try:
            await self._names.resolve(host)
        except UnicodeError as error:
            raise ImageRefused(Reason.BAD_URL, str(error)) from error
        except OSError as error:
            detail = url.host if isinstance(error, socket.gaierror) else f"{url.host}: {error}"
            raise FetchFailed(Reason.DNS, detail or "") from error
        await take_place()

    def _timeout(self, left: TimeLeft) -> aiohttp.ClientTimeout:
        options = self._options
        return aiohttp.ClientTimeout(
            total=max(left.seconds, 0.001), sock_connect=options.connect_timeout, sock_read=options.read_timeout
        )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Sends a request once. By itself aiohttp sends one that breaks off again, at once: out of its host's pace."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def _wanted(answer: aiohttp.ClientResponse, ask: Ask) -> bytes:
    """What is wanted of the body: of a redirect nothing, and of an error what it says, if anything."""
    if 200 <= answer.status < 300:
        return await _body(answer, ask)
    parts: list[bytes] = []
    if ask.error_text and answer.status not in REDIRECTS:
        with suppress(TimeoutError, aiohttp.ClientError, HttpProcessingError):
            async for part in answer.content.iter_any():
                parts.append(part)
                if sum(map(len, parts)) >= ERROR_TEXT:
                    break
    return b"".join(parts)[:ERROR_TEXT]


async def _body(answer: aiohttp.ClientResponse, ask: Ask) -> bytes:
    """The body, counted as it streams in: Content-Length may lie and compression may unfold."""
    announced = answer.content_length
    if announced is not None and announced > ask.limit and not ask.cut:
        raise ImageRefused(Reason.TOO_LARGE, f"{announced} bytes announced, {ask.limit} allowed")
    if ask.into is not None:
        with _writing():
            ask.into.seek(0)
            ask.into.truncate()
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if ask.into is None:
            parts.append(part)
        else:
            with _writing():
                ask.into.write(part)
        if size > ask.limit:
            if ask.cut:
                return b"".join(parts)[: ask.limit]
            raise ImageRefused(Reason.TOO_LARGE, f"more than {ask.limit} bytes")
    if ask.into is not None:
        with _writing():
            ask.into.flush()
    return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def _writing() -> Generator[None]:
    try:
        yield
    except OSError as error:  # of the disk, not of the connection
        raise StoreError(f"What is fetched cannot be written: {error.strerror or error}.") from error
