"""What the settings and the command line make of politeness."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from aiohttp import web

from backend.config import Settings
from backend.db import libpq_url
from backend.demo.web import DemoWeb
from gleanset.sources import SourceOptions, source_info
from gleanset.types import Pace
from tests.cli.conftest import Cli, Inside
from tests.web import PictureWeb


class Closed(PictureWeb):
    """Lets nobody in."""

    async def rules(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        return web.Response(text="User-agent: *\nDisallow: /\n")


def write_list(folder: Path, url: str) -> Path:
    path = folder / "list.txt"
    path.write_text(f"{url}/1.jpg\n{url}/2.jpg\n")
    return path


def test_robots_txt_is_kept_unless_the_host_is_ones_own(cli: Cli, database_url: str) -> None:
    pictures = Closed()
    with pictures.served() as url:
        crawl = ["crawl", "--urls", str(write_list(cli.folder, url)), "--allow-private", "--json"]
        kept = cli.ok(*crawl).json
        assert (kept["downloaded_images"], kept["failures"]) == (0, {"robots": 2})
        assert dict(pictures.asked) == {"/robots.txt": 1, "/.well-known/tdmrep.json": 1}
        own = cli.ok(*crawl, "--own", "127.0.0.1").json
        assert (own["downloaded_images"], own["failures"]) == (2, {})
    with psycopg.connect(libpq_url(database_url)) as connection:
        plans = connection.execute("SELECT options->'own_hosts' FROM crawl_jobs ORDER BY id").fetchall()
        book = connection.execute("SELECT authority, robots, holder FROM hosts").fetchall()
    assert plans == [([],), (["127.0.0.1"],)]
    assert book == [(url.removeprefix("http://"), "User-agent: *\nDisallow: /\n", None)]


@pytest.mark.parametrize("name", ["https://a.example.org", "a.example.org/x", "*", "*.", "a.*.org", "", "a b", "a\n"])
def test_what_is_no_host_is_not_ones_own(inside: Inside, tmp_path: Path, name: str) -> None:
    done = inside("crawl", "--urls", str(write_list(tmp_path, "http://a.test")), "--own", name)
    assert done.code == 2
    assert "A host of yours looks like pictures.example.org or *.example.org" in done.err


@pytest.mark.parametrize("name", ["*.com", "*.org", "*.localhost", "*.COM", "*.127"])
def test_a_whole_domain_of_others_is_not_ones_own(inside: Inside, tmp_path: Path, name: str) -> None:
    done = inside("crawl", "--urls", str(write_list(tmp_path, "http://a.test")), "--own", name)
    assert done.code == 2
    assert f"{name} would be all hosts below {name[2:]}: name one such as *.example.{name[2:]}." in done.err


def test_the_demo_is_as_polite_as_anything(cli: Cli, database_url: str) -> None:
    report = cli.ok("demo", "--json").json
    assert report["downloaded_images"] == DemoWeb().expected()["downloaded"]
    with psycopg.connect(libpq_url(database_url)) as connection:
        asked = connection.execute("SELECT robots_status, count(*) FROM hosts GROUP BY 1 ORDER BY 1").fetchall()
    assert asked == [(200, 5), (None, 1)]  # and the search service, which is for programs


def test_paces_are_those_of_the_sources_and_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEANSET_PER_HOST", "3")
    monkeypatch.setenv("GLEANSET_INTERVAL", "0.5")
    options = Settings().fetch_options(allow_private=False, own_hosts=["a.test"])
    assert (options.pace, options.own_hosts, options.allow_private) == (Pace(3, 0.5), {"a.test"}, False)
    assert options.paces["upload.wikimedia.org"] == Pace(2, rate=25e6 / 8)
    assert options.paces["commons.wikimedia.org"] == Pace(3)
    monkeypatch.setenv("GLEANSET_SOURCE_URLS", json.dumps({"wikimedia": "https://Wiki.example.org/w/api.php"}))
    paces = Settings().fetch_options(allow_private=False, own_hosts=[]).paces
    assert paces["wiki.example.org"] == Pace(3)
    assert "commons.wikimedia.org" not in paces


def test_wikimedia_is_not_asked_by_nobody(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    done = inside("crawl", "cats", "--source", "wikimedia", "-n", "1")
    assert done.code == 2
    assert "Set your e-mail address or a URL as GLEANSET_CONTACT" in " ".join(done.err.split())
    info = source_info("wikimedia")
    info.check_contact(SourceOptions(contact="me@example.org"))
    info.check_contact(SourceOptions(urls={"wikimedia": "http://127.0.0.1/w/api.php"}))
