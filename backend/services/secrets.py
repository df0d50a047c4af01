"""Tokens that prove something by being known. The database holds their hashes, so whoever reads it can use none.

SHA-256 is enough for them: they are 32 random bytes, which no table and no graphics card guesses.
"""

from __future__ import annotations

import hashlib
import secrets


def new_token(prefix: str = "") -> str:
    """A token of 256 random bits, in 43 characters behind the prefix."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What the database keeps of a token: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()
