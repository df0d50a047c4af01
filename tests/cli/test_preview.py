"""A first look at a crawl from the command line: nothing is started, made or kept."""

from __future__ import annotations

import asyncio
import gzip
import json

from tests.cli.conftest import Cli, Inside
from tests.cli.test_bad_input import complaint
from tests.cli.test_refresh import rows
from tests.cli.test_runs import write_list
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.web import PictureWeb


async def test_what_sources_offer_is_shown_with_their_problems(cli: Cli) -> None:
    """In a process of its own, since the source is served by this one's loop."""
    async with FakeOpenverse([picture(n) for n in range(30)]) as fake:
        urls = {"openverse": fake.url, "wikimedia": "http://127.0.0.1:1/w/api.php"}
        cli.environment.update({"GLEANSET_SOURCE_URLS": json.dumps(urls), "GLEANSET_TIMEOUT": "2"})
        words = ("crawl", "tern", "--allow-private", "--source", "openverse", "--preview")
        seen = (await asyncio.to_thread(cli.ok, *words, "--source", "wikimedia", "-n", "3", "--json")).json
        shown = await asyncio.to_thread(cli.ok, *words)
    assert [each["url"] for each in seen["items"]] == [f"https://media.example/{n}.jpg" for n in range(3)]
    assert seen["problems"].keys() == {"wikimedia"}
    lines = shown.out.splitlines()
    assert lines[0].split() == ["title", "label", "source", "licence", "url"]
    assert len(lines) == 13
    assert lines[1].split() == ["Picture", "0", "tern", "openverse", "by-sa", "4.0", "https://media.example/0.jpg"]
    assert "without --preview starts the crawl" in shown.err
    assert rows(cli, "SELECT count(*) FROM crawl_jobs") == [(0,)]
    assert rows(cli, "SELECT count(*) FROM projects") == [(0,)]


def test_lists_and_websites_are_looked_at_and_folders_are_not(cli: Cli, inside: Inside) -> None:
    web = PictureWeb(pages={"/birds.html": '<html><img src="/1.jpg" width=400 height=300></html>'})
    with web.served() as url:
        plain = write_list(cli.folder, url, 50)
        packed = cli.folder / "packed.csv.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        look = ("crawl", "--allow-private", "--preview", "--json")
        for given in (plain, packed):
            seen = inside(*look, "--urls", str(given), "-n", "2").json
            assert [each["url"] for each in seen["items"]] == [f"{url}/0.jpg", f"{url}/1.jpg"]
            assert [each["label"] for each in seen["items"]] == ["even", "odd"]
        [item] = inside(*look, "--website", f"{url}/birds.html", "--folder", ".").json["items"]
        assert item["url"] == f"{url}/1.jpg"
        assert not [path for path in web.asked if path.endswith(".jpg")]
    (cli.folder / "pets").mkdir()
    nothing = inside("crawl", "--folder", "pets", "--preview")
    assert (nothing.code, "A folder is read when the crawl is started" in nothing.out) == (1, True)
    assert rows(cli, "SELECT count(*) FROM crawl_jobs") == [(0,)]


def test_what_cannot_be_looked_at_is_told(inside: Inside) -> None:
    for arguments, says in (
        ((), "There is nothing to look at"),
        (("--refresh", "1"), "A refresh takes its plan from the job"),
        (("cat", "--source", "openvers"), "Did you mean openverse?"),
        (("cat", "--source", "flickr"), "GLEANSET_SOURCE_KEYS"),
    ):
        assert says in complaint(inside("crawl", *arguments, "--preview"), 2)
