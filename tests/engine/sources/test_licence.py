from __future__ import annotations

import pytest

from gleanset.errors import SourceError
from gleanset.sources.flickr import LICENCES
from gleanset.sources.licence import UNKNOWN, compose_attribution, parse_licence, parse_licences
from gleanset.types import Licence

CC = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("name", "code", "version"),
    [
        ("by", "by", None),
        ("BY-NC-ND", "by-nc-nd", None),
        ("cc-by-4.0", "by", "4.0"),
        ("CC BY-SA 4.0", "by-sa", "4.0"),
        ("CC BY-SA 3.0 de", "by-sa", "3.0"),
        ("CC BY-SA 4.0,3.0,2.5", "by-sa", "4.0"),
        ("cc_by_nc_sa", "by-nc-sa", None),
        ("Creative Commons Attribution-Share Alike 4.0", "by-sa", "4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.0", "by-nc-nd", "2.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 2.0 Generic", "by-nc-sa", "2.0"),
        ("CC0", "cc0", None),
        ("CC0 1.0", "cc0", "1.0"),
        ("CC-Zero", "cc0", None),
        ("pdm", "pdm", None),
        ("Public Domain Mark 1.0", "pdm", "1.0"),
        ("Public domain", "publicdomain", None),
        ("PD", "publicdomain", None),
        ("sampling+", "sampling+", None),
        ("nc-sampling+", "nc-sampling+", None),
        ("GFDL", "gfdl", None),
        ("All rights reserved.", "all-rights-reserved", None),
        ("Attribution", "attribution", None),
        ("Attribution required", "attribution-required", None),
        ("Attribution 4.0 International", "by", "4.0"),
        ("Attribution-NonCommercial-ShareAlike License", "by-nc-sa", None),
        ("Creative Commons Attribution 3.0 United States License", "by", "3.0"),
        ("Creative Commons Zero v1.0 Universal", "cc0", "1.0"),
        ("by 2.0 for friends only", "by-2.0-for-friends-only", None),
        ("CC BY 4.0 (no commercial use)", "cc-by-4.0-no-commercial-use", None),
        ("CC BY-NC-NC", "cc-by-nc-nc", None),
        ("bystander", "bystander", None),
    ],
)
def test_a_name(name: str, code: str, version: str | None) -> None:
    assert parse_licence(name) == Licence(code, version, None)


@pytest.mark.parametrize(
    ("url", "code", "version"),
    [
        (f"{CC}/licenses/by-sa/4.0/", "by-sa", "4.0"),
        (f"{CC}/licenses/by-nc/3.0/de/deed.de", "by-nc", "3.0"),
        ("http://www.creativecommons.org/licenses/BY/2.0", "by", "2.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "cc0", "1.0"),
        (f"{CC}/publicdomain/mark/1.0/", "pdm", "1.0"),
        (f"{CC}/licenses/sampling+/1.0/", "sampling+", "1.0"),
        (f"{CC}/licenses/publicdomain/", "publicdomain", None),
        (f"{CC}/licenses/by-nd-nc/1.0/", "by-nc-nd", "1.0"),
        (f"{CC}/about/", "other", None),
        ("https://notcreativecommons.org/licenses/by/4.0/", "other", None),
        ("https://x.creativecommons.org/licenses/by/4.0/", "other", None),
        ("https://creativecommons.org@example.org/licenses/by/4.0/", "other", None),
        ("https://example.org/licenses/by/4.0/", "other", None),
        ("https://[broken", "other", None),
    ],
)
def test_a_url(url: str, code: str, version: str | None) -> None:
    assert parse_licence(None, None, url) == Licence(code, version, url)
    assert parse_licence(url) == Licence(code, version, url)


def test_name_version_and_url_together() -> None:
    url = f"{CC}/licenses/by-sa/4.0/"
    assert parse_licence("by-sa", "4.0", url) == Licence("by-sa", "4.0", url)
    assert parse_licence("by-sa", None, url) == Licence("by-sa", "4.0", url)
    assert parse_licence("Public domain", None, f"{CC}/publicdomain/zero/1.0/") == Licence(
        "cc0", "1.0", f"{CC}/publicdomain/zero/1.0/"
    )


@pytest.mark.parametrize(
    ("name", "path", "licence"),
    [
        ("CC BY", "licenses/by-nc-nd/4.0/", Licence("by-nc-nd", "4.0", f"{CC}/licenses/by-nc-nd/4.0/")),
        ("CC BY-NC-ND 3.0", "licenses/by/4.0/", Licence("by-nc-nd", "3.0")),
        ("by", "licenses/by-sa/4.0/", Licence("by-sa", "4.0", f"{CC}/licenses/by-sa/4.0/")),
        ("CC0", "licenses/by/4.0/", Licence("by", "4.0", f"{CC}/licenses/by/4.0/")),
        ("All rights reserved", "licenses/by/4.0/", None),
        ("by 2.0 for friends only", "licenses/by/2.0/", None),
        ("Public domain", "licenses/by/4.0/", None),
        ("pexels", "publicdomain/zero/1.0/", None),
        ("版权所有", "licenses/by/4.0/", None),
    ],
)
def test_of_a_contradiction_nobody_takes_the_more_permissive_side(
    name: str, path: str, licence: Licence | None
) -> None:
    assert parse_licence(name, None, f"{CC}/{path}") == licence


@pytest.mark.parametrize("name", ["Attribution", "Attribution License", "Creative Commons", "unknown", "-"])
def test_a_name_that_says_less_than_the_url_is_no_contradiction(name: str) -> None:
    url = f"{CC}/licenses/by/2.0/"
    assert parse_licence(name, None, url) == Licence("by", "2.0", url)


@pytest.mark.parametrize("name", ["unknown", "Unknown.", "none", "n/a", "not specified", "?", "null"])
def test_words_for_nothing_are_no_licence(name: str) -> None:
    assert parse_licence(name) is None


def test_nothing_stated_is_no_licence() -> None:
    assert parse_licence(None) is None
    assert parse_licence("") is None
    assert parse_licence(None, "4.0") is None


@pytest.mark.parametrize(
    ("title", "creator", "licence", "page_url", "line"),
    [
        (
            "Cat",
            "Ada",
            Licence("by", "4.0", "https://l"),
            "https://p",
            '"Cat" by Ada, CC BY 4.0 (https://l), via https://p',
        ),
        (None, "Ada", None, None, "Untitled image by Ada"),
        ("Cat", None, Licence("cc0", "1.0"), None, '"Cat", CC0 1.0'),
        ("Cat", None, Licence("pdm"), None, '"Cat", Public Domain Mark'),
        ("Cat", None, Licence("publicdomain"), None, '"Cat", Public domain'),
        ("Cat", None, Licence("gfdl"), None, '"Cat", gfdl'),
        ("Cat", None, None, "https://p", None),
    ],
)
def test_attribution(
    title: str | None, creator: str | None, licence: Licence | None, page_url: str | None, line: str | None
) -> None:
    assert compose_attribution(title, creator, licence, page_url) == line


COMMERCIAL = {"by", "by-nd", "by-sa", "cc0", "pdm", "publicdomain", "sampling+"}
NON_COMMERCIAL = {"by-nc", "by-nc-nd", "by-nc-sa", "nc-sampling+"}


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        (["cc0"], {"cc0"}),
        (["cc0,by"], {"cc0", "by"}),
        (["cc0", "by"], {"cc0", "by"}),
        ([" CC0 , By-SA"], {"cc0", "by-sa"}),
        (["CC BY-NC 4.0"], {"by-nc"}),
        (["https://creativecommons.org/licenses/by-sa/4.0/"], {"by-sa"}),
        (["public domain"], {"publicdomain"}),
        (["Public Domain Mark"], {"pdm"}),
        (["commercial"], COMMERCIAL),
        (["modification"], (COMMERCIAL | NON_COMMERCIAL) - {"by-nd", "by-nc-nd"}),
        (["open"], COMMERCIAL | NON_COMMERCIAL),
        (["Commercial,by-nc", "unknown"], COMMERCIAL | {"by-nc", UNKNOWN}),
        (["pexels,Pixabay"], {"pexels", "pixabay"}),
        (["all-rights-reserved"], {"all-rights-reserved"}),
        ([], set()),
    ],
)
def test_a_filter(given: list[str], codes: set[str]) -> None:
    assert parse_licences(given) == codes


@pytest.mark.parametrize("word", ["bye", "", "gfdl", "other", "all", "none", "by-sa-nc-xx", "cc0 by", "\0"])
def test_a_word_that_a_filter_does_not_know(word: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_licences(["cc0", f"by,{word}"])
    assert str(caught.value) == (
        f"There is no licence {word!r}. A filter takes some of: commercial, modification, open, by, by-nc, by-nc-nd, "
        "by-nc-sa, by-nd, by-sa, cc0, nc-sampling+, pdm, publicdomain, sampling+, all-rights-reserved, "
        "no-known-copyright-restrictions, pexels, pixabay, united-states-government-work, unknown."
    )
    assert not caught.value.retryable


def test_every_licence_of_flickr_can_be_asked_for() -> None:
    codes = {licence.code for licence in LICENCES.values()}
    assert parse_licences([",".join(codes)]) == codes


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("All Rights Reserved", "all-rights-reserved"),
        ("No known copyright restrictions", "no-known-copyright-restrictions"),
        ("United States Government Work", "united-states-government-work"),
    ],
)
def test_what_a_list_says_in_the_words_of_flickr_has_the_same_code(name: str, code: str) -> None:
    licence = parse_licence(name)
    assert licence is not None
    assert licence.code == code
    assert code in {licence.code for licence in LICENCES.values()}
