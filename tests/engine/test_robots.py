"""robots.txt: the parser held to RFC 9309, and the client to the parser."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from gleanset.errors import FetchFailed, ImageRefused, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.patterns import HostPatterns, covers
from gleanset.fetch.robots import MAX_BYTES, Robots, binding_lines, decoded
from gleanset.types import Pace, Reason
from tests.engine.hostile import Asked, Handler, Hostile, cut_off, in_turn, redirect, reply, status

QUICK = FetchOptions(allow_private=True, pace=Pace(4), back_off=0.001)
ROBOTS, TDM = "/robots.txt", "/.well-known/tdmrep.json"
CLOSED = reply(b"User-agent: *\nDisallow: /\n")


def allowed(text: str, path: str) -> bool:
    return Robots(text).allows(URL(f"https://example.org{path}"))


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("", ["/", "/a"], []),
        ("User-agent: *\nDisallow:", ["/", "/a"], []),
        ("User-agent: *\nDisallow: /", ["/robots.txt"], ["/", "/a"]),
        ("User-agent: *\nDisallow: /private", ["/", "/Private"], ["/private", "/private.html", "/private/a"]),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", ["/a/b", "/a/bc", "/"], ["/a", "/a/c"]),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a", ["/a/b"], ["/a/c"]),
        ("User-agent: *\nDisallow: /page\nAllow: /page", ["/page"], []),  # of two as long, Allow wins
        ("User-agent: *\nDisallow: /*.jpg$", ["/a.jpg?x", "/a.jpge", "/"], ["/a.jpg", "/b/c.jpg"]),
        ("User-agent: *\nDisallow: /a*/c", ["/a/b", "/c"], ["/a/c", "/ab/cd", "/a/b/c"]),
        ("User-agent: *\nDisallow: /a$", ["/ab", "/a/"], ["/a"]),
        ("User-agent: *\nDisallow: /*?size=", ["/a"], ["/a?size=1"]),
        ("User-agent: *\nDisallow: /%7Ejoe/\nDisallow: /ö", ["/joe/"], ["/~joe/", "/%7ejoe/", "/%C3%B6"]),
        ("user-AGENT:*\ndisALLOW:/a # no\n", ["/b"], ["/a"]),
        ("\ufeffUser-agent: *\r\nDisallow: /a\r\n", ["/b"], ["/a"]),
        ("Disallow: /", ["/"], []),  # belongs to nobody
        ("<html>Disallow: /</html>", ["/"], []),
        ("User-agent: *\nDisallow: /a\nDisallow: //x/a", ["//x/b", "/b"], ["/a", "//x/a"]),
    ],
)
def test_rules(text: str, yes: list[str], no: list[str]) -> None:
    text = decoded(text.encode())
    assert [path for path in (*yes, *no) if allowed(text, path)] == yes


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("User-agent: *\nDisallow: /a\nUser-agent: gleanset\nDisallow: /b", ["Disallow: /b"]),
        ("User-agent: GleanSet\nDisallow: /b\nUser-agent: *\nDisallow: /a", ["Disallow: /b"]),
        ("User-agent: gleanset/2.0 (x)\nDisallow: /b\nUser-agent: *\nDisallow: /a", ["Disallow: /b"]),
        ("User-agent: gleansetbot\nUser-agent: glean\nUser-agent: *gleanset\nDisallow: /b", []),
        ("User-agent: a\nUser-agent: gleanset\nDisallow: /b\n\nUser-agent: c\nDisallow: /c", ["Disallow: /b"]),
        (
            "User-agent: gleanset\nDisallow: /b\nUser-agent: c\nDisallow: /c\nUser-agent: gleanset\nAllow: /d",
            ["Disallow: /b", "Allow: /d"],  # groups for one token merge
        ),
        ("User-agent: *\nDisallow: /a\nUser-agent: *\nDisallow: /b", ["Disallow: /a", "Disallow: /b"]),
        ("User-agent: gleanset\nSitemap: https://a/b.xml\nUser-agent: x\nDisallow: /b", ["Disallow: /b"]),
        ("User-agent: gleanset\nUser-agent: *\nCrawl-delay: 1", ["Crawl-delay: 1"]),
        ("User-agent: gleanset\nFoo: bar\nUser-agent: *\nDisallow: /", ["Foo: bar"]),
        ("User-agent: gleanset\n\nUser-agent: *\nDisallow: /", ["Disallow: /"]),
        ("Useragent gleanset\nDisallow: /a", ["Disallow: /a"]),
    ],
)
def test_the_lines_that_bind_us(text: str, lines: list[str]) -> None:
    assert binding_lines(text) == lines


def test_a_group_of_our_own_without_rules_frees_us_from_the_others() -> None:
    assert allowed("User-agent: gleanset\nDisallow:\n\nUser-agent: *\nDisallow: /", "/a")


@pytest.mark.parametrize(
    ("text", "delay"),
    [("Crawl-delay: 2.5", 2.5), ("crawl-delay:10", 10.0), ("Crawl-delay: -1", None), ("Crawl-delay: nan", None)],
)
def test_crawl_delay(text: str, delay: float | None) -> None:
    assert Robots(f"User-agent: *\n{text}").crawl_delay == delay
    assert Robots(f"User-agent: other\n{text}").crawl_delay is None


@pytest.mark.parametrize(
    ("rules", "reserved", "free"),
    [
        ("Content-Usage: train-ai=n", ["/", "/a"], []),
        ("Content-Usage: train-ai=y", [], ["/"]),
        ("Content-Usage: search=n", [], ["/"]),
        ("content-usage: /art/ train-ai=n", ["/art/1", "/art/"], ["/", "/art"]),
        ("Content-Usage: train-ai=n\nContent-Usage: /free/ train-ai=y", ["/a"], ["/free/a"]),
        ("Content-Usage: /a train-ai=y\nContent-Usage: /a train-ai=n", ["/a"], ["/b"]),
        ("Content-Usage: /*.jpg$ train-ai=n", ["/b.jpg"], ["/b.jpg?a"]),
        ("Content-Usage: train-ai", [], ["/"]),
    ],
)
def test_content_usage(rules: str, reserved: list[str], free: list[str]) -> None:
    robots = Robots(f"User-agent: *\n{rules}\nAllow: /")
    paths = [*reserved, *free]
    assert [path for path in paths if robots.reserves(URL(f"https://example.org{path}"))] == reserved


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/a", True), ("/a", "/ab", True), ("/a$", "/ab", False), ("/a$", "/a", True), ("*", "/a", True),
        ("*.jpg", "/a.jpg/b", True), ("*.jpg$", "/a.jpg/b", False), ("/a*b*c$", "/a-b-c", True),
        ("/a*bc*c$", "/abc", False), ("/%2A", "/*", True), ("", "/", True), ("$", "/", False), ("/a%20b", "/a b", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert covers(pattern, path) is expected


@settings(deadline=None)
@given(st.text(st.sampled_from("/ab*$%2A"), max_size=30), st.text(st.sampled_from("/ab"), max_size=30))
def test_no_pattern_is_fatal(pattern: str, path: str) -> None:
    assert covers(pattern, path) in {True, False}


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("example.org", False), ("a.example.org", True), ("b.A.example.ORG", True), ("badexample.org", False),
        ("pictures.test", True), ("PICTURES.test.", True), ("a.pictures.test", False), ("::1", True), ("", False),
    ],
)  # fmt: skip
def test_own_hosts(host: str, own: bool) -> None:
    assert (host in HostPatterns(["*.Example.org", "pictures.test", "::1"])) is own


def test_a_hostile_file_takes_neither_time_nor_memory() -> None:
    """Each of thousands of agents would have each of thousands of rules."""
    agents, rules = "User-agent: a%d\n" * 15_000, "Disallow: /%d*x\n" * 15_000
    files = [
        agents % tuple(range(15_000)) + rules % tuple(range(15_000)),
        "User-agent: *\n" * 20_000 + rules % tuple(range(15_000)),
        "User-agent: *\n" + "Content-Usage: /*a*b*c train-ai=n\n" * 15_000,
        "User-agent: *\nDisallow: /" + "*a" * 250_000,
    ]
    for text in files:
        began = time.process_time()
        robots = Robots(text[:MAX_BYTES])
        for _ in range(5):
            robots.allows(URL("https://example.org/" + "a" * 2000))
            robots.reserves(URL("https://example.org/" + "a" * 2000))
        assert time.process_time() - began < 3.0


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(st.sampled_from("User-agent: *\nDlow/$#%\0\r\u2028"), max_size=300))
def test_no_file_is_fatal(data: bytes | str) -> None:
    text = decoded(data if isinstance(data, bytes) else data.encode())
    assert "\0" not in text
    assert Robots(text).allows(URL("https://example.org/a")) in {True, False}


async def refused(fetcher: Fetcher, url: str) -> tuple[type[OutcomeError], Reason, str]:
    with pytest.raises(OutcomeError) as caught:
        await fetcher.get(url)
    return type(caught.value), caught.value.reason, caught.value.detail


async def test_what_is_disallowed_is_not_asked_for() -> None:
    answers = {ROBOTS: reply(b"User-agent: gleanset\nDisallow: /no\n"), "/yes": reply(), "/no": reply()}
    async with Hostile(dict(answers)) as server, Fetcher(QUICK) as fetcher:
        assert await refused(fetcher, server.url("/no?a=1")) == (ImageRefused, Reason.ROBOTS, "/no?a=1")
        assert (await fetcher.get(server.url("/yes"))).body == b"picture"
        assert server.paths() == [ROBOTS, "/yes"]


async def test_pages_are_held_to_it_and_services_are_not() -> None:
    async with Hostile({ROBOTS: CLOSED, "/a": reply()}) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.request(server.url("/a"))).body == b"picture"
        with pytest.raises(ImageRefused):
            await fetcher.visit(server.url("/a"))
        assert server.paths() == ["/a", ROBOTS]


async def test_one_question_a_host_however_many_ask() -> None:
    async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(reply(b"User-agent: *\nDisallow: /x\n"))

    paths = [f"/{n}" for n in range(64)]
    answers = {ROBOTS: slow, TDM: reply(b"[]"), **dict.fromkeys(paths, reply())}
    async with Hostile(answers) as server, Hostile({ROBOTS: reply(b""), "/": reply()}) as other:
        async with Fetcher(QUICK) as fetcher:
            await asyncio.gather(*(fetcher.get(server.url(path)) for path in paths), fetcher.get(other.url()))
        assert server.paths()[:2] == [ROBOTS, TDM]
        assert sorted(server.paths()[2:]) == sorted(paths)
        assert other.paths() == [ROBOTS, "/"]


async def test_who_leaves_does_not_stop_the_question_for_the_others() -> None:
    async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(reply(b""))

    async with Hostile({ROBOTS: slow, "/": reply()}) as server, Fetcher(QUICK) as fetcher:
        first = asyncio.create_task(fetcher.get(server.url()))
        second = asyncio.create_task(fetcher.get(server.url()))
        await asyncio.sleep(0.03)
        first.cancel()
        assert (await second).body == b"picture"
        assert server.paths() == [ROBOTS, "/"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 418, 451])
async def test_without_the_file_everything_is_allowed(code: int) -> None:
    async with Hostile({ROBOTS: status(code), "/": reply()}) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.get(server.url())).body == b"picture"


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_file_that_cannot_be_had_disallows_everything(code: int) -> None:
    async with Hostile({ROBOTS: status(code), "/": reply()}) as server, Fetcher(QUICK) as fetcher:
        for _ in range(3):
            outcome = await refused(fetcher, server.url())
            assert outcome == (FetchFailed, Reason.ROBOTS_UNREACHABLE, f"HTTP {code}")
        assert server.paths() == [ROBOTS] * QUICK.attempts


async def stalls(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(b"User-agent: *\n" * 9)[:-20])
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("answer", "cause", "asked"),
    [
        (reply(b"User-agent: *\n")[:-5], "connection: the body broke off: ", 3),
        (redirect("ftp://x/y"), "bad_url: not an absolute http or https URL", 1),
        (redirect("http://127.0.0.1:1/"), "connection: ", 1),
        (reply(b"", "X: " + "a" * 9000), "headers_too_large: ", 1),
        (b"SSH-2.0-x\r\n\r\n", "bad_response: ", 1),
        (stalls, "timeout: ", 1),
    ],
    ids=["broken off", "to a refused URL", "to a dead host", "oversized header", "no HTTP", "stalled"],
)
async def test_a_broken_file_is_remembered_and_disallows_everything(
    answer: bytes | Handler, cause: str, asked: int
) -> None:
    options = replace(QUICK, read_timeout=0.3, back_off=0.01)
    async with Hostile({ROBOTS: answer, "/": reply()}) as server, Fetcher(options) as fetcher:
        for _ in range(5):
            kind, reason, detail = await refused(fetcher, server.url())
            assert (kind, reason) == (FetchFailed, Reason.ROBOTS_UNREACHABLE)
            assert detail.startswith(cause)
        assert server.paths() == [ROBOTS] * asked


async def test_a_passing_fault_of_the_file_passes() -> None:
    answers = {ROBOTS: in_turn(status(500), reply(b"")), "/": reply()}
    async with Hostile(answers) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.get(server.url())).body == b"picture"


async def test_a_host_that_is_not_there_is_told_as_such() -> None:
    async with Hostile({ROBOTS: cut_off(b"")}) as server, Fetcher(QUICK) as fetcher:
        kind, reason, _ = await refused(fetcher, server.url())
        assert (kind, reason) == (FetchFailed, Reason.CONNECTION)
        assert set(server.paths()) == {ROBOTS}


@pytest.mark.parametrize(("hops", "closed"), [(0, True), (1, True), (5, True), (6, False)])
async def test_the_file_may_be_elsewhere(hops: int, closed: bool) -> None:
    """Five redirects are followed, across hosts, and the rules are those of the host that redirected."""
    async with Hostile({"/": reply()}) as other, Hostile({"/": reply()}) as server, Fetcher(QUICK) as fetcher:
        chain = [ROBOTS, *(f"/{n}" for n in range(1, hops + 1))]
        for n, (path, following) in enumerate(pairwise(chain)):
            (server if n == 0 else other).answers[path] = redirect(other.url(following))
        (server if hops == 0 else other).answers[chain[-1]] = CLOSED
        if closed:
            assert (await refused(fetcher, server.url()))[1] is Reason.ROBOTS
        else:
            assert (await fetcher.get(server.url())).body == b"picture"
        assert (await fetcher.get(other.url())).body == b"picture"


async def test_the_file_is_read_so_far() -> None:
    rules = b"User-agent: *\nDisallow: /early\n"
    filled = rules + b"#" * (MAX_BYTES - len(rules) - 20) + b"\nDisallow: /late\n"
    endless = filled + b"\nDisallow: /cut\n" + b"#" * 10_000_000
    answers = {ROBOTS: reply(endless), "/cut": reply()}
    async with Hostile(answers) as server, Fetcher(replace(QUICK, max_bytes=1000)) as fetcher:
        assert (await refused(fetcher, server.url("/early")))[1] is Reason.ROBOTS
        assert (await refused(fetcher, server.url("/late")))[1] is Reason.ROBOTS
        assert (await fetcher.get(server.url("/cut"))).body == b"picture"


async def test_every_redirect_is_held_to_the_rules_of_where_it_leads() -> None:
    async with Hostile({ROBOTS: reply(b"User-agent: *\nDisallow: /no\n"), "/no": reply()}) as inner:
        answers = {
            "/out": redirect(inner.url("/no")),
            "/in": redirect("/shut"),
            ROBOTS: reply(b"User-agent: *\nDisallow: /shut"),
        }
        async with Hostile(dict(answers)) as server, Fetcher(QUICK) as fetcher:
            assert await refused(fetcher, server.url("/out")) == (ImageRefused, Reason.ROBOTS, "/no")
            assert await refused(fetcher, server.url("/in")) == (ImageRefused, Reason.ROBOTS, "/shut")
            assert "/no" not in inner.paths()
            assert "/shut" not in server.paths()


async def test_the_file_does_not_lead_inside() -> None:
    """A redirect of robots.txt goes through the address guard as any other."""
    async with Hostile({ROBOTS: redirect("http://169.254.1.1:81/")}) as server:
        options = FetchOptions(hosts={"pictures.test": "127.0.0.1"}, ports=frozenset({server.port}))
        async with Fetcher(options) as fetcher:
            assert (await refused(fetcher, server.url(host="pictures.test")))[1] is Reason.PRIVATE_ADDRESS
            assert server.connections == 0
        async with Fetcher(replace(QUICK, back_off=0.001)) as fetcher:
            server.answers[ROBOTS] = redirect("file:///etc/passwd")
            detail = "bad_url: not an absolute http or https URL"
            assert await refused(fetcher, server.url()) == (FetchFailed, Reason.ROBOTS_UNREACHABLE, detail)


async def test_content_usage_in_the_file() -> None:
    robots = reply(b"User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /free train-ai=y\n")
    async with Hostile({ROBOTS: robots, "/": reply(), "/free": reply()}) as server, Fetcher(QUICK) as fetcher:
        assert (await refused(fetcher, server.url()))[:2] == (ImageRefused, Reason.OPT_OUT_AIPREF)
        assert (await fetcher.get(server.url("/free"))).body == b"picture"
        assert server.paths() == [ROBOTS, "/free"]


async def test_own_hosts_are_not_asked_for_their_rules() -> None:
    async with Hostile({ROBOTS: CLOSED, "/": reply(b"mine", "X-Robots-Tag: noai")}) as server:
        async with Fetcher(replace(QUICK, own_hosts=frozenset({"127.0.0.1"}))) as fetcher:
            assert (await fetcher.get(server.url())).body == b"mine"
        assert server.paths() == ["/"]


async def test_a_redirect_off_ones_own_host_is_held_to_the_rules_there() -> None:
    options = replace(QUICK, own_hosts=frozenset({"127.0.0.1"}), hosts={"other.test": "127.0.0.1"})
    async with Hostile({ROBOTS: CLOSED, "/b": reply()}) as server, Fetcher(options) as fetcher:
        server.answers["/a"] = redirect(server.url("/b", host="other.test"))
        assert (await fetcher.get(server.url("/b"))).body == b"picture"
        assert (await refused(fetcher, server.url("/a")))[1] is Reason.ROBOTS
        assert server.paths() == ["/b", "/a", ROBOTS]


async def test_rules_are_asked_for_again_after_a_day_and_kept_while_they_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = time.monotonic
    answers = {ROBOTS: in_turn(CLOSED, status(404), status(404)), "/": reply()}
    async with Hostile(answers) as server, Fetcher(replace(QUICK, attempts=1)) as fetcher:

        def later(seconds: float) -> None:
            monkeypatch.setattr(time, "monotonic", lambda: clock() + seconds)

        assert (await refused(fetcher, server.url()))[1] is Reason.ROBOTS
        later(86_000)
        assert (await refused(fetcher, server.url()))[1] is Reason.ROBOTS
        assert server.paths() == [ROBOTS]
        later(86_500)
        server.answers[ROBOTS] = status(500)
        assert (await refused(fetcher, server.url()))[1] is Reason.ROBOTS
        assert (await refused(fetcher, server.url()))[1] is Reason.ROBOTS
        assert server.paths() == [ROBOTS] * 2
        server.answers[ROBOTS] = status(404)
        later(86_900)
        assert (await fetcher.get(server.url())).body == b"picture"
