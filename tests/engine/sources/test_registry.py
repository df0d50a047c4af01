from __future__ import annotations

import pytest

from gleanset.errors import UnknownSource
from gleanset.fetch import Fetcher
from gleanset.sources import SOURCES, SourceOptions, open_source
from gleanset.types import Query
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.engine.sources.fake_wikimedia import FakeWikimedia, file
from tests.engine.sources.reading import candidates, read


def test_every_source_says_what_it_needs_and_under_which_terms(http: Fetcher) -> None:
    assert set(SOURCES) == {"openverse", "wikimedia", "urls", "folder"}
    for name, info in SOURCES.items():
        assert info.name == name == open_source(name, http).name
        assert info.title
        assert info.needs
        assert info.allows
        assert info.terms.endswith(".")


async def test_the_options_say_where_the_services_are(http: Fetcher) -> None:
    async with FakeOpenverse([picture(1)]) as openverse, FakeWikimedia([file(1)]) as wikimedia:
        options = SourceOptions(urls={"openverse": openverse.url, "wikimedia": wikimedia.url})
        for name in ("openverse", "wikimedia"):
            source = open_source(name, http, options)
            assert len(candidates(await read(source, Query(source=name, label="x", keyword="x")))) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("opnverse", "There is no source named 'opnverse'. Did you mean openverse? The sources are: openverse, "),
        ("Wikimedia", "Did you mean wikimedia?"),
        ("google", "There is no source named 'google'. The sources are: openverse, wikimedia, urls, folder."),
    ],
)
def test_an_unknown_name(http: Fetcher, name: str, sentence: str) -> None:
    with pytest.raises(UnknownSource) as caught:
        open_source(name, http)
    assert sentence in str(caught.value)
    assert not caught.value.retryable
