"""A first look at what a crawl would find: sources in turns, bad ones with a sentence, and never for long."""

from __future__ import annotations

import socket
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from backend.config import Settings
from backend.db import Database
from backend.errors import BadInput
from backend.schemas.plans import CrawlPlan, UrlList, Website
from backend.schemas.previews import PreviewResponse
from backend.services.lists import keep_list
from backend.tasks.preview import open_preview
from gleanset.store import Store
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.web import PictureWeb


async def look(
    database: Database, settings: Settings, words: Any, plan: CrawlPlan, limit: int = 12, **options: Any
) -> PreviewResponse:
    async with open_preview(settings, database, **({"allow_private": True} | options)) as preview:
        return await preview(words, plan, limit)


def asking(tmp_path: Path, **urls: str) -> Settings:
    return Settings(home=tmp_path, source_urls=urls, interval=0)


async def test_labels_take_turns_up_to_the_limit(database: Database, tmp_path: Path) -> None:
    async with FakeOpenverse([picture(n) for n in range(40)]) as fake:
        settings = asking(tmp_path, openverse=fake.url)
        words = {"birds": ["tern"], "fish": ["cod"]}
        seen = await look(database, settings, words, CrawlPlan(sources=["openverse"]), limit=5)
        assert len(fake.asked) == 2
    # The service gives the same pictures for both words, and each is shown once.
    assert [item.url for item in seen.items] == [f"https://media.example/{n}.jpg" for n in range(5)]
    first = seen.items[0]
    assert (first.title, first.creator, first.licence, first.source) == (
        "Picture 0", "Ada Example", "by-sa 4.0", "openverse",
    )  # fmt: skip
    assert first.page_url == "https://photos.example/view/0"
    assert seen.problems == {}


async def test_other_licences_are_not_shown(database: Database, tmp_path: Path) -> None:
    deed = "https://creativecommons.org/publicdomain/zero/1.0/"
    free = picture(1, license="cc0", license_version="1.0", license_url=deed)
    async with FakeOpenverse([picture(0), free]) as fake:
        plan = CrawlPlan(sources=["openverse"], licences=["cc0"])
        seen = await look(database, asking(tmp_path, openverse=fake.url), ["tern"], plan)
    assert [item.licence for item in seen.items] == ["cc0 1.0"]


async def test_a_bad_source_has_a_sentence_and_the_others_are_shown(database: Database, tmp_path: Path) -> None:
    async with FakeOpenverse([picture(n) for n in range(3)]) as fake:
        settings = asking(tmp_path, openverse=fake.url, wikimedia="http://127.0.0.1:1/w/api.php")
        settings.timeout = 2.0
        plan = CrawlPlan(sources=["wikimedia", "openverse"])
        seen = await look(database, settings, ["tern"], plan, seconds=5.0)
    assert {item.source for item in seen.items} == {"openverse"}
    assert len(seen.items) == 3
    assert set(seen.problems) == {"wikimedia"}
    assert "The connection was refused" in seen.problems["wikimedia"]


async def test_a_source_that_does_not_answer_is_not_waited_for(database: Database, tmp_path: Path) -> None:
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = asking(tmp_path, openverse=f"http://127.0.0.1:{silent.getsockname()[1]}/v1/")
        began = time.monotonic()
        seen = await look(database, settings, ["tern"], CrawlPlan(sources=["openverse"]), seconds=1.0)
    assert time.monotonic() - began < 4
    assert (seen.items, seen.problems) == ([], {"openverse": "No answer within 1 seconds."})


async def test_private_networks_are_closed(database: Database, tmp_path: Path) -> None:
    web = PictureWeb(pages={"/birds.html": '<html><img src="/1.jpg" width=400 height=300></html>'})
    with web.served() as url:
        plan = CrawlPlan(websites=[Website(url=f"{url}/birds.html")])
        closed = await look(database, asking(tmp_path), [], plan, allow_private=False)
        assert web.asked == {}
        opened = await look(database, asking(tmp_path), [], plan)
    assert (closed.items, set(closed.problems)) == ([], {f"{url}/birds.html"})
    assert [item.url for item in opened.items] == [f"{url}/1.jpg"]
    assert [path for path in web.asked if path.endswith(".jpg")] == []


async def test_an_uploaded_list_shows_its_first_rows(database: Database, tmp_path: Path) -> None:
    settings = asking(tmp_path)
    rows = "".join(f"https://example.org/{n}.jpg,tern,cc0\n" for n in range(5000))
    store = Store(settings.store_place)
    kept = keep_list("a.csv", BytesIO(f"url,label,licence\n{rows}".encode()), store, tmp_path / "tmp", 10**6)
    lists = [UrlList(path=kept.key, key=kept.key), UrlList(path="https://example.org/list.csv")]
    seen = await look(database, settings, [], CrawlPlan(lists=lists), limit=3)
    assert [(item.url, item.label, item.licence) for item in seen.items] == [
        (f"https://example.org/{n}.jpg", "tern", "cc0") for n in range(3)
    ]
    assert set(seen.problems) == {"https://example.org/list.csv"}


async def test_what_cannot_be_planned_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="GLEANSET_SOURCE_KEYS"):
        await look(database, asking(tmp_path), ["tern"], CrawlPlan(sources=["flickr"]))
