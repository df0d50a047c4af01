"""How long the body of a request may be: counted as it comes in, so that nothing longer is kept anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USUAL = 4 * 1024 * 1024
_AROUND = 64 * 1024  # of a form, around the file in it


class BodyLimit:
    """Ends a request with 413 when its body is longer than the usual, or than the path's own limit.

    `uploads`: limits of files by what the path looks like (regular expressions).
    """

    def __init__(self, app: ASGIApp, uploads: Mapping[str, int]) -> None:
        self._app = app
        self._limits = [(re.compile(path), limit + _AROUND) for path, limit in uploads.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((limit for path, limit in self._limits if path.fullmatch(scope["path"])), USUAL)
        stated = Headers(scope=scope).get("Content-Length", "0")
        had = 0

        async def receive_limited() -> Message:
            nonlocal had
            if stated.isdecimal() and int(stated) > limit:
                raise _too_large(limit)
            message = await receive()
            had += len(message.get("body", b""))
            if had > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, receive_limited, send)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request is longer than {limit:,} bytes, which is the most that is taken here.")
