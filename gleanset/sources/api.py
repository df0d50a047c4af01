"""Asking a JSON API: its throttle headers trusted, its errors told in a sentence."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from gleanset.errors import FetchFailed, OutcomeError, SourceError
from gleanset.sources.base import Http, Response
from gleanset.sources.text import as_dict, clean, integer

Wait = Callable[[float], Awaitable[None]]

_MAX_BYTES = 16 * 1024 * 1024
_RETRIES = 2
_PATIENCE = 120.0  # seconds; past this a chunk gives its worker back and is tried again later
_DEFAULT_PAUSE = 30.0
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AVAILABLE = "x-ratelimit-available-"
_UNIX_TIME = 1_000_000_000  # a reset this large is a moment, not a number of seconds
_LONGEST_PAUSE = 31 * 86400.0
_SAID_IN = ("detail", "error", "reason", "message")


class Api:
    """One JSON service behind an `Http`. `wait` sleeps, and is a parameter so that tests need not.

    `key` is a secret that requests carry, in `headers` or among their parameters: no error shows it. `slow_down`: the
    statuses by which the service asks for quiet.
    """

    def __init__(
        self,
        http: Http,
        service: str,
        wait: Wait = asyncio.sleep,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        slow_down: Collection[int] = (429,),
    ) -> None:
        self._http = http
        self._service = service
        self._wait = wait
        self._key = key
        self._headers = headers
        self._slow_down = slow_down
        self._ready_at = 0.0

    async def get(self, url: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object of a 200 answer; raises SourceError for everything else.

        When a throttle says that nothing is available, the next request waits until there must be something again,
        instead of earning a 429.
        """
        return self._decoded(await self._ask_patiently(url, params))

    async def find(self, url: str, params: Mapping[str, str], *, nothing: int = 404) -> dict[str, Any] | None:
        """As `get`, but None where the service answers that there is nothing, which it does with this status."""
        response = await self._ask_patiently(url, params)
        return None if response.status == nothing else self._decoded(response)

    async def _ask_patiently(self, url: str, params: Mapping[str, str]) -> Response:
        response = await self._ask(url, params)
        for _ in range(_RETRIES):
            if response.status not in self._slow_down:
                break
            response = await self._ask(url, params)
        return response

    def error(self, message: str, *, retryable: bool = False) -> SourceError:
        """A SourceError without the key, however the message came by it."""
        return SourceError(_without(self._key, message), retryable=retryable)

    async def _ask(self, url: str, params: Mapping[str, str]) -> Response:
        """One answer, asked for when the throttle allows it; notes what the answer says of the throttle."""
        await self._until_ready()
        response = await self._request(url, params)
        pause = exhausted_for(response.headers)
        if response.status in self._slow_down:
            pause = _retry_after(response.headers) or pause or _DEFAULT_PAUSE
        if pause:
            self._ready_at = asyncio.get_running_loop().time() + pause
        return response

    async def _until_ready(self) -> None:
        ready_at = self._ready_at
        delay = ready_at - asyncio.get_running_loop().time()
        if delay <= 0:
            return
        if delay > _PATIENCE:
            message = f"{self._service} allows no more requests for the next {_spoken(delay)}. Try again after that."
            raise SourceError(message, retryable=True)
        await self._wait(delay)
        if self._ready_at == ready_at:
            self._ready_at = 0.0

    async def _request(self, url: str, params: Mapping[str, str]) -> Response:
        try:
            return await self._http.request(url, params=params, headers=self._headers, max_bytes=_MAX_BYTES)
        except OutcomeError as error:
            retryable = isinstance(error, FetchFailed)
            detail = f" ({error.detail})" if error.detail else ""
            message = f"{self._service} cannot be reached: {error.reason.sentence}{detail}"
            # Behind a key there is no cause to look at: it may name the address, and that has the key in it.
            raise self.error(message, retryable=retryable) from (None if self._key else error)

    def _decoded(self, response: Response) -> dict[str, Any]:
        if response.status != 200:
            raise self._refusal(response)
        try:
            answer: Any = json.loads(response.body)
        except (ValueError, RecursionError) as error:
            message = f"{self._service} sent an answer that is not valid JSON. Try again later."
            raise SourceError(message, retryable=True) from error
        if not isinstance(answer, dict):
            raise SourceError(f"{self._service} sent an answer that is not a JSON object.", retryable=True)
        return cast("dict[str, Any]", answer)

    def _refusal(self, response: Response) -> SourceError:
        status, detail = response.status, _detail(response.body)
        if status in self._slow_down:
            return self.error(f"{self._service} asks to slow down ({status}).{detail} Try again later.", retryable=True)
        if status >= 500:
            return self.error(f"{self._service} is failing ({status}).{detail} Try again later.", retryable=True)
        if status in {400, 422}:
            return self.error(f"{self._service} does not accept the query ({status}).{detail}")
        if status in {401, 403}:
            check = " Check the key in GLEANSET_SOURCE_KEYS." if self._key else ""
            return self.error(f"{self._service} does not let us ask this ({status}).{detail}{check}")
        return self.error(f"{self._service} answered with status {status}.{detail} Check its address.")


def exhausted_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until every throttle that the headers call used up has room again, or None when all have.

    With `X-RateLimit-Available-<scope>` the services count over a sliding window, so a whole period (`min` of
    `20/min`) after the last request is safe. With `X-RateLimit-Remaining`, `X-RateLimit-Reset` says when.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    pauses = [
        _period(lower.get(f"x-ratelimit-limit-{name.removeprefix(_AVAILABLE)}", ""))
        for name, value in lower.items()
        if name.startswith(_AVAILABLE) and (available := integer(value)) is not None and available <= 0
    ]
    remaining = integer(lower.get("x-ratelimit-remaining"))
    if remaining is not None and remaining <= 0:
        pauses.append(_until_reset(lower.get("x-ratelimit-reset")))
    return max(pauses, default=None)


def _without(key: str | None, text: str) -> str:
    """The text with no trace of the key, whichever of its characters are percent-encoded."""
    if not key:
        return text
    return re.sub("".join(f"(?:{re.escape(c)}|%{ord(c):02x})" for c in key), "[key]", text, flags=re.IGNORECASE)


def _period(limit: str) -> float:
    match = re.fullmatch(r"\s*\d+\s*/\s*(\d*)\s*([smhd])[a-z]*\s*", limit.lower())
    return float(match[1] or 1) * _PERIODS[match[2]] if match else _PERIODS["m"]


def _until_reset(reset: str | None) -> float:
    """Seconds until `X-RateLimit-Reset`, which is a number of seconds at some services and Unix time at others."""
    seconds = integer(reset)
    if seconds is None:
        return _PERIODS["m"]
    if seconds >= _UNIX_TIME:
        seconds -= int(time.time())
    return float(min(max(seconds, 1), _LONGEST_PAUSE))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 1.0)


def _detail(body: bytes) -> str:
    """What a service says about an error, as a sentence with a blank before it: each has its own field for it."""
    try:
        answer = as_dict(json.loads(body))
    except (ValueError, RecursionError):
        return _plain_detail(body)
    said = next((answer[name] for name in _SAID_IN if answer.get(name)), None)
    text = clean(said) if not isinstance(said, dict | list) else json.dumps(said, ensure_ascii=False)
    return f" {text[:500].rstrip('.')}." if text else ""


def _plain_detail(body: bytes) -> str:
    """The first line of an error in plain text; nothing of a page, of broken JSON or of bytes that are no text."""
    line = body.strip().partition(b"\n")[0][:500].strip()
    text = line.decode("ascii", "replace")
    if not line.isascii() or not text.isprintable() or text.startswith(("<", "{")):
        return ""
    return f" {text.rstrip('.')}." if text else ""


def _spoken(seconds: float) -> str:
    if seconds < 7200:
        return f"{round(seconds / 60)} minutes"
    if seconds < 2 * 86400:
        return f"{round(seconds / 3600)} hours"
    return f"{round(seconds / 86400)} days"
