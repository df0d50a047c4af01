"""Asking a JSON API: its throttle headers trusted, its errors told in a sentence."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, cast

from gleanset.errors import FetchFailed, OutcomeError, SourceError
from gleanset.sources.base import Http, Response
from gleanset.sources.text import as_dict, clean, integer

Wait = Callable[[float], Awaitable[None]]

_MAX_BYTES = 16 * 1024 * 1024
_PATIENCE = 120.0  # seconds; past this a chunk gives its worker back and is tried again later
_PAUSES = (30.0, 30.0)
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AVAILABLE = "x-ratelimit-available-"
_SAID_IN = ("detail", "error", "message")


class Api:
    """One JSON service behind an `Http`. `wait` sleeps, and is a parameter so that tests need not.

    `slow_down`: the statuses by which the service asks for quiet. `pauses`: seconds of quiet after each of them in
    turn, unless the answer says how long; one more of them after the last pause is the answer.
    """

    def __init__(
        self,
        http: Http,
        service: str,
        wait: Wait = asyncio.sleep,
        *,
        slow_down: Collection[int] = (429,),
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self._http = http
        self._service = service
        self._wait = wait
        self._slow_down = slow_down
        self._pauses = pauses
        self._ready_at = 0.0

    async def get(self, url: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object of a 200 answer; raises SourceError for everything else."""
        return self.object_in(await self.answer(url, params))

    async def get_any(self, url: str) -> Any:
        """The JSON of a 200 answer, whatever its type; raises SourceError for everything else."""
        return self._json_in(await self.answer(url))

    async def answer(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer, whatever its status and type; raises SourceError when there is none.

        When a throttle says that nothing is available, the next request waits until there must be something again,
        instead of earning a 429.
        """
        send = partial(self._http.request, url, params=params, headers=headers, form=form, max_bytes=_MAX_BYTES)
        for default in self._pauses:
            response = await self._ask(send, default)
            if response.status not in self._slow_down:
                return response
        return await self._ask(send, self._pauses[-1])

    def object_in(self, response: Response) -> dict[str, Any]:
        """The JSON object that a 200 answer holds; raises SourceError for everything else."""
        answer = self._json_in(response)
        if not isinstance(answer, dict):
            raise SourceError(f"{self._service} sent an answer that is not a JSON object.", retryable=True)
        return cast("dict[str, Any]", answer)

    def body_in(self, response: Response) -> bytes:
        """The body of a 200 answer; raises SourceError for everything else."""
        if response.status != 200:
            raise self._refusal(response)
        return response.body

    async def _ask(self, send: Callable[[], Awaitable[Response]], default_pause: float) -> Response:
        """One answer, asked for when the throttle allows it; notes what the answer says of the throttle."""
        await self._until_ready()
        response = await self._request(send)
        pause = exhausted_for(response.headers)
        if response.status in self._slow_down:
            pause = _retry_after(response.headers) or pause or default_pause
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

    async def _request(self, send: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await send()
        except OutcomeError as error:
            retryable = isinstance(error, FetchFailed)
            detail = f" ({error.detail})" if error.detail else ""
            message = f"{self._service} cannot be reached: {error.reason.sentence}{detail}"
            raise SourceError(message, retryable=retryable) from error

    def _json_in(self, response: Response) -> Any:
        try:
            return json.loads(self.body_in(response))
        except (ValueError, RecursionError) as error:
            message = f"{self._service} sent an answer that is not valid JSON. Try again later."
            raise SourceError(message, retryable=True) from error

    def _refusal(self, response: Response) -> SourceError:
        status, detail = response.status, _detail(response.body)
        if status in self._slow_down:
            return SourceError(
                f"{self._service} asks to slow down ({status}).{detail} Try again later.", retryable=True
            )
        if status >= 500:
            return SourceError(f"{self._service} is failing ({status}).{detail} Try again later.", retryable=True)
        if status in {400, 422}:
            return SourceError(f"{self._service} does not accept the query ({status}).{detail}")
        if status in {401, 403}:
            return SourceError(f"{self._service} does not let us ask this ({status}).{detail}")
        return SourceError(f"{self._service} answered with status {status}.{detail} Check its address.")


def exhausted_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until every used-up scope of `X-RateLimit-Available-<scope>` has room again, or None when all have.

    The services count over a sliding window, so a whole period (`min` of `20/min`) after the last request is safe.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    pauses = [
        _period(lower.get(f"x-ratelimit-limit-{name.removeprefix(_AVAILABLE)}", ""))
        for name, value in lower.items()
        if name.startswith(_AVAILABLE) and (available := integer(value)) is not None and available <= 0
    ]
    return max(pauses, default=None)


def _period(limit: str) -> float:
    match = re.fullmatch(r"\s*\d+\s*/\s*(\d*)\s*([smhd])[a-z]*\s*", limit.lower())
    return float(match[1] or 1) * _PERIODS[match[2]] if match else _PERIODS["m"]


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
    """What a service says about an error, as a sentence with a blank before it, in the field that it uses for it."""
    try:
        answer = as_dict(json.loads(body))
    except (ValueError, RecursionError):
        return ""
    said = next((answer[name] for name in _SAID_IN if answer.get(name)), None)
    text = clean(said) if not isinstance(said, dict | list) else json.dumps(said, ensure_ascii=False)
    return f" {text[:500].rstrip('.')}." if text else ""


def _spoken(seconds: float) -> str:
    if seconds < 7200:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"
