"""The HTTP client: bounded in bytes, time and redirects, paced per host, closed to private networks."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from yarl import URL

from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch.address import PrivateAddressError, StaticResolver, guarded_socket, names_private
from gleanset.fetch.pacing import Host, retry_after
from gleanset.types import Reason

_LONGEST_SAVE = 6 * 3600.0  # seconds for a whole file; a stalled one ends with the read timeout
_REDIRECTS = {301, 302, 303, 307, 308}
_RETRIED = {429, 500, 502, 503, 504}
_STATUS_REASONS = {
    401: Reason.FORBIDDEN,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
    451: Reason.FORBIDDEN,
}


def user_agent(contact: str | None = None) -> str:
    """The honest User-Agent: `gleanset/VERSION (CONTACT) aiohttp/VERSION`, the form Wikimedia's policy asks for."""
    return f"gleanset/{version('gleanset')} ({contact or 'no contact set'}) aiohttp/{aiohttp.__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """Limits of one client. Times are seconds, sizes bytes after content decoding."""

    user_agent: str = field(default_factory=user_agent)
    per_host: int = 4
    total_timeout: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    max_bytes: int = 32 * 1024 * 1024
    max_redirects: int = 5
    attempts: int = 3
    back_off: float = 0.5
    max_retry_after: float = 30.0
    allow_private: bool = False
    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. `url` is the final one, behind all redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """One shared HTTP client; use as an async context manager."""

    def __init__(self, options: FetchOptions | None = None) -> None:
        self.options = options or FetchOptions()
        # One entry a host: a crawl of many hosts keeps a few hundred bytes for each.
        self._hosts: dict[tuple[str | None, int | None], Host] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = self.options
        connector = aiohttp.TCPConnector(
            limit=0,  # bounded by the pipeline's window and the per-host slots
            ttl_dns_cache=60,
            resolver=StaticResolver({name.lower(): address for name, address in options.hosts.items()}),
            socket_factory=None if options.allow_private else guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": options.user_agent, "Accept-Encoding": "gzip, deflate"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> Response:
        """The 200 answer to a GET, with a body.

        Raises FetchFailed or ImageRefused with the reason for everything else.
        """
        response = _good(await self.request(url))
        if not response.body:
            raise ImageRefused(Reason.EMPTY)
        return response

    async def save(self, url: str, file: BinaryIO, *, max_bytes: int) -> Response:
        """The 200 answer to a GET, its body written into the file as it comes in and not held in memory.

        For files that a person asks for by name. Raises as `get` does; an empty body is one too.
        """
        return _good(await self.request(url, max_bytes=max_bytes, into=file))

    async def request(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        into: BinaryIO | None = None,
    ) -> Response:
        """The final answer, whatever its status: redirects followed, passing faults (429, 5xx, connection) tried again.

        With `form` it is a POST of a form; a redirect of it is the answer, since what is posted is for one place.
        With `into` the body goes into that file, from its beginning.
        Raises FetchFailed when no answer could be had, ImageRefused when a limit or guard says no.
        """
        target = self._checked(url)
        if params:
            target = target.update_query(params)
        limit = self.options.max_bytes if max_bytes is None else max_bytes
        for _ in range(self.options.max_redirects + 1):
            response = await self._patiently(target, headers, form, limit, into)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None or form is not None:
                return response
            following = self._checked(_quoted(location), base=target)
            if following.origin() != target.origin():
                headers = None  # a key for one host is not for the next
            target = following
        raise ImageRefused(Reason.TOO_MANY_REDIRECTS, f"more than {self.options.max_redirects}")

    async def visit(self, url: str, *, max_bytes: int | None = None) -> Response:
        """As `request`, for what is meant for people and not offered to programs."""
        return await self.request(url, max_bytes=max_bytes)

    def _checked(self, url: str, base: URL | None = None) -> URL:
        try:
            target = URL(url) if base is None else base.join(URL(url))
            host, port = target.host, target.port  # yarl parses them only now
        except (ValueError, TypeError) as error:
            raise ImageRefused(Reason.BAD_URL, str(error)) from error
        if target.scheme not in {"http", "https"} or not host:
            raise ImageRefused(Reason.BAD_URL, "not an absolute http or https URL")
        if target.user is not None or target.password is not None:
            raise ImageRefused(Reason.BAD_URL, "credentials in the URL")
        if port not in self.options.ports and not self.options.allow_private:
            if names_private(host):  # the truer reason of the two, and the one a person can do something about
                raise ImageRefused(Reason.PRIVATE_ADDRESS, host)
            raise ImageRefused(Reason.BAD_URL, f"port {port} is not allowed")
        return target

    def _host(self, url: URL) -> Host:
        return self._hosts.setdefault((url.host, url.port), Host(self.options.per_host))

    async def _patiently(
        self,
        url: URL,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        limit: int,
        into: BinaryIO | None,
    ) -> Response:
        """One URL with retries; the slot of the host is free while waiting for the next attempt."""
        host = self._host(url)
        for attempt in range(1, self.options.attempts + 1):
            wait = self.options.back_off * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            try:
                async with host.turn():
                    response = await self._once(url, headers, form, limit, into)
            except FetchFailed as failure:
                if failure.reason is not Reason.CONNECTION or attempt == self.options.attempts:
                    raise
            else:
                if response.status in {429, 503}:
                    asked = retry_after(response.headers.get("Retry-After")) or 0.0
                    if asked > self.options.max_retry_after:
                        return response
                    wait = max(wait, asked)
                    host.back_off(wait)
                if response.status not in _RETRIED or attempt == self.options.attempts:
                    return response
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self,
        url: URL,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        limit: int,
        into: BinaryIO | None,
    ) -> Response:
        if self._session is None:
            raise RuntimeError("use Fetcher as an async context manager")
        try:
            method = "GET" if form is None else "POST"
            timeout = aiohttp.ClientTimeout(
                total=self.options.total_timeout if into is None else _LONGEST_SAVE,
                sock_connect=self.options.connect_timeout,
                sock_read=self.options.read_timeout,
            )
            async with self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False, timeout=timeout
            ) as answer:
                wanted = answer.status not in _REDIRECTS
                body = await _body(answer, limit, into) if wanted else b""
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
        except (aiohttp.ClientResponseError, ValueError) as error:
            raise FetchFailed(Reason.BAD_RESPONSE, str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFailed(Reason.CONNECTION, str(error)) from error


def _quoted(location: str) -> str:
    """A Location header as browsers read it: bytes that are not UTF-8 are percent-encoded, not dropped."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", location)


def _good(response: Response) -> Response:
    if response.status != 200:
        fallback = Reason.SERVER_ERROR if response.status >= 500 else Reason.HTTP_STATUS
        raise FetchFailed(_STATUS_REASONS.get(response.status, fallback), f"HTTP {response.status}")
    return response


async def _body(answer: aiohttp.ClientResponse, limit: int, into: BinaryIO | None) -> bytes:
    """The body, counted as it streams in: Content-Length may lie and compression may unfold."""
    if answer.content_length is not None and answer.content_length > limit:
        raise ImageRefused(Reason.TOO_LARGE, f"{answer.content_length} bytes announced, {limit} allowed")
    parts: list[bytes] = []
    size = 0
    if into is not None:
        into.seek(0)
        into.truncate()
    async for part in answer.content.iter_any():
        size += len(part)
        if size > limit:
            raise ImageRefused(Reason.TOO_LARGE, f"more than {limit} bytes")
        if into is None:
            parts.append(part)
        else:
            into.write(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
