from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from gleanset.errors import UnknownSource
from gleanset.fetch import Fetcher
from gleanset.sources import SOURCES, SourceOptions, open_source
from gleanset.types import Query
from tests.engine.sources import fake_nasa, fake_openverse
from tests.engine.sources.fake_inaturalist import FakeINaturalist, observation
from tests.engine.sources.fake_met import FakeMet, work
from tests.engine.sources.fake_nasa import FakeNasa
from tests.engine.sources.fake_openverse import FakeOpenverse
from tests.engine.sources.fake_wikimedia import FakeWikimedia, file
from tests.engine.sources.reading import candidates, read


def test_every_source_says_what_it_needs_and_under_which_terms(http: Fetcher) -> None:
    assert list(SOURCES) == [
        "openverse", "wikimedia", "inaturalist", "met", "nasa", "flickr", "pexels", "pixabay", "urls",
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
        "inaturalist": FakeINaturalist([observation(1)]),
        "met": FakeMet({1: work(1)}),
        "nasa": FakeNasa([fake_nasa.picture(1)]),
    }
    async with AsyncExitStack() as stack:
        for fake in fakes.values():
            await stack.enter_async_context(fake)
        options = SourceOptions(urls={name: fake.url for name, fake in fakes.items()})
        for name in fakes:
            source = open_source(name, http, options)
            assert len(candidates(await read(source, Query(source=name, label="x", keyword="x")))) == 1


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
