"""HTTP as the client speaks it: a key with every request, another try where that is safe, one kind of error."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from gleanset.errors import (
    AccessDenied,
    ApiError,
    ClientError,
    Conflicting,
    InvalidRequest,
    NotThere,
    ServerFault,
    Throttled,
    Unreachable,
)

SAFE = frozenset({"GET", "HEAD"})
_PREFIX = "/api/v1"
_BUSY = frozenset({429, 502, 503, 504})
_EMPTY = frozenset({204, 304})
_FRAMES = frozenset({"content-length", "transfer-encoding"})
"""One of these tells where a body ends. An answer without them is one whose head was cut off: the library takes what
came of it for the whole."""
_KINDS: Mapping[int, type[ApiError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotThere,
    409: Conflicting,
    410: NotThere,
    413: InvalidRequest,
    422: InvalidRequest,
    429: Throttled,
}

Answer = urllib3.BaseHTTPResponse
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times are seconds. A request is tried so many times, after pauses that double from `pause` on; a server that asks
    for a longer one than `longest` is not asked again."""

    attempts: int = 5
    pause: float = 0.25
    longest: float = 30.0
    connect: float = 10.0
    read: float = 60.0

    def before(self, attempt: int) -> float:
        """The pause before this attempt, the second one being 2; not the same for all clients of a server."""
        return min(self.longest, self.pause * 2.0 ** (attempt - 2)) * random.uniform(0.75, 1.25)  # noqa: S311


class _Problem(BaseModel):
    code: str = "error"
    message: str
    details: dict[str, Any] = {}
    request_id: str | None = None


class Http:
    """The API of one server. May be used by several threads, and after a fork."""

    def __init__(
        self, url: str, key: str | None, patience: Patience | None = None, pool: urllib3.PoolManager | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ClientError(f"{url!r} is no address of a server. It looks like https://gleanset.example.org.")
        self.url = url.rstrip("/").removesuffix(_PREFIX)
        self.patience = patience or Patience()
        self._headers = {"User-Agent": f"gleanset-client/{version('gleanset')}", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._given, self._made, self._process = pool, pool, os.getpid()

    def get(self, path: str, params: Mapping[str, Value] | None = None) -> bytes:
        """The body of what is at the path, which begins behind /api/v1."""
        return self.send("GET", path, params=params)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Value] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> bytes:
        """The body of the answer. `again`: sending it twice does what sending it once does. Raises ClientError."""
        given = {"Accept": "application/json", **(headers or {})}
        options: dict[str, Any] = {"preload_content": True}
        if body is not None:
            options["json"] = dict(body)
        return self._ask(method, self._address(path, params), given, again or method in SAFE, **options).data

    @contextmanager
    def open(
        self, path: str, headers: Mapping[str, str], *, read: float | None = None, attempts: int | None = None
    ) -> Generator[Answer]:
        """An answer whose body the caller reads, bit by bit. Raises ClientError, also when the body breaks off."""
        timeout = urllib3.Timeout(connect=self.patience.connect, read=read or self.patience.read)
        address = self._address(path, None)
        answer = self._ask("GET", address, headers, True, preload_content=False, timeout=timeout, attempts=attempts)
        try:
            yield answer
        except HTTPError as error:
            raise Unreachable(f"The answer of {self.url} broke off: {error}.") from error
        finally:
            answer.close()  # not back into the pool: it may be in the middle of a body

    def _address(self, path: str, params: Mapping[str, Value] | None) -> str:
        asked = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in (params or {}).items()
        }
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        where = path if path.startswith(f"{_PREFIX}/") else f"{_PREFIX}{quote(path)}"
        return f"{self.url}{where}?{query}" if query else f"{self.url}{where}"

    def _ask(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str],
        again: bool,
        *,
        attempts: int | None = None,
        **options: Any,
    ) -> Answer:
        attempts = attempts or self.patience.attempts
        attempt = 1
        while True:
            attempt += 1
            last = attempt > attempts
            try:
                answer = self._once(method, address, headers, **options)
            except Unreachable as error:
                if last or not (again or _never_sent(error.__cause__)):
                    raise
                time.sleep(self.patience.before(attempt))
                continue
            if answer.status < 400:
                return answer
            refused = _error(answer)
            pause = _asked_pause(answer, refused)
            wait = self.patience.before(attempt) if pause is None else pause
            # What was turned away with 429 was not done, whatever it was.
            if (
                last
                or answer.status not in _BUSY
                or not (again or answer.status == 429)
                or wait > self.patience.longest
            ):
                raise refused
            time.sleep(wait)

    def _once(self, method: str, address: str, headers: Mapping[str, str], **options: Any) -> Answer:
        options.setdefault("timeout", urllib3.Timeout(connect=self.patience.connect, read=self.patience.read))
        retries = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3)
        try:
            answer = self._pool.request(
                method, address, headers={**self._headers, **headers}, retries=retries, **options
            )
        except HTTPError as error:
            cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            raise Unreachable(f"{self.url} does not answer: {cause}. Is it running, and the address right?") from cause
        if answer.status not in _EMPTY and not _FRAMES & {name.lower() for name in answer.headers}:
            answer.close()
            raise Unreachable(f"The answer of {self.url} broke off in its head.")
        return answer

    @property
    def _pool(self) -> urllib3.PoolManager:
        """A process that was forked off has connections of its own: the same ones would mix up two conversations."""
        if self._made is None or self._process != os.getpid():
            self._made = self._given or urllib3.PoolManager(maxsize=8)
            self._process = os.getpid()
        return self._made

    def close(self) -> None:
        """Close the connections; a pool that was given stays open."""
        if self._made is not None and self._made is not self._given and self._process == os.getpid():
            self._made.clear()


def _never_sent(error: BaseException | None) -> bool:
    return isinstance(error, NewConnectionError | ConnectTimeoutError)


def _asked_pause(answer: Answer, refused: ApiError) -> float | None:
    """Seconds that the server asks to be left alone."""
    given = answer.headers.get("Retry-After", "")
    if isinstance(refused, Throttled) and given.isdigit():
        refused.details.setdefault("retry_after", int(given))
    return float(given) if given.isdigit() and len(given) < 10 else None


def _error(answer: Answer) -> ApiError:
    kind = _KINDS.get(answer.status, ServerFault if answer.status >= 500 else ApiError)
    try:
        told = _Problem.model_validate_json(answer.data)
    except (ValidationError, HTTPError):
        sentence = f"The server answered {answer.status} {answer.reason or ''}".rstrip()
        told = _Problem(message=f"{sentence}, and not in the words of Gleanset's API. Is the address right?")
    finally:
        answer.close()
    return kind(told.message, status=answer.status, code=told.code, details=told.details, request_id=told.request_id)
