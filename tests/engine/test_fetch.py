"""The HTTP client against servers that err, stall, lie and flood."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gleanset.errors import FetchFailed, ImageRefused, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions, Response, user_agent
from gleanset.types import Reason
from tests.engine.hostile import (
    Asked,
    Handler,
    Hostile,
    certificate,
    cut_off,
    dripping,
    in_turn,
    redirect,
    reply,
    status,
)

QUICK = FetchOptions(
    allow_private=True,
    own_hosts=frozenset({"127.0.0.1"}),  # what follows is about the wire alone
    back_off=0.005,
    read_timeout=0.2,
    total_timeout=0.6,
    max_bytes=100_000,
)


async def outcome(answer: bytes | Handler, options: FetchOptions = QUICK) -> Response | OutcomeError:
    """What comes of a GET that is answered so."""
    async with Hostile({"/": answer}) as server, Fetcher(options) as fetcher:
        try:
            return await fetcher.get(server.url())
        except OutcomeError as error:
            return error


async def reason(answer: bytes | Handler, options: FetchOptions = QUICK) -> tuple[type[OutcomeError], Reason]:
    result = await outcome(answer, options)
    assert isinstance(result, OutcomeError), result
    return type(result), result.reason


async def body(answer: bytes | Handler, options: FetchOptions = QUICK) -> bytes:
    result = await outcome(answer, options)
    assert isinstance(result, Response), result
    return result.body


async def test_the_whole_answer() -> None:
    async with Hostile({"/a?b=%20c": reply(b"bytes", "X-Robots-Tag: noai", "X-Robots-Tag: noindex")}) as server:
        async with Fetcher(QUICK) as fetcher:
            response = await fetcher.get(server.url("/a?b=%20c#part"))
        assert response.status == 200
        assert response.body == b"bytes"
        assert response.headers["x-robots-tag"] == "noai"
        assert response.url.startswith(server.url("/a?b="))


async def test_the_user_agent_is_honest() -> None:
    options = replace(QUICK, user_agent=user_agent("https://example.org/bot"))
    async with Hostile({"/": reply()}) as server:
        for chosen in (QUICK, options):
            async with Fetcher(chosen) as fetcher:
                await fetcher.get(server.url())
        unset, named = (asked.headers["user-agent"] for asked in server.asked)
    assert unset == f"gleanset/0.1.0 (no contact set) aiohttp/{aiohttp.__version__}"
    assert named == f"gleanset/0.1.0 (https://example.org/bot) aiohttp/{aiohttp.__version__}"


async def test_no_cookie_is_kept() -> None:
    async with Hostile({"/": reply(b"x", "Set-Cookie: id=1")}) as server, Fetcher(QUICK) as fetcher:
        await fetcher.get(server.url())
        await fetcher.get(server.url())
        assert not any("cookie" in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    ("code", "expected", "requests"),
    [
        (401, Reason.FORBIDDEN, 1),
        (403, Reason.FORBIDDEN, 1),
        (451, Reason.FORBIDDEN, 1),
        (404, Reason.NOT_FOUND, 1),
        (410, Reason.NOT_FOUND, 1),
        (418, Reason.HTTP_STATUS, 1),
        (206, Reason.HTTP_STATUS, 1),
        (301, Reason.HTTP_STATUS, 1),  # without a Location
        (429, Reason.RATE_LIMITED, 3),
        (500, Reason.SERVER_ERROR, 3),
        (502, Reason.SERVER_ERROR, 3),
        (503, Reason.SERVER_ERROR, 3),
        (504, Reason.SERVER_ERROR, 3),
        (501, Reason.SERVER_ERROR, 1),
        (599, Reason.SERVER_ERROR, 1),
    ],
)
async def test_statuses(code: int, expected: Reason, requests: int) -> None:
    async with Hostile({"/": status(code)}) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is expected
        assert caught.value.detail == f"HTTP {code}"
        assert len(server.asked) == requests
        assert (await fetcher.request(server.url())).status == code


async def test_passing_faults_pass() -> None:
    assert await body(in_turn(status(500), b"", reply(b"at last"))) == b"at last"


@pytest.mark.parametrize("answer", [reply(b""), status(200).partition(b"an error")[0].replace(b"13", b"0")])
async def test_an_empty_body(answer: bytes) -> None:
    assert await reason(answer) == (ImageRefused, Reason.EMPTY)


async def test_nothing_was_modified_since_nothing() -> None:
    assert await reason(b"HTTP/1.1 304 Not Modified\r\n\r\n") == (FetchFailed, Reason.HTTP_STATUS)


async def silent(_: Asked, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


STALLS: dict[str, Handler] = {
    "no answer": silent,
    "headers byte by byte": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 0.05),
    "body byte by byte": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a", 0.05),
    "interim answers for ever": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
}


@pytest.mark.parametrize("kind", STALLS)
async def test_stalls_end_at_the_time_limit(kind: str) -> None:
    started = asyncio.get_running_loop().time()
    assert await reason(STALLS[kind]) == (FetchFailed, Reason.TIMEOUT)
    assert asyncio.get_running_loop().time() - started < 2


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        dripping(HEAD + b"\r\n", b"a" * 10_000),
        dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nabcde\r\n"),
        dripping(HEAD + b"Content-Length: 9\r\nContent-Length: 9\r\n\r\n", b"a" * 10_000),
    ],
)
async def test_an_endless_body_is_cut(answer: Handler) -> None:
    kind, why = await reason(answer, replace(QUICK, total_timeout=20))
    assert why in {Reason.TOO_LARGE, Reason.BAD_RESPONSE}
    assert (kind is ImageRefused) == (why is Reason.TOO_LARGE)


async def test_an_announced_size_is_believed_before_a_byte_is_read() -> None:
    sent = HEAD + b"Content-Length: 99999999999\r\n\r\n"

    async def announce(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.sleep(30)

    assert await reason(announce) == (ImageRefused, Reason.TOO_LARGE)


async def test_the_limit_itself_is_allowed() -> None:
    assert len(await body(reply(b"a" * 100_000))) == 100_000
    assert await reason(reply(b"a" * 100_001)) == (ImageRefused, Reason.TOO_LARGE)
    unsized = HEAD + b"\r\n"
    assert len(await body(unsized + b"a" * 100_000)) == 100_000
    assert await reason(unsized + b"a" * 100_001) == (ImageRefused, Reason.TOO_LARGE)


async def test_less_than_announced_is_not_an_image() -> None:
    assert await reason(HEAD + b"Content-Length: 10\r\n\r\nabc") == (FetchFailed, Reason.CONNECTION)


async def test_more_than_announced_is_not_read() -> None:
    """aiohttp calls it bad HTTP when the surplus comes in the same packet, and else does not see it."""
    result = await outcome(HEAD + b"Content-Length: 3\r\n\r\nabcdef")
    assert result.body == b"abc" if isinstance(result, Response) else result.reason is Reason.BAD_RESPONSE


@pytest.mark.parametrize("size", [b"-1", b"ten", b"1e3", b"0x10", b"3, 4", b"", b"9" * 5000])
async def test_a_senseless_content_length(size: bytes) -> None:
    result = await outcome(HEAD + b"Content-Length: " + size + b"\r\n\r\nabc")
    assert isinstance(result, OutcomeError)


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"5\r\nab", b"3\r\nabc\r\n"],
)
async def test_broken_chunking(chunks: bytes) -> None:
    kind, why = await reason(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert kind is FetchFailed
    assert why in {Reason.CONNECTION, Reason.BAD_RESPONSE}


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-L", HEAD + b"Content-Length: 10\r\n\r\nabc"])
async def test_a_reset_is_tried_again_and_then_told(sent: bytes) -> None:
    async with Hostile({"/": cut_off(sent)}) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is Reason.CONNECTION
        # aiohttp asks once more by itself when a connection ends before its answer.
        assert QUICK.attempts <= len(server.asked) <= 2 * QUICK.attempts


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x00\x01\x02\x03" * 64,
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\x00B: c\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
    ],
)
async def test_what_is_not_http(answer: bytes) -> None:
    kind, why = await reason(answer)
    assert kind is FetchFailed
    assert why in {Reason.BAD_RESPONSE, Reason.CONNECTION}


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        (b"X: " + b"a" * 8_000 + b"\r\n", b"X: " + b"a" * 9_000 + b"\r\n"),
        *[(b"".join(b"X-%d: a\r\n" % n for n in range(120)), b"".join(b"X-%d: a\r\n" % n for n in range(150)))],
    ],
    ids=["long", "many"],
)
async def test_headers_have_limits(fits: bytes, too_much: bytes) -> None:
    assert await body(b"HTTP/1.1 200 OK\r\n" + fits + b"\r\nabc") == b"abc"
    answer = b"HTTP/1.1 200 OK\r\n" + too_much + b"\r\nabc"
    assert await reason(answer) == (FetchFailed, Reason.HEADERS_TOO_LARGE)


async def test_endless_headers_use_no_memory() -> None:
    tracemalloc.start()
    try:
        flood = dripping(b"HTTP/1.1 200 OK\r\n", b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100)
        kind, why = await reason(flood, replace(QUICK, total_timeout=20))
        assert (kind, why) == (FetchFailed, Reason.HEADERS_TOO_LARGE)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def compressed(data: bytes, encoding: str) -> bytes:
    packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    return reply(packed, f"Content-Encoding: {encoding}")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_the_limit_counts_decoded_bytes(encoding: str) -> None:
    assert await body(compressed(b"a" * 100_000, encoding)) == b"a" * 100_000
    assert await reason(compressed(b"a" * 100_001, encoding)) == (ImageRefused, Reason.TOO_LARGE)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_does_not_unfold(encoding: str) -> None:
    bomb = compressed(b"\0" * 200_000_000, encoding)
    assert len(bomb) < 250_000
    tracemalloc.start()
    try:
        result = await outcome(bomb, replace(QUICK, max_bytes=1_000_000, total_timeout=20))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(result, ImageRefused)
    assert result.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/b/c", "c", "./c", "../b/c", "?to=c", "//127.0.0.1:{port}/b/c", "{origin}/b/c"])
async def test_redirects_are_relative_to_where_they_come_from(code: int, location: str) -> None:
    async with Hostile({"/b/c": reply(b"found"), "/b/?to=c": reply(b"found")}) as server, Fetcher(QUICK) as fetcher:
        server.answers["/b/"] = redirect(location.format(port=server.port, origin=server.url("")), code)
        response = await fetcher.get(server.url("/b/"))
        assert response.body == b"found"
        assert response.url == server.url(server.paths()[-1])


async def test_a_location_in_another_encoding_is_kept_as_it_is() -> None:
    latin = redirect("/caf@.jpg").replace(b"@", "é".encode("latin-1"))
    utf8 = redirect("/caf@.jpg").replace(b"@", "é".encode())
    async with Hostile({"/latin": latin, "/utf8": utf8}) as server, Fetcher(QUICK) as fetcher:
        await fetcher.request(server.url("/latin"))
        await fetcher.request(server.url("/utf8"))
        assert server.paths()[1::2] == ["/caf%E9.jpg", "/caf%C3%A9.jpg"]


@pytest.mark.parametrize("location", ["/", "", "http://", "#again", "/?n=1"])
async def test_redirect_loops_end(location: str) -> None:
    async with Hostile({"/": redirect(location), "/?n=1": redirect("/")}) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(ImageRefused) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is Reason.TOO_MANY_REDIRECTS
        assert len(server.asked) == QUICK.max_redirects + 1


async def test_as_many_redirects_as_allowed() -> None:
    answers = {f"/{n}": redirect(f"/{n - 1}") for n in range(1, 7)} | {"/0": reply()}
    async with Hostile(dict(answers)) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.get(server.url("/5"))).url == server.url("/0")
        with pytest.raises(ImageRefused):
            await fetcher.get(server.url("/6"))


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://user:password@127.0.0.1/",
        "http://[::1",
        "http://a:99999/",
        "http://xn--/",
    ],
)
async def test_redirects_to_elsewhere_are_not_followed(location: str) -> None:
    assert await reason(redirect(location)) == (ImageRefused, Reason.BAD_URL)


async def test_a_key_stays_with_its_own_host() -> None:
    """Headers of the caller go along on the same origin, and are gone for good once another was asked."""
    key = {"Authorization": "Bearer secret", "X-Api-Key": "secret"}
    async with Hostile() as ours, Hostile() as theirs, Fetcher(QUICK) as fetcher:
        ours.answers |= {"/": redirect("/own"), "/own": redirect(theirs.url()), "/back": reply()}
        theirs.answers["/"] = redirect(ours.url("/back"))
        assert (await fetcher.request(ours.url(), headers=key)).body == b"picture"
        sent = {asked.path: asked.headers.get("authorization") for asked in ours.asked}
        assert sent == {"/": "Bearer secret", "/own": "Bearer secret", "/back": None}
        assert "authorization" not in theirs.asked[0].headers
        assert "x-api-key" not in theirs.asked[0].headers


async def test_parameters_are_added_to_the_query() -> None:
    async with Hostile({"/?a=1&q=x+y%26z": reply()}) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.request(server.url("/?a=1"), params={"q": "x y&z"})).status == 200


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    options = replace(QUICK, hosts={"pictures.test": "127.0.0.1"})
    async with Hostile({"/": reply()}, tls=certificate(tmp_path, "other.test")) as server, Fetcher(options) as fetcher:
        for host in ("127.0.0.1", "pictures.test"):
            with pytest.raises(FetchFailed) as caught:
                await fetcher.get(server.url(host=host))
            assert caught.value.reason is Reason.TLS
        assert server.asked == []


async def test_plain_http_where_tls_is_expected() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(status(400))
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert caught.value.reason is Reason.TLS


async def test_nobody_listens() -> None:
    async with Hostile() as server:
        gone = server.url()
    async with Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(gone)
        assert caught.value.reason is Reason.CONNECTION


async def test_a_name_that_nobody_has() -> None:
    async with Fetcher(FetchOptions(back_off=0.005)) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get("http://no-such-host.invalid/a.jpg")
        assert caught.value.reason is Reason.DNS


@pytest.mark.parametrize(
    "path",
    [
        "/картинка.jpg",
        "/a b.jpg",
        "/%E3%81%82",
        "/emoji/🐈.png?q=ä",
        "/" + "a" * 60_000,
        "/%",
        "/%zz",
        "/a%2Fb",
        "/'\"<>",
    ],
)
async def test_odd_paths_reach_the_server(path: str) -> None:
    async with Hostile() as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.request(server.url(path))).status == 404
        assert server.asked[0].path.isascii()


GARBAGE = [
    "", " ", "a.jpg", "/a.jpg", "//127.0.0.1/a.jpg", "http:", "http:a", "http://", "http://:80/", "http://?a", "http://#",
    "file:///etc/passwd", "ftp://127.0.0.1/", "data:,a", "mailto:a@b.c", "HTTP//a", "http://user@127.0.0.1/",
    "http://:secret@127.0.0.1/", "http://a:b@c:d@127.0.0.1/", "http://127.0.0.1:0x50/", "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/", "http://[127.0.0.1]/", "http://[::1/", "http://a b/", "http://\x00/", "http://%00/",
    "http://127.0.0.1\\@example.org/", "http://exa\nmple.org/", "http://" + "a" * 300 + "/", "http://a..b/", "http://-/",
    "http://xn--/", "http://xn--a/", "http://\u2100.com/", "http://\ud800/", "http://*/",
]  # fmt: skip


@pytest.mark.parametrize("url", GARBAGE)
async def test_garbage_is_refused_or_fails_by_name(url: str) -> None:
    async with Fetcher(FetchOptions(attempts=1)) as fetcher:
        with pytest.raises(OutcomeError) as caught:
            await fetcher.get(url)
    assert caught.value.reason in {Reason.BAD_URL, Reason.DNS, Reason.PRIVATE_ADDRESS}


@pytest.mark.parametrize("port", [0, 21, 22, 25, 81, 5432, 6379, 65535])
async def test_odd_ports_are_refused(port: int) -> None:
    async with Fetcher() as fetcher:
        with pytest.raises(ImageRefused) as caught:
            await fetcher.get(f"http://example.org:{port}/")
        assert caught.value.reason is Reason.BAD_URL


# Hosts stay numeric: a test does not send made-up names to a name server.
hosts = st.sampled_from(["127.0.0.1", "[::1]", "2130706433", "0", "10.0.0.1", "[fe80::1%25lo]", "0x7f.1", "127.1", ""])
urls = st.one_of(
    st.text(max_size=80).filter(lambda text: "//" not in text),
    st.builds("{}://{}{}".format, st.sampled_from(["http", "https", "HTTP", "ws"]), hosts, st.text(max_size=60)),
    st.builds("http://{}@{}/".format, st.text(max_size=20), hosts),
    st.builds("http://{}:{}/".format, hosts, st.text(max_size=8)),
    st.builds("http://127.0.0.1/{}".format, st.text(st.characters(), max_size=60)),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(urls)
def test_any_text_gives_an_outcome(url: str) -> None:
    async def run() -> None:
        async with Fetcher(FetchOptions(attempts=1, connect_timeout=0.2)) as fetcher:
            with pytest.raises(OutcomeError):
                await fetcher.get(url)

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", HEAD + b"\r\n"]))
def test_any_answer_gives_an_outcome(data: bytes, head: bytes) -> None:
    options = replace(QUICK, attempts=1, total_timeout=2)
    assert isinstance(asyncio.run(outcome(head + data, options)), Response | OutcomeError)


async def test_a_client_that_was_not_opened_says_so() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        await Fetcher().get("http://127.0.0.1/")
