"""One request and its answer over the network: bounded in bytes and time, its errors given their reasons."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch.address import PrivateAddressError, StaticResolver, guarded_socket
from gleanset.fetch.conditions import Conditions
from gleanset.fetch.options import FetchOptions
from gleanset.types import Reason

REDIRECTS = {301, 302, 303, 307, 308}

Headers = CIMultiDictProxy[str]
OnHeaders = Callable[[int, Headers], None]
"""Sees status and headers before a byte of the body is read, and may raise OutcomeError."""

_MAX_HEADER, _MAX_HEADERS = 8190, 128  # bytes of one, and how many
_HEADER_LIMITS = ("Got more than", "Too many headers")  # how aiohttp says it


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. `url` is the final one, behind all redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is sent along, and how much of the body is wanted: with `cut` the rest is left, without it is refused."""

    limit: int
    headers: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None
    cut: bool = False
    conditions: Conditions | None = None


class Wire:
    """aiohttp's session; use as an async context manager."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = self._options
        connector = aiohttp.TCPConnector(
            limit=0,  # bounded by the pipeline's window and the hosts' pacing
            ttl_dns_cache=60,
            resolver=StaticResolver({name.lower(): address for name, address in options.hosts.items()}),
            socket_factory=None if options.allow_private else guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": options.user_agent, "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(
                total=options.total_timeout, sock_connect=options.connect_timeout, sock_read=options.read_timeout
            ),
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
            max_headers=_MAX_HEADERS,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, url: URL, ask: Ask, on_headers: OnHeaders) -> Response:
        """The answer to a GET, or to a POST where there is a form. Redirects are answers."""
        if self._session is None:
            raise RuntimeError("use Fetcher as an async context manager")
        method = "GET" if ask.form is None else "POST"
        headers = {**(ask.headers or {}), **(ask.conditions.headers(url) if ask.conditions else {})}
        try:
            async with self._session.request(
                method, url, headers=headers, data=ask.form, allow_redirects=False
            ) as answer:
                on_headers(answer.status, answer.headers)
                body = b"" if answer.status in REDIRECTS else await _body(answer, ask)
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
            raise FetchFailed(Reason.CONNECTION, f"the body broke off: {error}") from error
        except aiohttp.ClientResponseError as error:
            kind = Reason.HEADERS_TOO_LARGE if error.message.startswith(_HEADER_LIMITS) else Reason.BAD_RESPONSE
            raise FetchFailed(kind, str(error)) from error
        except ValueError as error:
            raise FetchFailed(Reason.BAD_RESPONSE, str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFailed(Reason.CONNECTION, str(error)) from error


async def _body(answer: aiohttp.ClientResponse, ask: Ask) -> bytes:
    """The body, counted as it streams in: Content-Length may lie and compression may unfold."""
    announced = answer.content_length
    if announced is not None and announced > ask.limit and not ask.cut:
        raise ImageRefused(Reason.TOO_LARGE, f"{announced} bytes announced, {ask.limit} allowed")
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > ask.limit:
            if ask.cut:
                return b"".join(parts)[: ask.limit]
            raise ImageRefused(Reason.TOO_LARGE, f"more than {ask.limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)
