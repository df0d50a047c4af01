"""Log-ins that fail are counted by account and by address, in the database, so that all processes count together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import TooMany
from backend.models import LoginFailure

WINDOW = timedelta(minutes=15)
_CLEAN_EVERY = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures within the window after which an account, or an address, has to wait."""

    account: int
    address: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in under way. It counts as failed until it is `forgiven`, so that many at once do not slip through."""

    account: str
    ids: tuple[int, ...]


async def begin(session: AsyncSession, email: str, address: str, limits: Limits) -> Attempt:
    """Count an attempt; commit before the password is looked at. Raises TooMany when there were too many before."""
    counted = ((f"account {_digest(email)}", limits.account), (f"address {_network(address)}", limits.address))
    rows: list[LoginFailure] = []
    for key, most in sorted(counted):  # always in one order, or two at once wait for each other
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
        await _refuse_above(session, key, most)
        rows.append(LoginFailure(key=key))
    session.add_all(rows)
    await session.flush()
    if any(row.id % _CLEAN_EVERY == 0 for row in rows):
        await clean(session)
    return Attempt(counted[0][0], tuple(row.id for row in rows))


async def withdraw(session: AsyncSession, attempt: Attempt) -> None:
    """It came to nothing before the password was looked at."""
    await session.execute(delete(LoginFailure).where(LoginFailure.id.in_(attempt.ids)))


async def forgive(session: AsyncSession, attempt: Attempt) -> None:
    """It was the right password: the account's failures are forgotten, the address keeps those of others."""
    await withdraw(session, attempt)
    await session.execute(delete(LoginFailure).where(LoginFailure.key == attempt.account))


async def clean(session: AsyncSession) -> None:
    """Remove what does not count any more."""
    await session.execute(delete(LoginFailure).where(LoginFailure.at < datetime.now(UTC) - WINDOW))


async def _refuse_above(session: AsyncSession, key: str, most: int) -> None:
    now = datetime.now(UTC)
    recent = select(LoginFailure.at).where(LoginFailure.key == key, LoginFailure.at > now - WINDOW)
    oldest = await session.scalar(recent.order_by(LoginFailure.at.desc()).offset(most - 1).limit(1))
    if oldest is not None:
        wait = max(1, round((oldest + WINDOW - now).total_seconds()))
        raise TooMany(f"Too many log-ins failed. Try again in {-(-wait // 60)} min.", retry_after=wait)


def _digest(email: str) -> str:
    """People type passwords into the wrong field, so what was typed is not kept."""
    return hashlib.sha256(email.strip().casefold().encode(errors="replace")).hexdigest()


def _network(address: str) -> str:
    """The address; of IPv6 the network of 64 bits, all of whose addresses one line has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else str(parsed)
