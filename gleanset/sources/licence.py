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
_COMMERCIAL = ("by", "by-nd", "by-sa", "cc0", "pdm", "sampling+")
_GROUPS = {
    "commercial": _COMMERCIAL,
    "modification": tuple(code for code in _COMMERCIAL + _NON_COMMERCIAL if "nd" not in code),
    "open": _COMMERCIAL + _NON_COMMERCIAL,
}
OPENNESS = (
    "cc0", "pdm", "united-states-government-work", "no-known-copyright-restrictions", "pixabay", "pexels", "by",
    "by-sa", "by-nd", "sampling+", "by-nc", "by-nc-sa", "nc-sampling+", "by-nc-nd", "all-rights-reserved",
)  # fmt: skip
"""Codes from the one that asks least on; what is not here, nobody knows."""

_OF_SITES = (
    "all-rights-reserved",
    "no-known-copyright-restrictions",
    "pexels",
    "pixabay",
    "united-states-government-work",
)
_CODE = r"by(?:-(?:nc|nd|sa))*|(?:nc-)?sampling\+"
_CC_NAME = re.compile(rf"(?:cc-)?(?P<code>{_CODE}|cc0|cc-zero|pdm|pd-mark)(?:-v?(?P<version>\d\.\d)(?!\d).*)?")
_CC_PATH = re.compile(rf"/(?P<kind>licenses|publicdomain)/(?P<code>{_CODE}|zero|mark)(?:/(?P<version>\d\.\d))?(?:/|$)")
_SAME = {"cc-zero": "cc0", "zero": "cc0", "pd-mark": "pdm", "mark": "pdm"}
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
_SPOKEN = {"cc0": "CC0", "pdm": "Public Domain Mark"}
_DEEDS = {"cc0": "zero", "pdm": "mark"}
"""Of each there is one version."""
_ALL_OF_CC = "https://creativecommons.org/licenses/"


def parse_licence(name: str | None, version: str | None = None, url: str | None = None) -> Licence | None:
    """The licence that a code, a name or a URL states; None when nothing is stated.

    `CC BY-SA 4.0`, `by-sa` and `https://creativecommons.org/licenses/by-sa/4.0/` all give the code `by-sa`. A licence
    outside Creative Commons keeps its own name as code (`gfdl`), or is `other` when there is only a URL.
    """
    if name and url is None and re.match(r"(?:https?:)?//", name):
        name, url = None, name
    slug = _slug(name or "")
    match = _CC_NAME.fullmatch(slug)
    by_url = _from_url(url)
    if match:
        code = match["code"]
        same = by_url is not None and by_url[0] == _SAME.get(code, code)
        stated = version or match["version"] or (by_url[1] if by_url and same else None)
        return Licence(_SAME.get(code, code), stated, url)
    if by_url:
        return Licence(by_url[0], version or by_url[1], url)
    if slug in _PUBLIC_DOMAIN:
        return Licence("pdm", version, url)
    if slug or url:
        return Licence(slug or "other", version, url)
    return None


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
    return licence.code in _DEEDS or re.fullmatch(_CODE, licence.code) is not None


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
    text = name.lower()
    for pattern, word in _LONG_NAMES:
        text = pattern.sub(word, text)
    return re.sub(r"[^a-z0-9.+]+", "-", text).strip("-.")


def _from_url(url: str | None) -> tuple[str, str | None] | None:
    """Code and version of a creativecommons.org URL."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    match = _CC_PATH.match(parts.path.lower())
    if match is None or not (parts.hostname or "").endswith("creativecommons.org"):
        return None
    return _SAME.get(match["code"], match["code"]), match["version"]


def check_licence(candidate: Candidate, licences: Collection[str] | None) -> None:
    """Raises ImageRefused for a candidate whose licence is not one of those wanted."""
    if licences is None:
        return
    code = candidate.licence.code if candidate.licence else UNKNOWN
    if code not in licences:
        raise ImageRefused(Reason.LICENCE, code)
