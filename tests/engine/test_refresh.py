"""Images that are known already: asked whether they have changed, and downloaded or decoded again only if so."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gleanset.decoders import Decoders
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.gather import Gatherer, GatherOptions
from gleanset.inspect import InspectLimits
from gleanset.store import Store
from gleanset.types import Candidate, Downloaded, Failed, Known, Outcome, Pace, Reason, Refused
from tests.engine.crawling import candidate, picture
from tests.engine.hostile import Asked, Handler, Hostile, redirect, reply, status

ETAG, DATE = '"v1"', "Sat, 02 May 2026 10:00:00 GMT"
OPTIONS = FetchOptions(allow_private=True, pace=Pace(16), back_off=0.005, attempts=2)


@dataclass
class Place:
    """A server and a gatherer over one store."""

    server: Hostile
    fetcher: Fetcher
    store: Store
    decoders: Decoders
    folder: Path

    async def visit(self, wanted: Candidate | str, options: GatherOptions | None = None) -> Outcome:
        if isinstance(wanted, str):
            wanted = candidate(self.server.url(wanted))
        return await Gatherer(self.fetcher, self.store, self.decoders, InspectLimits(), options).gather(wanted)

    async def had(self, path: str, options: GatherOptions | None = None) -> Downloaded:
        outcome = await self.visit(path, options)
        assert isinstance(outcome, Downloaded), outcome
        return outcome

    def conditions(self) -> list[tuple[str | None, str | None]]:
        """What each request said of what is known."""
        names = ("if-none-match", "if-modified-since")
        first, second = ([asked.headers.get(name) for asked in self.server.asked] for name in names)
        return list(zip(first, second, strict=True))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = Store(str(tmp_path / "blobs"))
    async with Hostile() as server, Fetcher(OPTIONS) as fetcher:
        with closing(Decoders(1)) as decoders:
            yield Place(server, fetcher, store, decoders, tmp_path / "blobs")


def again(had: Downloaded) -> Candidate:
    """The candidate of a refresh."""
    known = Known(
        inspection=had.inspection,
        key=had.key,
        crc32=had.crc32,
        resized=had.resized,
        final_url=had.final_url,
        etag=had.etag,
        last_modified=had.last_modified,
    )
    return replace(had.candidate, known=known)


def unsummed(had: Downloaded) -> Known | None:
    """What is remembered of it by a row without a CRC-32."""
    known = again(had).known
    return known and replace(known, crc32=None)


def guarded(body: bytes, *headers: str, etag: str | None = None, date: str | None = None) -> Handler:
    """Answers 304 to whoever has this body already, by the validators that the server knows."""
    sent = [*headers, *([f"ETag: {etag}"] if etag else []), *([f"Last-Modified: {date}"] if date else [])]

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if etag and "if-none-match" in asked.headers:
            same = asked.headers["if-none-match"] == etag
        else:
            same = date is not None and asked.headers.get("if-modified-since") == date
        writer.write(status_304(*sent) if same else reply(body, *sent))

    return answer


def status_304(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 304 Not Modified", "Connection: close", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("etag", "date", "told"),
    [
        (ETAG, None, (ETAG, None)),
        (None, DATE, (None, DATE)),
        (ETAG, DATE, (ETAG, DATE)),
        ('W/"x"', None, ('W/"x"', None)),
    ],
)
async def test_a_304_is_the_image_that_is_known(
    place: Place, etag: str | None, date: str | None, told: tuple[str | None, str | None]
) -> None:
    place.server.answers["/a"] = guarded(picture(1), etag=etag, date=date)
    first = await place.had("/a")
    assert (first.etag, first.last_modified, first.crc32) == (*told, zlib.crc32(picture(1)))
    second = await place.visit(again(first))
    assert second == replace(first, candidate=again(first), fetched_at=second.fetched_at)
    assert second.fetched_at > first.fetched_at
    assert place.conditions() == [(None, None), told]


async def test_a_304_may_bring_new_validators(place: Place) -> None:
    place.server.answers["/a"] = reply(picture(1), f"ETag: {ETAG}", f"Last-Modified: {DATE}")
    first = await place.had("/a")
    place.server.answers["/a"] = status_304('ETag: "v2"')
    second = await place.visit(again(first))
    assert isinstance(second, Downloaded)
    assert (second.etag, second.last_modified) == ('"v2"', DATE)


@pytest.mark.parametrize("crc32", [7, None])
async def test_a_server_without_conditions_sends_the_same_bytes_which_are_not_decoded_again(
    place: Place, crc32: int | None
) -> None:
    place.server.answers["/a"] = reply(picture(1), f"ETag: {ETAG}")
    first = await place.had("/a")
    # A measure that no decoding would give again, so the one in the outcome can only be the known one.
    marked = replace(first, inspection=replace(first.inspection, sharpness=-1.0), crc32=crc32)
    second = await place.visit(again(marked))
    assert isinstance(second, Downloaded)
    assert (second.inspection, second.key, second.crc32) == (marked.inspection, first.key, crc32)
    assert place.conditions()[1] == (ETAG, None)


async def test_other_bytes_are_a_download_like_any_other(place: Place) -> None:
    place.server.answers["/a"] = guarded(picture(1), etag=ETAG)
    first = await place.had("/a")
    place.server.answers["/a"] = guarded(picture(2), etag='"v2"')
    second = await place.visit(again(first))
    assert isinstance(second, Downloaded)
    assert second.inspection.sha256 != first.inspection.sha256
    assert (await place.store.get(second.key), second.etag) == (picture(2), '"v2"')
    assert second.crc32 == zlib.crc32(picture(2))
    assert await place.store.get(first.key) == picture(1)


@pytest.mark.parametrize("kept", ["original", "copy", "both"])
async def test_what_the_store_has_lost_is_fetched_without_condition(place: Place, kept: str) -> None:
    options = None if kept == "original" else GatherOptions(resize=16, keep_original=kept == "both")
    place.server.answers["/a"] = guarded(picture(1), etag=ETAG)
    first = await place.had("/a", options)
    files = sorted(path for path in place.folder.rglob("*.*") if path.is_file())
    assert len(files) == (2 if kept == "both" else 1)
    await place.visit(again(first), options)
    for file in files:
        content = file.read_bytes()
        file.unlink()
        second = await place.visit(replace(again(first), known=unsummed(first)), options)
        assert isinstance(second, Downloaded)
        assert (second.inspection, second.key, second.resized) == (first.inspection, first.key, first.resized)
        assert second.crc32 == first.crc32 == zlib.crc32(await place.store.get(first.key))
        assert file.read_bytes() == content
        assert place.conditions()[-1] == (None, None)
    assert place.conditions()[1] == (ETAG, None)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (status(404), Failed, Reason.NOT_FOUND),
        (status(410), Failed, Reason.NOT_FOUND),
        (status(403), Failed, Reason.FORBIDDEN),
        (status(500), Failed, Reason.SERVER_ERROR),
        (reply(b"<html>gone</html>"), Refused, Reason.NOT_AN_IMAGE),
        (reply(picture(1), "X-Robots-Tag: noai"), Refused, Reason.OPT_OUT_HEADER),
        (status_304("X-Robots-Tag: noimageai"), Refused, Reason.OPT_OUT_HEADER),
        (status_304("tdm-reservation: 1"), Refused, Reason.OPT_OUT_TDM),
    ],
)
async def test_what_is_gone_or_opted_out_has_its_reason(
    place: Place, answer: bytes, kind: type[Outcome], reason: Reason
) -> None:
    place.server.answers["/a"] = guarded(picture(1), etag=ETAG)
    first = await place.had("/a")
    place.server.answers["/a"] = answer
    second = await place.visit(again(first))
    assert isinstance(second, kind)
    assert not isinstance(second, Downloaded)
    assert second.reason is reason


async def test_robots_txt_that_disallows_it_now_is_kept(place: Place) -> None:
    place.server.answers["/a"] = guarded(picture(1), etag=ETAG)
    first = await place.had("/a")
    place.server.answers["/robots.txt"] = reply(b"User-agent: *\nDisallow: /a")
    async with Fetcher(OPTIONS) as later:
        second = await replace(place, fetcher=later).visit(again(first))
    assert isinstance(second, Refused)
    assert second.reason is Reason.ROBOTS
    assert [path for path in place.server.paths() if path == "/a"] == ["/a"]


async def test_a_304_that_nobody_asked_for_is_no_image(place: Place) -> None:
    place.server.answers["/a"] = status_304(f"ETag: {ETAG}")
    second = await place.visit("/a")
    assert isinstance(second, Failed)
    assert (second.reason, second.detail) == (Reason.HTTP_STATUS, "HTTP 304")
    place.server.answers["/a"] = reply(picture(1))  # without validators there is nothing to ask with
    first = await place.had("/a")
    place.server.answers["/a"] = status_304()
    assert isinstance(await place.visit(again(first)), Failed)


@pytest.mark.parametrize("across", [False, True])
async def test_validators_go_to_the_url_that_they_came_from_and_to_no_other(place: Place, across: bool) -> None:
    async with Hostile({"/b": guarded(picture(1), etag=ETAG), "/c": guarded(picture(1), etag=ETAG)}) as other:
        target = other if across else place.server
        target.answers |= other.answers
        place.server.answers["/a"] = redirect(target.url("/b"))
        first = await place.had("/a")
        assert first.final_url == target.url("/b")
        second = await place.visit(again(first))
        assert isinstance(second, Downloaded)
        place.server.answers["/a"] = redirect(target.url("/c"))
        third = await place.visit(again(first))
        assert isinstance(third, Downloaded)
        assert third.final_url == target.url("/c")
        told = [(a.path, a.headers.get("if-none-match")) for a in (*place.server.asked, *other.asked)]
    assert sorted(told, key=str) == sorted([("/a", None)] * 3 + [("/b", None), ("/b", ETAG), ("/c", None)], key=str)


@pytest.mark.parametrize(
    "headers",
    [
        ["ETag: v1", "Last-Modified: yesterday"],
        ["ETag: *"],
        [f'ETag: "{"x" * 600}"', f"Last-Modified: {DATE} and more"],
        ['ETag: "tab\there"', "Last-Modified: "],
        ['ETag: "sn\u00f6"'],
    ],
)
async def test_malformed_validators_are_not_kept(place: Place, headers: Sequence[str]) -> None:
    place.server.answers["/a"] = reply(picture(1), *headers)
    first = await place.had("/a")
    assert (first.etag, first.last_modified) == (None, None)
