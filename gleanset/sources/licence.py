"""Licences as sources write them, in one vocabulary; and the credit line that follows from one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from gleanset.errors import ImageRefused, SourceError
from gleanset.types import Candidate, Licence, Query, Reason

UNKNOWN = "unknown"
"""What an image without a stated licence counts as; never the code of a licence."""

_NON_COMMERCIAL = ("by-nc", "by-nc-nd", "by-nc-sa", "nc-sampling+")
_COMMERCIAL = ("by", "by-nd", "by-sa", "cc0", "pdm", "publicdomain", "sampling+")
_GROUPS = {
    "commercial": _COMMERCIAL,
    "modification": tuple(code for code in _COMMERCIAL + _NON_COMMERCIAL if "nd" not in code),
    "open": _COMMERCIAL + _NON_COMMERCIAL,
}
OPENNESS = (
    "cc0", "pdm", "publicdomain", "united-states-government-work", "no-known-copyright-restrictions", "pixabay",
    "pexels", "by", "by-sa", "by-nd", "sampling+", "by-nc", "by-nc-sa", "nc-sampling+", "by-nc-nd",
    "all-rights-reserved",
)  # fmt: skip
"""Codes from the one that asks least on; what is not here, nobody knows."""

_OF_SITES = (
    "all-rights-reserved",
    "no-known-copyright-restrictions",
    "pexels",
    "pixabay",
    "united-states-government-work",
)
_CODE = r"by(?:-nc)?(?:-(?:nd|sa))?|(?:nc-)?sampling\+"
_JURISDICTIONS = (
    "ar|argentina|at|austria|au|australia|az|azerbaijan|be|belgium|bg|bulgaria|br|brazil|ca|canada|ch|switzerland|cl|chile"
    "|cn|china-mainland|co|colombia|cr|costa-rica|cz|czech-republic|de|germany|dk|denmark|ec|ecuador|ee|estonia|eg|egypt"
    "|es|spain|fi|finland|fr|france|ge|georgia|gr|greece|gt|guatemala|hk|hong-kong|hr|croatia|hu|hungary|ie|ireland|igo"
    "|il|israel|in|india|it|italy|jp|japan|kr|korea|lu|luxembourg|mk|macedonia|mt|malta|mx|mexico|my|malaysia"
    "|nl|netherlands|no|norway|nz|new-zealand|pe|peru|ph|philippines|pl|poland|pr|puerto-rico|pt|portugal|ro|romania"
    "|rs|serbia|scotland|uk-scotland|se|sweden|sg|singapore|si|slovenia|th|thailand|tw|taiwan|ug|uganda"
    "|uk|england-and-wales|us|united-states|ve|venezuela|vn|vietnam|za|south-africa"
)
"""Those for which Creative Commons had licences of their own, as it writes them."""
_CC_NAME = re.compile(
    rf"(?:cc-)?(?P<code>{_CODE}|cc0|cc-zero|pdm|pd-mark)(?:-v?(?P<version>\d\.\d)(?:-\d\.\d)*"
    rf"(?:-(?:generic|unported|international|universal(?:-public-domain-dedication)?|{_JURISDICTIONS}))?)?"
    r"(?:-licen[cs]e)?"
)
_CC_PATH = re.compile(
    rf"/(?P<kind>licenses|publicdomain)/(?P<code>{_CODE}|by-nd-nc|publicdomain|zero|mark)"
    r"(?:/(?P<version>\d\.\d))?(?:/|$)"
)
_CC_HOSTS = {"creativecommons.org", "www.creativecommons.org"}
_SAME = {"cc-zero": "cc0", "zero": "cc0", "pd-mark": "pdm", "mark": "pdm", "by-nd-nc": "by-nc-nd"}
_LONG_NAMES = (
    (re.compile(r"\bcreative[ -]commons\b"), "cc"),
    (re.compile(r"\bpublic[ -]domain[ -]mark\b"), "pdm"),
    (re.compile(r"\bcc[ -]zero\b"), "cc0"),
    (re.compile(r"\battribution\b"), "by"),
    (re.compile(r"\bshare[ -]?alike\b"), "sa"),
    (re.compile(r"\bnon[ -]?commercial\b"), "nc"),
    (re.compile(r"\bno[ -]?deriv(?:ative)?s?(?: works)?\b"), "nd"),
)
_PUBLIC_DOMAIN = {"public-domain", "pd", "publicdomain"}
_VAGUE = {"attribution", "attribution-license", "attribution-licence"}
"""`CC BY` where it is known to be of Creative Commons; others have licences of that name."""
_ANY_OF_CC = {"cc", "cc-license", "cc-licence"}
_NOTHING = {"unknown", "none", "null", "nan", "n-a", "not-specified", "unspecified", "undefined"}
_SPOKEN = {"cc0": "CC0", "pdm": "Public Domain Mark", "publicdomain": "Public domain"}
_DEEDS = {"cc0": "zero", "pdm": "mark"}
"""Of each there is one version."""
_ALL_OF_CC = "https://creativecommons.org/licenses/"


def parse_licence(name: str | None, version: str | None = None, url: str | None = None) -> Licence | None:
    """The licence that a code, a name or a URL states; None when nothing is stated.

    `CC BY-SA 4.0`, `by-sa` and `https://creativecommons.org/licenses/by-sa/4.0/` all give the code `by-sa`. A licence
    outside Creative Commons keeps its own name as code (`gfdl`, `publicdomain`), or is `other` when there is only a
    URL. Where name and URL contradict each other it is the stricter one of two of Creative Commons, and else None.
    """
    if name and url is None and re.match(r"(?:https?:)?//", name):
        name, url = None, name
    by_url = _from_url(url)
    if name is None or not any(map(str.isalnum, name)) or _slug(name) in _NOTHING:
        return Licence(*by_url, url) if by_url else Licence("other", version, url) if url else None
    code, named = _from_name(name)
    named = version or named
    if by_url is None:
        return Licence(code, named, url) if code else None
    if code == by_url[0]:
        return Licence(code, named or by_url[1], url)
    if _leaves_open(name, by_url[0]):
        return Licence(*by_url, url)
    if not (_is_of_cc(code) and _is_of_cc(by_url[0])):
        return None
    stricter = max(code, by_url[0], key=OPENNESS.index)
    return Licence(code, named) if stricter == code else Licence(*by_url, url)


def parse_licences(given: Sequence[str]) -> frozenset[str]:
    """The codes that a filter names: `cc0,by` and the like, or one of the groups. Raises SourceError for other words.

    `commercial` is what may be used commercially, `modification` what may be changed, `open` both and the rest of
    Creative Commons and the public domain. What sites say in words of their own, and `unknown`, has to be asked for by
    its name.
    """
    wanted: set[str] = set()
    for word in (word.strip().lower() for text in given for word in text.split(",")):
        licence = parse_licence(word)
        if word in _GROUPS:
            wanted.update(_GROUPS[word])
        elif word in _OF_SITES or word == UNKNOWN:
            wanted.add(word)
        elif licence is not None and licence.code in _GROUPS["open"]:
            wanted.add(licence.code)
        else:
            known = ", ".join((*_GROUPS, *sorted(_GROUPS["open"]), *_OF_SITES, UNKNOWN))
            raise SourceError(f"There is no licence {word!r}. A filter takes some of: {known}.")
    return frozenset(wanted)


def wants_any(query: Query, codes: Collection[str]) -> bool:
    """Whether the query takes pictures under one of these licences at all: if not, there is nothing to ask for."""
    return query.licences is None or not query.licences.isdisjoint(codes)


def compose_attribution(
    title: str | None, creator: str | None, licence: Licence | None, page_url: str | None
) -> str | None:
    """A credit line for a source that states none; None when neither creator nor licence is known."""
    if creator is None and licence is None:
        return None
    line = f'"{title}"' if title else "Untitled image"
    if creator:
        line += f" by {creator}"
    if licence:
        line += f", {licence_name(licence)}" + (f" ({licence.url})" if licence.url else "")
    return line + (f", via {page_url}" if page_url else "")


def is_creative_commons(licence: Licence) -> bool:
    """Whether code and version say all of it, and where its text is."""
    return _is_of_cc(licence.code)


def licence_name(licence: Licence) -> str:
    """What people call it: `CC BY-SA 4.0`, `CC0 1.0`; its code where that is all there is."""
    spoken = f"CC {licence.code.upper()}" if is_creative_commons(licence) else licence.code
    name = _SPOKEN.get(licence.code, spoken)
    return f"{name} {licence.version}" if licence.version else name


def licence_link(licence: Licence) -> str | None:
    """Where its text is: as the source states it, or what follows from code and version. No version is guessed."""
    if licence.url:
        return licence.url
    if licence.code in _DEEDS:
        return f"https://creativecommons.org/publicdomain/{_DEEDS[licence.code]}/1.0/"
    if not is_creative_commons(licence):
        return None
    version = licence.version and re.fullmatch(r"\d\.\d", licence.version)
    return f"https://creativecommons.org/licenses/{licence.code}/{licence.version}/" if version else _ALL_OF_CC


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-.")


def _without_long_names(name: str) -> str:
    text = name.lower()
    for pattern, word in _LONG_NAMES:
        text = pattern.sub(word, text)
    return _slug(text)


def _from_name(name: str) -> tuple[str, str | None]:
    """Code and version. A name that is not one of Creative Commons' to its end is a code of its own."""
    slug = _slug(name)
    if slug in _PUBLIC_DOMAIN:
        return "publicdomain", None
    match = None if slug in _VAGUE else _CC_NAME.fullmatch(_without_long_names(name))
    return (_SAME.get(match["code"], match["code"]), match["version"]) if match else (slug, None)


def _leaves_open(name: str, code: str) -> bool:
    """Whether the name says less than this code of Creative Commons, and nothing else."""
    slug = _slug(name)
    if slug in _VAGUE:
        return code == "by"
    if slug in _PUBLIC_DOMAIN:
        return code in _DEEDS
    return _without_long_names(name) in _ANY_OF_CC


def _is_of_cc(code: str) -> bool:
    return code in _DEEDS or re.fullmatch(_CODE, code) is not None


def _from_url(url: str | None) -> tuple[str, str | None] | None:
    """Code and version of a creativecommons.org URL."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    match = _CC_PATH.match(parts.path.lower())
    if match is None or parts.hostname not in _CC_HOSTS:
        return None
    return _SAME.get(match["code"], match["code"]), match["version"]


def check_licence(candidate: Candidate, licences: Collection[str] | None) -> None:
    """Raises ImageRefused for a candidate whose licence is not one of those wanted."""
    if licences is None:
        return
    code = candidate.licence.code if candidate.licence else UNKNOWN
    if code not in licences:
        raise ImageRefused(Reason.LICENCE, code)
