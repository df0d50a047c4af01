"""Asking a JSON API: its throttle trusted, its errors told in a sentence, its key shown nowhere."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from gleanset.errors import FetchFailed, OutcomeError, SourceError
from gleanset.sources.base import Http, Response
from gleanset.sources.text import as_dict, clean
from gleanset.sources.throttle import Throttle, exhausted_for, retry_after

Wait = Callable[[float], Awaitable[None]]

_MAX_BYTES = 16 * 1024 * 1024
_PATIENCE = 120.0  # seconds; past this a chunk gives its worker back and goes on at the moment that it is told
_PASSING = {500, 502, 503, 504}
_PAUSES = (0.5, 1.0)  # between tries when a service fails in passing
_SAID_IN = ("detail", "error", "reason", "message")


class Api:
    """One JSON service behind an `Http`. `wait` sleeps, and is a parameter so that tests need not.

    `key` is a secret that requests carry in their headers, parameters or form: no error shows it.
    """

    def __init__(
        self,
        http: Http,
        service: str,
        wait: Wait = asyncio.sleep,
        *,
        key: str | None = None,
        throttle: Throttle = Throttle(),
    ) -> None:
        self._http = http
        self._service = service
        self._wait = wait
        self._key = key
        self._throttle = throttle
        self._ready_at = 0.0

    async def get(
        self, url: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON object of a 200 answer; raises SourceError for everything else."""
        return self.object_in(await self.answer(url, params, headers=headers))

    async def get_any(self, url: str) -> Any:
        """The JSON of a 200 answer, whatever its type; raises SourceError for everything else."""
        return self._json_in(await self.answer(url))

    async def find(
        self, url: str, params: Mapping[str, str] | None = None, *, nothing: int = 404
    ) -> dict[str, Any] | None:
        """As `get`, but None where the service answers that there is nothing, which it does with this status."""
        response = await self.answer(url, params)
        return None if response.status == nothing else self.object_in(response)

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
        instead of earning a 429; so do those of all other workers, which hear of it through the book of hosts.
        """
        send = partial(self._http.request, url, params=params, headers=headers, form=form, max_bytes=_MAX_BYTES)
        for default in self._throttle.pauses:
            response = await self._ask(url, send, default)
            if response.status not in self._throttle.statuses:
                return response
        return await self._ask(url, send, self._throttle.pauses[-1])

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

    def error(self, message: str, *, retryable: bool = False) -> SourceError:
        """A SourceError without the key, however the message came by it."""
        return SourceError(_without(self._key, message), retryable=retryable)

    async def _ask(self, url: str, send: Callable[[], Awaitable[Response]], default_pause: float) -> Response:
        """One answer, asked for when the throttle allows it; notes what the answer says of the throttle."""
        await self._until_ready()
        response = await self._request(send)
        for again in _PAUSES:
            if response.status not in _PASSING or response.status in self._throttle.statuses:
                break
            await self._wait(again)
            response = await self._request(send)
        pause = exhausted_for(response.headers)
        if response.status in self._throttle.statuses:
            pause = retry_after(response.headers) or pause or default_pause
        if pause:
            self._ready_at = asyncio.get_running_loop().time() + pause
            self._http.quiet(url, pause)
        return response

    async def _until_ready(self) -> None:
        ready_at = self._ready_at
        delay = ready_at - asyncio.get_running_loop().time()
        if delay <= 0:
            return
        if delay > _PATIENCE:
            raise self._used_up(delay)
        await self._wait(delay)
        if self._ready_at == ready_at:
            self._ready_at = 0.0

    async def _request(self, send: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await send()
        except OutcomeError as error:
            if error.quiet is not None:
                raise self._used_up(error.quiet) from None
            retryable = isinstance(error, FetchFailed)
            message = f"{self._service} cannot be reached: {error.told}"
            # Behind a key there is no cause to look at: it may name the address, and that has the key in it.
            raise self.error(message, retryable=retryable) from (None if self._key else error)

    def _used_up(self, seconds: float) -> SourceError:
        message = f"{self._service} allows no more requests for the next {_spoken(seconds)}. Try again after that."
        return SourceError(message, retryable=True, ready_in=seconds)

    def _json_in(self, response: Response) -> Any:
        try:
            return json.loads(self.body_in(response))
        except (ValueError, RecursionError) as error:
            message = f"{self._service} sent an answer that is not valid JSON. Try again later."
            raise SourceError(message, retryable=True) from error

    def _refusal(self, response: Response) -> SourceError:
        status, detail = response.status, _detail(response.body)
        if status in self._throttle.statuses:
            return self.error(f"{self._service} asks to slow down ({status}).{detail} Try again later.", retryable=True)
        if status >= 500:
            return self.error(f"{self._service} is failing ({status}).{detail} Try again later.", retryable=True)
        if status in {400, 422}:
            return self.error(f"{self._service} does not accept the query ({status}).{detail}")
        if status in {401, 403}:
            check = " Check the key in GLEANSET_SOURCE_KEYS." if self._key else ""
            return self.error(f"{self._service} does not let us ask this ({status}).{detail}{check}")
        return self.error(f"{self._service} answered with status {status}.{detail} Check its address.")


def _without(key: str | None, text: str) -> str:
    """The text with no trace of the key, whichever of its characters are percent-encoded."""
    if not key:
        return text
    return re.sub("".join(f"(?:{re.escape(c)}|%{ord(c):02x})" for c in key), "[key]", text, flags=re.IGNORECASE)


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
