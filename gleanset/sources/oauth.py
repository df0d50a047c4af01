"""Tokens of OAuth's client credentials: got with a key, kept until they end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.base import Http, Response
from gleanset.sources.text import clean, integer

_EARLY = 60.0  # seconds before its end at which a token is renewed
_REFUSED = {400, 401, 403}


class Account:
    """A client of a service that hands out tokens at `url`. No error of its own shows the secret or the token."""

    def __init__(self, http: Http, service: str, url: str, key: str, wait: Wait = asyncio.sleep) -> None:
        client_id, _, secret = key.partition(":")
        if not (client_id and secret):
            raise SourceError(f"The key of {service} is to be written as client_id:client_secret.")
        self._api = Api(http, service, wait, key=secret)  # its throttle is not that of searches
        self._service = service
        self._url = url
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        self._token: str | None = None
        self._ends_at = 0.0
        self._asking = asyncio.Lock()

    async def answer(self, api: Api, url: str, params: Mapping[str, str]) -> Response:
        """The answer to a request that carries a token: a new one, once, when the service no longer knows ours."""
        token = await self._valid()
        response = await api.answer(url, params, headers=_bearer(token))
        if response.status != 401:
            return response
        return await api.answer(url, params, headers=_bearer(await self._valid(not_this=token)))

    async def _valid(self, not_this: str | None = None) -> str:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._token is None or self._token == not_this or now >= self._ends_at:
                self._token, lasts = await self._new()
                self._ends_at = now + lasts - _EARLY
            return self._token

    async def _new(self) -> tuple[str, float]:
        """A token, and the seconds that it lasts."""
        response = await self._api.answer(self._url, form=self._form)
        if response.status in _REFUSED:
            message = f"{self._service} does not accept the key ({response.status}). Check its client_id:client_secret."
            raise SourceError(message)
        if response.status != 200:
            message = f"{self._service} gives no token ({response.status}). Try again later."
            raise SourceError(message, retryable=True)
        answer = self._api.object_in(response)
        token, lasts = clean(answer.get("access_token")), integer(answer.get("expires_in"))
        if token is None or not token.isascii() or not token.isprintable():
            raise SourceError(f"{self._service} gives no token that can be used. Try again later.", retryable=True)
        return token, float(min(max(lasts or 0, 0), 10**9))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
