"""Connections that are kept for the next request only while nothing strange comes over them.

HTTP/1.1 has no names for answers: whatever arrives next answers the request before it. So an answer too many, of a
server that lost count, would be stored under the next URL, with that one's licence. And aiohttp counts neither what an
answer costs beside its body, nor does it always say that the rest of a body is not valid.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Container
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError

if TYPE_CHECKING:
    import asyncio

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection as Lent
    from aiohttp.tracing import Trace

REST, MOST_RESTING = 0.1, 256
"""Seconds for which nothing may have come over a connection since its last answer, before it is used again; less when
a host is asked so often that more than so many connections to it would rest."""

OVERHEAD = 512 * 1024
"""Bytes of one answer that may be something else than body, beside a 16th of the body: headers, interim answers,
chunk sizes, empty gzip members. More than what one packet holds, because its bytes count before its body does."""


class KeptConnection(ResponseHandler):
    """One connection. It calls `disturbed` when anything comes while no answer is due, and closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, disturbed: Callable[[ConnectionKey], None]) -> None:
        super().__init__(loop)
        self._disturbed = disturbed
        self._resting: ConnectionKey | None = None
        self._came = 0
        self._looked_at = 0

    def rest(self, key: ConnectionKey) -> None:
        """No answer is due from here on."""
        if self.is_connected():
            self._resting = key

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._resting = None
        self._came = self._looked_at = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._resting is not None and data:  # without data, aiohttp only goes on with what it has
            self._close_disturbed(self._resting)
            return
        super().data_received(data)
        if self._resting is not None and self.should_close:  # there was more in the packet that ended an answer
            self._close_disturbed(self._resting)
        self._came += len(data)
        if self._came - self._looked_at > OVERHEAD:
            self._looked_at = self._came
            self._check_overhead()

    def _close_disturbed(self, key: ConnectionKey) -> None:
        self._disturbed(key)
        self.close()

    def _check_overhead(self) -> None:
        body = self._payload.total_bytes if self._payload is not None else 0
        if self._came - body > OVERHEAD + body // 16 and self.transport is not None:
            self.transport.close()
            self.set_exception(BadHttpMessage(f"{self._came} bytes for {body} bytes of body"))

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """As aiohttp's, which tells of invalid HTTP only those who wait for the head, and lets those who read the body
        wait for ever."""
        super().set_exception(exc, exc_cause or exc)
        payload = self._payload
        if isinstance(exc, HttpProcessingError) and payload is not None and not payload.is_eof():
            payload.set_exception(exc)


class Connector(aiohttp.TCPConnector):
    """Opens connections, and keeps those of hosts that never spoke out of turn. `own` hosts need no rest."""

    def __init__(self, own: Container[str], **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._own = own
        self._strange: set[ConnectionKey] = set()
        self._factory = partial(KeptConnection, self._loop, self._strange.add)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Lent | None:
        """The connection that has rested longest, when that is enough. Without one, aiohttp opens another."""
        if key.host in self._own:
            return await super()._get(key, traces)
        kept = self._conns.get(key)
        if not kept or (len(kept) < MOST_RESTING and monotonic() - kept[0][1] < REST):
            return None
        lent = await super()._get(key, traces)
        if lent is not None and not _is_silent(lent):
            lent.close()
            return None
        return lent

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close or key in self._strange)
        if isinstance(protocol, KeptConnection):
            protocol.rest(key)


def _is_silent(lent: Lent) -> bool:
    """Whether nothing waits in the socket: what came while the event loop was busy has not been seen yet."""
    if lent.transport is None:
        return False
    socket = select.poll()
    socket.register(lent.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not socket.poll(0)
