"""The HTTP client: bounded in bytes, time and redirects; polite to each host; closed to private networks."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO, Self

from yarl import URL

from gleanset.book import HostBook, SiteFiles
from gleanset.errors import FetchFailed, ImageRefused, OutcomeError
from gleanset.fetch.address import names_private
from gleanset.fetch.conditions import Conditions
from gleanset.fetch.hosts import Host
from gleanset.fetch.leases import Leases
from gleanset.fetch.options import FetchOptions
from gleanset.fetch.pacing import retry_after
from gleanset.fetch.patterns import HostPatterns
from gleanset.fetch.robots import MAX_BYTES, decoded
from gleanset.fetch.rules import UNANSWERED, SiteRules, unreachable
from gleanset.fetch.wire import LONGEST_SAVE, REDIRECTS, Ask, Headers, Response, TimeLeft, Wire
from gleanset.types import Reason
from gleanset.window import leave_place, use_another_place

_REFUSING = {429, 503}
_RETRIED = {429, 500, 502, 503, 504}
_STATUS_REASONS = {
    401: Reason.FORBIDDEN,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
    451: Reason.FORBIDDEN,
}
_ANSWERS = {Reason.BAD_RESPONSE, Reason.HEADERS_TOO_LARGE}  # of a host that is there, whatever it speaks
_DAY = 86_400.0
_AGAIN = 300.0  # seconds until files that could not be had are asked for again
_ROBOTS_REDIRECTS = 5
_REFUSALS = 8  # of one picture, before it counts as refused; a host's quiet has grown to a minute by then
_MOST_HOSTS = 20_000  # records of hosts kept in memory beside a book


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a URL is asked for. ruled: its rules are kept. retried: statuses that are passing faults. patience: for
    hosts that are closed, as a whole; otherwise for each request anew.
    """

    ruled: bool
    retried: Collection[int]
    patience: float
    as_a_whole: bool


class Fetcher:
    """One shared HTTP client; use as an async context manager. With a `book` it shares its hosts with other workers.

    `wire` is the network; one by the options when None.
    """

    def __init__(
        self, options: FetchOptions | None = None, book: HostBook | None = None, wire: Wire | None = None
    ) -> None:
        self.options = options or FetchOptions()
        self._wire = wire or Wire(self.options)
        self._own = HostPatterns(self.options.own_hosts)
        self._hosts: dict[tuple[str | None, int | None], Host] = {}
        self._leases = Leases(book) if book is not None else None
        patience = self.options.patience
        self._crawling = _Manner(True, _RETRIED, patience, as_a_whole=True)
        self._site_files = _Manner(False, _RETRIED, patience, as_a_whole=True)
        self._by_name = _Manner(False, _RETRIED, self.options.max_retry_after, as_a_whole=False)
        self._service = _Manner(False, (), self.options.service_patience, as_a_whole=False)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lookups = [host.lookup for host in self._hosts.values() if host.lookup is not None]
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()
        await self._wire.__aexit__(kind, error, trace)

    async def get(self, url: str, conditions: Conditions | None = None) -> Response:
        """The 200 answer to a GET, with a body, where the host's rules allow it; or a 304 that `conditions` asked for.

        Raises FetchFailed or ImageRefused with the reason for everything else.
        """
        ask = Ask(limit=self.options.max_bytes, conditions=conditions)
        response = await self._follow(self._checked(url), ask, self._crawling)
        if response.status == 304 and conditions is not None and conditions.headers(URL(response.url)):
            return response
        _good(response)
        if not response.body:
            raise ImageRefused(Reason.EMPTY)
        return response

    async def save(self, url: str, file: BinaryIO, *, max_bytes: int) -> Response:
        """The 200 answer to a GET, its body written into the file as it comes in and not held in memory.

        For files that a person asks for by name: robots.txt and opt-outs are not looked at. Raises as `get` does,
        but for an empty body, and StoreError when the file cannot be written.
        """
        return _good(await self._follow(self._checked(url), Ask(limit=max_bytes, into=file), self._by_name))

    async def request(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> Response:
        """The final answer, whatever its status: redirects followed, lost connections tried again.

        Of an error's body there are at most the first 64 kB. A status that asks for another try is the caller's, who
        knows the service; with `quiet` he says how long all workers are to leave it alone.
        For services that offer themselves to programs: robots.txt and opt-outs are not looked at. With `form` it is a
        POST of a form; a redirect of it is the answer, since what is posted is for one place.
        Raises FetchFailed when no answer could be had, or its host wants quiet for longer than one waits for it, which
        `quiet` of the error tells; ImageRefused when a limit or guard says no.
        """
        target = self._checked(url)
        if params:
            target = target.update_query(params)
        ask = Ask(limit=self._limit(max_bytes), headers=headers, form=form, error_text=True)
        return await self._follow(target, ask, self._service)

    def quiet(self, url: str, seconds: float) -> None:
        """Let nobody ask the host of this URL for so long, here and in all workers that share the book of hosts."""
        self._host(self._checked(url)).quiet(seconds)

    async def visit(self, url: str, *, max_bytes: int | None = None) -> Response:
        """As `request`, for what is meant for people and not offered to programs: the host's rules are kept.

        The body of an error is not read.
        """
        return await self._follow(self._checked(url), Ask(limit=self._limit(max_bytes)), self._crawling)

    def _limit(self, max_bytes: int | None) -> int:
        return self.options.max_bytes if max_bytes is None else max_bytes

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
        key = (url.host, url.port)
        host = self._hosts.get(key)
        if host is None:
            if self._leases is not None and len(self._hosts) >= _MOST_HOSTS:
                self._hosts = {k: h for k, h in self._hosts.items() if self._leases.needs(h)}
            name = url.host or ""
            pace = self.options.paces.get(name, self.options.pace)
            ask = self._leases.ask if self._leases is not None else None
            host = Host(f"{name}:{url.port}", pace, own=name in self._own or (url.raw_host or "") in self._own, ask=ask)
            self._hosts[key] = host
        return host

    async def _follow(self, target: URL, ask: Ask, manner: _Manner, redirects: int | None = None) -> Response:
        most = self.options.max_redirects if redirects is None else redirects
        left = TimeLeft(self.options.total_timeout if ask.into is None else LONGEST_SAVE)
        for _ in range(most + 1):
            response = await self._patiently(target, ask, left, manner)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None or ask.form is not None:
                return response
            following = self._checked(_quoted(location), base=target)
            if following.origin() != target.origin() and ask.headers is not None:
                ask = replace(ask, headers=None)  # a key for one host is not for the next
            target = following
        raise ImageRefused(Reason.TOO_MANY_REDIRECTS, f"more than {most}")

    async def _patiently(self, url: URL, ask: Ask, left: TimeLeft, manner: _Manner) -> Response:
        """One URL with retries; the slot of the host is free while waiting for the next attempt."""
        host = self._host(url)
        host.visitors += 1
        try:
            return await self._visited(host, url, ask, left, manner)
        finally:
            host.visitors -= 1

    async def _visited(self, host: Host, url: URL, ask: Ask, left: TimeLeft, manner: _Manner) -> Response:
        rules = await self._rules(host, url) if manner.ruled and not host.own else None
        if rules is not None:
            rules.check(url)

        def on_headers(status: int, headers: Headers) -> None:
            host.answered(refused=status == 429 or status >= 500)
            if rules is not None and (200 <= status < 300 or status == 304):
                rules.check_headers(url, headers)

        attempt = refusals = 0
        since = None if manner.as_a_whole else time.monotonic()
        while True:
            wait = self.options.back_off * 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            left.check()
            try:
                async with host.turn(manner.patience, since):
                    began = time.monotonic()
                    try:
                        response = await self._wire.ask(url, ask, on_headers, left)
                    finally:
                        host.pacer.came(began, left.came)
            except FetchFailed as failure:
                if failure.reason is Reason.HOST_DOWN or failure.reason is Reason.RATE_LIMITED:
                    raise
                if host.away:
                    continue
                attempt += 1
                if failure.reason is not Reason.CONNECTION or attempt >= self.options.attempts:
                    raise
            else:
                asked = retry_after(response.headers.get("Retry-After")) or 0.0
                if response.status in _REFUSING:
                    host.refused(self.options.back_off, asked)
                    if asked > manner.patience:
                        return response
                if manner.ruled and not host.own and (response.status == 429 or (response.status == 503 and asked)):
                    refusals += 1
                    if refusals == _REFUSALS:
                        return response
                    continue  # to the end of the host's quiet
                attempt += 1
                if response.status not in manner.retried or attempt >= self.options.attempts:
                    return response
                wait = max(wait, asked)
            leave_place(wait)
            await asyncio.sleep(wait)

    async def _rules(self, host: Host, url: URL) -> SiteRules:
        """The rules of the host; its files are asked for once, however many ask for a picture at the same time."""
        if host.rules is None or time.monotonic() >= host.rules_until:
            if host.lookup is None:
                host.lookup = asyncio.create_task(self._look_up(host, url.origin()))
                host.lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
            leave_place()
            await asyncio.shield(host.lookup)
        assert host.rules is not None
        return host.rules

    async def _look_up(self, host: Host, origin: URL) -> None:
        use_another_place()
        try:
            await host.leased()
            if host.rules is None or time.monotonic() >= host.rules_until:
                await self._ask_for_files(host, origin)
        finally:
            host.lookup = None
            leave_place()

    async def _ask_for_files(self, host: Host, origin: URL) -> None:
        known = host.rules is not None and not host.rules.unreachable
        answers = host.answers
        try:
            status, robots = await self._file(origin / "robots.txt")
        except OutcomeError as error:
            if not known and host.answers == answers and error.reason not in _ANSWERS:
                raise  # the host itself is out of reach, and says so better
            status, robots = UNANSWERED, f"{error.reason}: {error.detail}"[:500]
        if unreachable(status):
            if known:
                host.keep_stale(_AGAIN)
            else:
                why = robots if status == UNANSWERED else ""
                host.learn(SiteFiles(robots_status=status, robots=why, fresh_for=_AGAIN, version=host.version + 1))
            return
        fresh_for = _DAY
        try:
            tdm_status, tdm = await self._file(origin / ".well-known" / "tdmrep.json")
        except OutcomeError:
            tdm_status, tdm = 503, ""
        if unreachable(tdm_status):
            fresh_for = _AGAIN
        host.learn(
            SiteFiles(robots_status=status, robots=robots, tdm=tdm, fresh_for=fresh_for, version=host.version + 1)
        )

    async def _file(self, url: URL) -> tuple[int, str]:
        """A site's file of rules: its status, and the text of a 2xx. A chain of redirects without an end is a 404."""
        ask = Ask(limit=MAX_BYTES, cut=True)
        try:
            response = await self._follow(url, ask, self._site_files, _ROBOTS_REDIRECTS)
        except ImageRefused as refusal:
            if refusal.reason is Reason.TOO_MANY_REDIRECTS:
                return 404, ""
            raise
        return response.status, decoded(response.body) if 200 <= response.status < 300 else ""


def _good(response: Response) -> Response:
    if response.status != 200:
        fallback = Reason.SERVER_ERROR if response.status >= 500 else Reason.HTTP_STATUS
        raise FetchFailed(_STATUS_REASONS.get(response.status, fallback), f"HTTP {response.status}")
    return response


def _quoted(location: str) -> str:
    """A Location header as browsers read it: bytes that are not UTF-8 are percent-encoded, not dropped."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", location)
