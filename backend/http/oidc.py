"""Tokens of an identity provider: whether it signed them, and for us. Who that is here, `services.claims` says.

Only signatures with a private key are taken: with `none` everybody could sign, and with HS256 everybody who knows the
public key, were it taken for a password.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import jwt
import structlog

from backend.config import Settings
from backend.errors import NotLoggedIn, ProviderUnavailable

log = structlog.get_logger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LONGEST = 16_384
"""Characters of a token that are looked at."""
LEEWAY = 30.0
"""Seconds by which the provider's clock and ours may differ."""

_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_TAKEN = f"Tokens are taken that are signed with {', '.join(ALGORITHMS[:-1])} or {ALGORITHMS[-1]}."
_REASONS: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
    (jwt.ExpiredSignatureError, "This token has expired. Get a new one where you log in."),
    (jwt.ImmatureSignatureError, "This token is not valid yet. Is a clock wrong?"),
    (jwt.InvalidIssuerError, "This token is of another issuer than the one that counts here."),
    (jwt.InvalidAudienceError, "This token is for another audience. Get one that is made for Gleanset."),
    (jwt.MissingRequiredClaimError, "This token lacks one of the claims exp, iss, aud and sub."),
)


@dataclass(slots=True)
class KeySet:
    """The provider's public keys by their ids, fetched from `url` when they are needed.

    lasts: seconds until they are fetched anew; pause: from one fetch that brought nothing to the next.
    kept: seconds for which they are good when the provider cannot be reached.
    """

    url: str
    lasts: float = 600.0
    pause: float = 30.0
    kept: float = 3600.0
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict[str, jwt.PyJWK])
    _fetched: float = -float("inf")
    _failed: float = -float("inf")
    _looked: float = -float("inf")  # for a key that was not there
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key; None when the provider has none of this id. Raises ProviderUnavailable when it cannot tell."""
        if self._is_old():
            await self._fetch_once(self._is_old)
        if key_id not in self._keys and self._may_look():
            await self._fetch_once(lambda: key_id not in self._keys and self._may_look())
        known = self._keys.get(key_id) if time.monotonic() - self._fetched < self.kept else None
        if known is None and self._failed > self._fetched:
            raise ProviderUnavailable("The identity provider's keys cannot be fetched just now. Try again in a minute.")
        return known

    def _is_old(self) -> bool:
        now = time.monotonic()
        return now - self._fetched >= self.lasts and now - self._failed >= self.pause

    def _may_look(self) -> bool:
        """Anybody can name keys that do not exist, so that is no reason to ask the provider each time."""
        return time.monotonic() - max(self._looked, self._failed) >= self.pause

    async def _fetch_once(self, needed: Callable[[], bool]) -> None:
        """Fetch, unless another request did while this one waited for it."""
        async with self._lock:
            if not needed():
                return
            if not self._is_old():
                self._looked = time.monotonic()
            try:
                self._keys = dict(_usable(json.loads(await _fetched(self.url))))
                self._fetched = time.monotonic()
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
                self._failed = time.monotonic()
                log.warning("keys of the identity provider not fetched", url=self.url, error=repr(error))


async def _fetched(url: str) -> bytes:
    """The document. Redirects are not followed: the setting names the address that is trusted."""
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
        return bytes(body)


def _usable(document: Any) -> Iterator[tuple[str, jwt.PyJWK]]:
    """The keys that sign in a way that is taken here. Raises ValueError when it is no JSON Web Key Set."""
    keys = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(cast("list[Any]", keys)) > _MOST_KEYS:
        raise ValueError(f"no JSON Web Key Set of at most {_MOST_KEYS} keys")
    for each in cast("list[Any]", keys):
        try:
            key = jwt.PyJWK(each)
        except (jwt.PyJWTError, AttributeError, TypeError, ValueError, KeyError):
            continue  # of a kind that is not known, such as keys for encryption may be
        if key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"} and isinstance(key.key_id, str):
            yield key.key_id, key


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider whose tokens count here."""

    issuer: str
    audience: str
    keys: KeySet

    async def claims(self, token: str) -> dict[str, Any]:
        """What the token says. Raises NotLoggedIn when it is not good, ProviderUnavailable when that cannot be told."""
        if len(token) > LONGEST:
            raise NotLoggedIn(f"This token is longer than {LONGEST} characters.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise NotLoggedIn("This is neither an API key nor a token of the identity provider.") from error
        if header.get("alg") not in ALGORITHMS:
            raise NotLoggedIn(_TAKEN)
        key_id = header.get("kid")
        key = await self.keys.find(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise NotLoggedIn("This token is signed with a key that the identity provider does not have.")
        return self._checked(token, key)

    def _checked(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.PyJWT({"enforce_minimum_key_length": True}).decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "This token is not good.")
            raise NotLoggedIn(reason) from error


def provider_of(settings: Settings) -> Provider | None:
    """The provider that the settings name."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    url = settings.oidc_jwks_url or settings.oidc_issuer.rstrip("/") + "/.well-known/jwks.json"
    return Provider(settings.oidc_issuer, settings.oidc_audience, KeySet(url))
