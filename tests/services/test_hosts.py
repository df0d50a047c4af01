"""The book of hosts on a real PostgreSQL: who holds a host, what goes along with it, and ten workers that share it."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import pytest

from backend.db import Database
from backend.services import hosts
from backend.tasks.runtime import SharedBook
from gleanset.book import LEASE, Exchanged, HostState, SiteFiles
from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.sources.openverse import Openverse
from gleanset.types import Pace, Query, Reason
from tests.engine.hostile import Asked, Hostile, reply, status

A, B, C = "a.test:80", "b.test:443", "c.test:8080"
ROBOTS = "/robots.txt"


@pytest.fixture
def book(database: Database) -> SharedBook:
    return SharedBook(database)


async def ask(book: SharedBook, holder: str, *names: str) -> Exchanged:
    return await book.exchange(holder, dict.fromkeys(names, 0), [], [])


def names(exchanged: Exchanged) -> list[str]:
    return sorted(state.authority for state in exchanged.got)


async def run(database: Database, sql: str) -> list[tuple[object, ...]]:
    async with database.engine.begin() as connection:
        result = await connection.exec_driver_sql(sql)
        return [tuple(row) for row in result] if result.returns_rows else []


async def test_a_host_belongs_to_one_until_it_is_given_back(book: SharedBook) -> None:
    assert names(await ask(book, "one", A, B)) == [A, B]
    assert names(await ask(book, "two", B, C)) == [C]
    assert names(await ask(book, "one", A)) == [A]  # one's own, again
    seen = await book.exchange("one", {}, [HostState(authority=A)], [])
    assert (seen.kept, seen.wanted) == ({A}, {B})
    seen = await book.exchange("one", {}, [HostState(authority=B)], [B])
    assert (seen.kept, seen.wanted) == ({B}, set())
    assert names(await ask(book, "two", A, B)) == [B]


async def test_what_is_known_goes_along(book: SharedBook) -> None:
    [new] = (await ask(book, "one", A)).got
    assert (new.failures, new.files) == (0, None)
    files = SiteFiles(robots_status=200, robots="User-agent: *\n", tdm="[]", fresh_for=5000.0, version=1)
    times = {"ready_in": 7.0, "quiet_for": 3600.0, "down_for": -5.0}
    told = HostState(authority=A, failures=4, failure="dns", files=files, **times)
    await book.exchange("one", {}, [told], [A])
    [found] = (await ask(book, "two", A)).got
    assert found.ready_in == pytest.approx(7.0, abs=1.0)
    assert found.quiet_for == pytest.approx(3600.0, abs=1.0)
    assert found.down_for == pytest.approx(-5.0, abs=1.0)
    assert (found.failures, found.failure) == (4, "dns")
    assert found.files is not None
    assert found.files.fresh_for == pytest.approx(5000.0, abs=1.0)
    assert replace(found.files, fresh_for=5000.0) == files


async def test_files_that_are_known_are_not_sent_again(book: SharedBook) -> None:
    await ask(book, "one", A)
    files = SiteFiles(robots_status=404, version=3)
    await book.exchange("one", {}, [HostState(authority=A, files=files)], [A])
    for known, sent in ((3, False), (2, True), (0, True)):
        [found] = (await book.exchange("two", {A: known}, [], [])).got
        assert (found.files is not None) is sent
        await book.exchange("two", {}, [HostState(authority=A)], [A])
    [found] = (await ask(book, "three", A)).got
    assert found.files is not None
    assert (found.files.robots_status, found.files.version) == (404, 3)


async def test_a_lease_that_ran_out_is_taken_over(book: SharedBook, database: Database) -> None:
    await ask(book, "dead", A, B)
    await book.exchange("dead", {}, [HostState(authority=A, ready_in=9.0)], [])
    await run(database, f"UPDATE hosts SET lease_until = lease_until - interval '{LEASE - 1} seconds'")
    assert names(await ask(book, "two", A, B)) == []
    await run(database, "UPDATE hosts SET lease_until = lease_until - interval '2 seconds'")
    got = (await ask(book, "two", A, B)).got
    assert {state.authority: state.ready_in > 5 for state in got} == {A: True, B: False}
    late = await book.exchange("dead", {}, [HostState(authority=A, failures=9), HostState(authority=B)], [B])
    assert late.kept == set()
    assert await run(database, "SELECT DISTINCT holder, failures FROM hosts") == [("two", 0)]


async def test_thousands_of_hosts_cost_little(book: SharedBook, database: Database) -> None:
    many = [f"host-{n}.test:443" for n in range(2000)]
    began = time.monotonic()
    assert len((await book.exchange("one", dict.fromkeys(many, 0), [], [])).got) == 2000
    states = [HostState(authority=name) for name in many]
    assert len((await book.exchange("one", {}, states, [])).kept) == 2000
    assert len((await book.exchange("two", dict.fromkeys(many, 0), [], [])).got) == 0
    assert len((await book.exchange("one", {}, states, many)).kept) == 2000
    assert time.monotonic() - began < 5


async def test_many_at_once_neither_lock_each_other_nor_share_a_host(book: SharedBook) -> None:
    shared = [f"host-{n}.test:443" for n in range(60)]
    owners: dict[str, str] = {}

    async def worker(holder: str) -> int:
        chance, served = random.Random(holder), 0
        for _ in range(25):
            got = names(await ask(book, holder, *chance.sample(shared, 40)))
            for name in got:
                assert owners.setdefault(name, holder) == holder
            served += len(got)
            for name in got:
                del owners[name]
            await book.exchange(holder, {}, [HostState(authority=name) for name in got], got)
        return served

    async with asyncio.timeout(60):
        served = await asyncio.gather(*(worker(f"worker-{n}") for n in range(8)))
    assert min(served) > 0


async def test_old_rows_are_forgotten(book: SharedBook, database: Database) -> None:
    await ask(book, "one", A, B, C)
    await book.exchange("one", {}, [HostState(authority=A), HostState(authority=B, quiet_for=1e7)], [A, B])
    await run(database, "UPDATE hosts SET updated_at = now() - interval '31 days'")
    async with database.transaction() as session:
        await hosts.forget(session)
    assert await run(database, "SELECT authority FROM hosts ORDER BY 1") == [(B,), (C,)]


OPTIONS = FetchOptions(allow_private=True, pace=Pace(2, 0.05), back_off=0.01)


async def brief(_: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(random.uniform(0.0, 0.4))
    writer.write(reply())


def span(server: Hostile, requests: int) -> float:
    """The shortest time in which the server saw so many requests; delays on the way blur it only a little."""
    starts = sorted(asked.at for asked in server.asked)
    return min(last - first for first, last in zip(starts, starts[requests - 1 :], strict=False))


async def test_ten_workers_together_keep_the_pace_of_each_host(database: Database) -> None:
    paths = [f"/{n}" for n in range(60)]
    answers = {ROBOTS: reply(b"User-agent: *\nDisallow: /x\n"), **dict.fromkeys(paths, brief)}
    options = replace(OPTIONS, pace=Pace(2, 0.15))
    async with Hostile(dict(answers)) as one, Hostile(dict(answers)) as two:
        finished: list[int] = []

        async def worker(number: int) -> None:
            async with Fetcher(options, SharedBook(database)) as fetcher:
                mine = [server.url(path) for server in (one, two) for path in paths[number::10]]
                await asyncio.gather(*(fetcher.get(url) for url in mine))
                finished.append(number)

        async with asyncio.timeout(90):
            await asyncio.gather(*(worker(number) for number in range(10)))
        assert len(finished) == 10
        for server in (one, two):
            assert server.busiest == 2
            assert span(server, 11) > 10 * 0.15 * 0.6
            assert span(server, 61) > 60 * 0.15 * 0.9
            assert sorted(server.paths()) == sorted([ROBOTS, *paths])  # robots.txt is shared too


async def test_nobody_starves_while_another_has_work_without_end(database: Database) -> None:
    async with Hostile({"/": brief}) as server:
        first = Fetcher(OPTIONS, SharedBook(database))
        second = Fetcher(OPTIONS, SharedBook(database))
        async with first, second:
            greedy = [asyncio.create_task(first.get(server.url())) for _ in range(400)]
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await second.get(server.url())
            assert time.monotonic() - began < 6
            assert sum(task.done() for task in greedy) < 200
            for task in greedy:
                task.cancel()
            await asyncio.gather(*greedy, return_exceptions=True)
        assert server.busiest <= 2


async def test_a_host_that_is_held_elsewhere_holds_up_no_other(database: Database) -> None:
    async with Hostile({"/": reply()}) as held, Hostile({"/": reply()}) as free:
        await ask(SharedBook(database), "somebody", f"127.0.0.1:{held.port}")
        async with Fetcher(OPTIONS, SharedBook(database)) as fetcher:
            waiting = [asyncio.create_task(fetcher.get(held.url())) for _ in range(20)]
            async with asyncio.timeout(5):
                await asyncio.gather(*(fetcher.get(free.url()) for _ in range(5)))
            assert not any(task.done() for task in waiting)
            assert held.asked == []
            await SharedBook(database).exchange(
                "somebody", {}, [HostState(authority=f"127.0.0.1:{held.port}")], [f"127.0.0.1:{held.port}"]
            )
            async with asyncio.timeout(5):
                await asyncio.gather(*waiting)


async def test_quiet_and_rules_are_the_same_for_all(database: Database) -> None:
    answers = {ROBOTS: reply(b"User-agent: *\nDisallow: /no\n"), "/a": status(429, "Retry-After: 3600"), "/b": reply()}
    async with Hostile(dict(answers)) as server:
        for path, kind, reason in (
            ("/no", ImageRefused, Reason.ROBOTS),
            ("/a", FetchFailed, Reason.RATE_LIMITED),
            ("/b", FetchFailed, Reason.RATE_LIMITED),
            ("/no", ImageRefused, Reason.ROBOTS),
        ):
            async with Fetcher(OPTIONS, SharedBook(database)) as another:
                with pytest.raises(kind) as caught:
                    await another.get(server.url(path))
                assert caught.value.reason is reason
        assert server.paths() == [ROBOTS, "/a"]


async def test_records_of_hosts_do_not_fill_the_memory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known of a host that is met again comes from the book."""
    monkeypatch.setattr("gleanset.fetch.client._MOST_HOSTS", 3)
    names = [f"h{n}.test" for n in range(30)]
    options = replace(OPTIONS, hosts=dict.fromkeys(names, "127.0.0.1"))
    async with Hostile({ROBOTS: reply(b""), "/": reply()}) as server:
        async with Fetcher(options, SharedBook(database)) as fetcher:
            for _ in range(2):
                await asyncio.gather(*(fetcher.get(server.url(host=name)) for name in names[:15]))
                await asyncio.sleep(1.0)
                await asyncio.gather(*(fetcher.get(server.url(host=name)) for name in names[15:]))
                await asyncio.sleep(1.0)
            assert len(fetcher._hosts) <= 18
        assert server.paths().count("/") == 60
        assert server.paths().count(ROBOTS) == 30


async def test_own_hosts_are_not_in_the_book(database: Database) -> None:
    async with Hostile({"/": reply()}) as server:
        options = replace(OPTIONS, own_hosts=frozenset({"127.0.0.1"}))
        async with Fetcher(options, SharedBook(database)) as fetcher:
            await asyncio.gather(*(fetcher.get(server.url()) for _ in range(20)))
    assert await run(database, "SELECT * FROM hosts") == []


async def test_a_client_that_ends_gives_everything_back(database: Database) -> None:
    async with Hostile({"/": reply()}) as server:
        async with Fetcher(OPTIONS, SharedBook(database)) as fetcher:
            await fetcher.get(server.url())
        found = await run(database, "SELECT authority, holder, lease_until, robots_status FROM hosts")
        assert found == [(f"127.0.0.1:{server.port}", None, None, 404)]


async def test_who_waits_is_told_when_the_database_is_gone(database: Database) -> None:
    class Gone(SharedBook):
        async def exchange(self, *_: object) -> Exchanged:
            raise ConnectionError("the database is gone")

    async with Fetcher(OPTIONS, Gone(database)) as fetcher:
        for _ in range(2):
            with pytest.raises(ConnectionError, match="gone"):
                async with asyncio.timeout(5):
                    await fetcher.get("http://127.0.0.1:1/")


async def test_the_limit_of_a_service_is_known_to_all(database: Database) -> None:
    """Of 6 requests in 3 s, as its headers tell, three workers together make no more."""
    times: list[float] = []
    refused = 0

    async def limited(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        now = time.monotonic()
        recent = [at for at in times if now - at < 3.0]
        if len(recent) == 6:
            refused += 1
            writer.write(status(429, "X-RateLimit-Limit-burst: 6/3s", "X-RateLimit-Available-burst: 0"))
            return
        times.append(now)
        left = f"X-RateLimit-Available-burst: {5 - len(recent)}"
        writer.write(reply(b'{"result_count": 0}', "X-RateLimit-Limit-burst: 6/3s", left))

    options = replace(OPTIONS, paces={"127.0.0.1": Pace(1)})
    paths = [f"/v1/images/?q={n}&page_size=20&page=1" for n in range(15)]
    async with Hostile(dict.fromkeys(paths, limited)) as server:

        async def worker(number: int) -> None:
            async with Fetcher(options, SharedBook(database)) as http:
                source = Openverse(http, server.url("/v1/"))
                for n in range(number, 15, 3):
                    query = Query(source="openverse", label="x", keyword=str(n))
                    assert [page.candidates async for page in source.pages(query, None)] == [()]

        async with asyncio.timeout(60):
            await asyncio.gather(*(worker(number) for number in range(3)))
    assert (len(times), refused) == (15, 0)
