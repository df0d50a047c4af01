"""The book of hosts in PostgreSQL: one row a host, which belongs to one worker at a time.

Leases and pauses are all compared with the database's clock, so the workers' own need not agree. Nothing waits here
while it holds a row that another wants: hosts whose row is locked at the moment are left for the next exchange.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from gleanset.book import LEASE, Exchanged, HostState, SiteFiles

_FORGET_AFTER = "30 days"

_PUT = text(f"""
    WITH put AS (
        SELECT * FROM unnest(
            CAST(:authority AS text[]), CAST(:kept AS boolean[]), CAST(:ready_in AS float8[]),
            CAST(:quiet_for AS float8[]), CAST(:failures AS integer[]), CAST(:failure AS text[]),
            CAST(:down_for AS float8[]), CAST(:version AS integer[]), CAST(:fresh_for AS float8[]),
            CAST(:robots_status AS smallint[]), CAST(:robots AS text[]), CAST(:tdm AS text[])
        ) AS put (
            authority, kept, ready_in, quiet_for, failures, failure, down_for, version, fresh_for, robots_status,
            robots, tdm
        )
    ), mine AS (
        SELECT authority FROM hosts JOIN put USING (authority) WHERE holder = :holder
        ORDER BY authority FOR UPDATE OF hosts
    )
    UPDATE hosts SET
        holder = CASE WHEN kept THEN holder END,
        lease_until = CASE WHEN kept THEN clock_timestamp() + interval '{LEASE} seconds' END,
        wanted = wanted AND kept,
        ready_at = clock_timestamp() + make_interval(secs => ready_in),
        quiet_until = clock_timestamp() + make_interval(secs => quiet_for),
        failures = put.failures,
        failure = put.failure,
        down_until = clock_timestamp() + make_interval(secs => down_for),
        files_version = coalesce(put.version, files_version),
        files_until = coalesce(clock_timestamp() + make_interval(secs => fresh_for), files_until),
        robots_status = coalesce(put.robots_status, hosts.robots_status),
        robots = CASE WHEN put.version IS NULL THEN hosts.robots ELSE put.robots END,
        tdm = CASE WHEN put.version IS NULL THEN hosts.tdm ELSE put.tdm END,
        updated_at = now()
    FROM put JOIN mine USING (authority) WHERE hosts.authority = put.authority
    RETURNING hosts.authority
""")  # noqa: S608 - a number of ours

_MEET = text("""
    INSERT INTO hosts (authority)
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE NOT EXISTS (SELECT FROM hosts WHERE authority = name) ORDER BY name
    ON CONFLICT DO NOTHING
""")

_TAKE = text(f"""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:names AS text[]), CAST(:versions AS integer[])) AS asked (authority, version)
    ), free AS (
        SELECT authority FROM hosts JOIN asked USING (authority)
        WHERE holder IS NULL OR holder = :holder OR lease_until < clock_timestamp()
        ORDER BY authority FOR UPDATE OF hosts SKIP LOCKED
    )
    UPDATE hosts SET
        holder = :holder, lease_until = clock_timestamp() + interval '{LEASE} seconds', wanted = false,
        updated_at = now()
    FROM asked JOIN free USING (authority) WHERE hosts.authority = asked.authority
    RETURNING hosts.authority,
        coalesce(CAST(extract(epoch FROM ready_at - clock_timestamp()) AS float8), 0) AS ready_in,
        coalesce(CAST(extract(epoch FROM quiet_until - clock_timestamp()) AS float8), 0) AS quiet_for,
        failures,
        failure,
        coalesce(CAST(extract(epoch FROM down_until - clock_timestamp()) AS float8), 0) AS down_for,
        files_version <> asked.version AND robots_status IS NOT NULL AS new_files,
        files_version,
        CAST(extract(epoch FROM files_until - clock_timestamp()) AS float8) AS fresh_for,
        robots_status,
        CASE WHEN files_version <> asked.version THEN robots END AS robots,
        CASE WHEN files_version <> asked.version THEN tdm END AS tdm
""")  # noqa: S608 - a number of ours

_WANT = text("""
    UPDATE hosts SET wanted = true FROM (
        SELECT authority FROM hosts WHERE authority = ANY(CAST(:names AS text[])) AND NOT wanted AND holder IS NOT NULL
        FOR UPDATE SKIP LOCKED
    ) AS held WHERE hosts.authority = held.authority
""")

_WANTED = text("SELECT authority FROM hosts WHERE wanted AND holder = :holder")

_FORGET = text(f"""
    DELETE FROM hosts WHERE authority IN (
        SELECT authority FROM hosts
        WHERE updated_at < now() - interval '{_FORGET_AFTER}' AND coalesce(quiet_until < now(), true)
        AND coalesce(lease_until < now(), true) ORDER BY authority FOR UPDATE SKIP LOCKED
    )
""")  # noqa: S608 - a constant of ours


async def exchange(
    session: AsyncSession,
    holder: str,
    asked: Mapping[str, int],
    put: Sequence[HostState],
    given_back: Collection[str],
) -> Exchanged:
    """What `gleanset.book.HostBook` says, in the session's transaction."""
    # A book that forgets its last moments in a power cut is as good: a lease outlives them.
    await session.execute(text("SET LOCAL synchronous_commit = off"))
    kept = await _names(session, _PUT, _columns(put, given_back) | {"holder": holder}) if put else set[str]()
    got = await _take(session, holder, asked) if asked else []
    left = asked.keys() - {state.authority for state in got}
    if left:
        await session.execute(_WANT, {"names": sorted(left)})
    wanted = await _names(session, _WANTED, {"holder": holder})
    return Exchanged(got=got, kept=kept, wanted=wanted)


async def forget(session: AsyncSession) -> None:
    """Remove the rows of hosts that no crawl has visited for a month."""
    await session.execute(_FORGET)


def _columns(put: Iterable[HostState], given_back: Collection[str]) -> dict[str, Any]:
    states = list(put)
    files = [state.files for state in states]
    return {
        "authority": [state.authority for state in states],
        "kept": [state.authority not in given_back for state in states],
        "ready_in": [state.ready_in for state in states],
        "quiet_for": [state.quiet_for for state in states],
        "failures": [state.failures for state in states],
        "failure": [state.failure for state in states],
        "down_for": [state.down_for for state in states],
        "version": [file and file.version for file in files],
        "fresh_for": [file and file.fresh_for for file in files],
        "robots_status": [file and file.robots_status for file in files],
        "robots": [file and file.robots for file in files],
        "tdm": [file and file.tdm for file in files],
    }


async def _take(session: AsyncSession, holder: str, asked: Mapping[str, int]) -> list[HostState]:
    names = sorted(asked)
    await session.execute(_MEET, {"names": names})
    versions = [asked[name] for name in names]
    found = await session.execute(_TAKE, {"names": names, "versions": versions, "holder": holder})
    return [
        HostState(
            authority=row.authority,
            ready_in=row.ready_in,
            quiet_for=row.quiet_for,
            failures=row.failures,
            failure=row.failure,
            down_for=row.down_for,
            files=SiteFiles(
                robots_status=row.robots_status,
                robots=row.robots or "",
                tdm=row.tdm or "",
                fresh_for=row.fresh_for,
                version=row.files_version,
            )
            if row.new_files
            else None,
        )
        for row in found
    ]


async def _names(session: AsyncSession, statement: Any, values: dict[str, Any]) -> set[str]:
    return set((await session.execute(statement, values)).scalars())
