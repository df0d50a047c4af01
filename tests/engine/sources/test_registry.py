from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from gleanset.errors import UnknownSource
from gleanset.fetch import Fetcher
from gleanset.sources import SOURCES, SourceOptions, open_source
from gleanset.types import Query
from tests.engine.sources import fake_flickr, fake_nasa, fake_openverse, fake_pexels
from tests.engine.sources.fake_commoncrawl import NEWEST, FakeCommonCrawl, capture
from tests.engine.sources.fake_flickr import FakeFlickr
from tests.engine.sources.fake_inaturalist import FakeINaturalist, observation
from tests.engine.sources.fake_internet_archive import FakeInternetArchive, item
from tests.engine.sources.fake_keyed import KEY
from tests.engine.sources.fake_met import FakeMet, work
from tests.engine.sources.fake_nasa import FakeNasa
from tests.engine.sources.fake_openverse import FakeOpenverse
from tests.engine.sources.fake_pexels import FakePexels
from tests.engine.sources.fake_pixabay import FakePixabay, hit
from tests.engine.sources.fake_wikimedia import FakeWikimedia, file
from tests.engine.sources.reading import candidates, read


def test_every_source_says_what_it_needs_and_under_which_terms(http: Fetcher) -> None:
    assert list(SOURCES) == [
        "openverse", "wikimedia", "internet-archive", "inaturalist", "met", "nasa", "flickr", "pexels", "pixabay",
        "commoncrawl", "website", "urls", "folder",
    ]  # fmt: skip
    options = SourceOptions(keys={name: "key" for name, info in SOURCES.items() if info.key})
    for name, info in SOURCES.items():
        assert info.name == name == open_source(name, http, options).name
        assert info.title
        assert info.needs
        assert info.allows
        assert info.terms.endswith(".")


async def test_the_options_say_where_the_services_are(http: Fetcher) -> None:
    fakes = {
        "openverse": FakeOpenverse([fake_openverse.picture(1)]),
        "wikimedia": FakeWikimedia([file(1)]),
        "internet-archive": FakeInternetArchive([item("x")]),
        "inaturalist": FakeINaturalist([observation(1)]),
        "met": FakeMet({1: work(1)}),
        "nasa": FakeNasa([fake_nasa.picture(1)]),
        "flickr": FakeFlickr([fake_flickr.photo(1)]),
        "pexels": FakePexels([fake_pexels.photo(1)]),
        "pixabay": FakePixabay([hit(1)]),
        "commoncrawl": FakeCommonCrawl({NEWEST: [capture("https://x.example/1.jpg", "A")]}),
    }
    assert list(fakes) == [name for name, info in SOURCES.items() if info.url]
    async with AsyncExitStack() as stack:
        for fake in fakes.values():
            await stack.enter_async_context(fake)
        keys = {name: KEY for name in fakes if SOURCES[name].key}
        options = SourceOptions(urls={name: fake.url for name, fake in fakes.items()}, keys=keys)
        for name in fakes:
            source = open_source(name, http, options)
            assert len(candidates(await read(source, Query(source=name, label="x", keyword="x.example")))) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("opnverse", "There is no source named 'opnverse'. Did you mean openverse? The sources are: openverse, "),
        ("Wikimedia", "Did you mean wikimedia?"),
        ("google", f"There is no source named 'google'. The sources are: {', '.join(SOURCES)}."),
    ],
)
def test_an_unknown_name(http: Fetcher, name: str, sentence: str) -> None:
    with pytest.raises(UnknownSource) as caught:
        open_source(name, http)
    assert sentence in str(caught.value)
    assert not caught.value.retryable
