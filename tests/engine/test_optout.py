"""Opt-outs in headers and in tdmrep.json."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gleanset.errors import ImageRefused
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.optout import robots_tag, tdm_file, tdm_header, tdm_reserved, usage
from gleanset.types import Pace, Reason
from tests.engine.hostile import Asked, Hostile, redirect, reply, status

QUICK = FetchOptions(allow_private=True, pace=Pace(4), back_off=0.001)
TDM = "/.well-known/tdmrep.json"


@pytest.mark.parametrize(
    ("values", "directive"),
    [
        ([], None),
        ([""], None),
        (["noai"], "noai"),
        (["NoImageAI"], "noimageai"),
        (["noindex"], "noindex"),
        (["noimageindex"], "noimageindex"),
        (["none"], "none"),
        (["nofollow, noarchive"], None),
        (["nofollow,noindex"], "noindex"),
        (["all", "noai"], "noai"),
        (["otherbot: noindex"], None),
        (["otherbot: noindex, noai"], None),  # a prefix binds all that follows
        (["otherbot: noindex, gleanset: noai"], "noai"),
        (["noai, otherbot: noindex"], "noai"),  # and nothing before it
        (["nofollow, otherbot: noindex"], None),
        (["otherbot: noindex", "noai"], "noai"),  # nor another header
        (["Gleanset: noindex"], "noindex"),
        (["*: noindex"], "noindex"),
        (["googlebot-news : noindex"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 PST, noindex"], "noindex"),
        (["otherbot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noindex"], None),
        (["unavailable_after: 2010-06-25T15:00:00Z, noai"], "noai"),
        (["max-snippet: 20, noai"], "noai"),
        (["max-image-preview: none"], None),
        (["noaid", "noindexes"], None),
    ],
)
def test_x_robots_tag(values: list[str], directive: str | None) -> None:
    assert robots_tag(values) == directive


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], None),
        (["1"], True),
        (["0"], False),
        ([" 1 "], True),
        (["0", "1"], True),
        (["true"], None),
        (["2"], None),
        (["1, 0"], None),
    ],
)
def test_tdm_header(values: list[str], said: bool | None) -> None:
    assert tdm_header(values) is said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], None),
        (["train-ai=n"], False),
        (["train-ai=y"], True),
        (["search=y, train-ai=n"], False),
        (["search=n"], None),
        (["train-ai=y", "train-ai=n"], False),
        (["train-ai=n, train-ai=y"], False),
        (["train-ai = n;exp=2"], False),
        (["Train-AI=N"], False),
        (["train-ai"], None),
        (["train-ai=?0"], None),
        (["train-aix=n"], None),
        (['note="a, train-ai=n", train-ai=y'], True),
        (['note="unclosed, train-ai=n'], None),
    ],
)
def test_content_usage(values: list[str], said: bool | None) -> None:
    assert usage(values) is said


@pytest.mark.parametrize(
    ("entries", "reserved"),
    [
        ([{"location": "/", "tdm-reservation": 1}], True),
        ([{"location": "/", "tdm-reservation": "1", "tdm-policy": "https://a"}], True),
        ([{"location": "/", "tdm-reservation": 0}], False),
        ([{"location": "/b", "tdm-reservation": 1}], None),
        ([{"location": "/a/*.jpg$", "tdm-reservation": 1}], True),
        ([{"location": "/a/*.jpeg", "tdm-reservation": 1}], None),
        ([{"location": "/a/", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}], False),  # first match
        ([{"location": "/", "tdm-reservation": 1}, {"location": "/a/", "tdm-reservation": 0}], True),
        ([{"location": "/", "tdm-reservation": 2}, {"location": "/", "tdm-reservation": 1}], None),
        ([{"location": ["/"], "tdm-reservation": 1}, 7, None, {"location": "*", "tdm-reservation": 1}], True),
        ([{"location": "/", "tdm-reservation": True}], None),
        ({"location": "/", "tdm-reservation": 1}, None),
    ],
)
def test_tdm_file(entries: object, reserved: bool | None) -> None:
    assert tdm_reserved(tdm_file(json.dumps(entries)), "/a/b.jpg") is reserved


@pytest.mark.parametrize("text", ["", "<html>", "[", "[" * 100_000, "null", "1", '"a"'])
def test_a_tdm_file_that_is_none(text: str) -> None:
    assert tdm_file(text) == ()


@given(st.lists(st.text(st.sampled_from('noai:, *-_=;"\\n1unavailable_after'), max_size=40), max_size=3))
def test_no_header_is_fatal(values: list[str]) -> None:
    assert robots_tag(values) in {None, "noai", "none"}
    assert tdm_header(values) in {None, True, False}
    assert usage(values) in {None, True, False}


OPTED_OUT = [
    (("X-Robots-Tag: otherbot: nofollow", "X-Robots-Tag: NOAI"), Reason.OPT_OUT_HEADER, "X-Robots-Tag: noai"),
    (
        ("tdm-reservation: 1", "tdm-policy: https://a.test/"),
        Reason.OPT_OUT_TDM,
        "tdm-reservation: 1, tdm-policy: https://a.test/",
    ),
    (("Content-Usage: train-ai=n",), Reason.OPT_OUT_AIPREF, "Content-Usage: train-ai=n"),
]


@pytest.mark.parametrize(("headers", "reason", "detail"), OPTED_OUT)
async def test_an_opt_out_is_kept_before_the_body_is_read(
    headers: tuple[str, ...], reason: Reason, detail: str
) -> None:
    async def headers_only(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"a" * 1000, *headers)[:-1000])
        await asyncio.sleep(30)

    async with Hostile({"/": headers_only}) as server, Fetcher(QUICK) as fetcher:
        async with asyncio.timeout(5):
            for ask in (fetcher.get, fetcher.visit):
                with pytest.raises(ImageRefused) as caught:
                    await ask(server.url())
                assert (caught.value.reason, caught.value.detail) == (reason, detail)


async def test_headers_of_a_service_or_an_error_are_no_opt_out() -> None:
    noai = "X-Robots-Tag: noai"
    answers = {"/": reply(b"{}", noai), "/gone": status(404, noai), "/moved": redirect("/fine"), "/fine": reply()}
    async with Hostile(dict(answers)) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.request(server.url())).body == b"{}"
        assert (await fetcher.visit(server.url("/gone"))).status == 404
        assert (await fetcher.visit(server.url("/moved"))).status == 200


async def test_the_header_overrides_the_file() -> None:
    file = json.dumps([{"location": "/mine/*", "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 0}])
    answers = {
        TDM: reply(file.encode()),
        "/mine/a": reply(),
        "/mine/free": reply(b"free", "tdm-reservation: 0"),
        "/mine/odd": reply(b"odd", "tdm-reservation: maybe"),
        "/other": reply(b"other"),
        "/kept": reply(b"kept", "tdm-reservation: 1"),
    }
    async with Hostile(dict(answers)) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.get(server.url("/mine/free"))).body == b"free"
        assert (await fetcher.get(server.url("/other"))).body == b"other"
        for path, detail in {
            "/mine/a": TDM, "/mine/odd": TDM, "/kept": "tdm-reservation: 1, tdm-policy: none", "/m%69ne/a": TDM,
        }.items():  # fmt: skip
            server.answers["/m%69ne/a"] = reply()
            with pytest.raises(ImageRefused) as caught:
                await fetcher.get(server.url(path))
            assert (caught.value.reason, caught.value.detail) == (Reason.OPT_OUT_TDM, detail)
        assert server.paths().count(TDM) == 1


@pytest.mark.parametrize("answer", [status(404), status(500), reply(b"<html>"), reply(b"[" * 600_000), redirect("/a")])
async def test_a_file_that_cannot_be_had_reserves_nothing(answer: bytes) -> None:
    async with Hostile({TDM: answer, "/": reply()}) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.get(server.url())).body == b"picture"
