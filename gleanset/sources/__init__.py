"""Sources of candidates: keywords or lists in, an async stream of pages out."""

from __future__ import annotations

from difflib import get_close_matches

from gleanset.errors import UnknownSource
from gleanset.sources import (
    commoncrawl,
    flickr,
    folder,
    inaturalist,
    internet_archive,
    met,
    nasa,
    openverse,
    pexels,
    pixabay,
    urls,
    website,
    wikimedia,
)
from gleanset.sources.base import Http, Reader, Response, Source, SourceInfo, SourceOptions

__all__ = [
    "SOURCES",
    "Http",
    "Reader",
    "Response",
    "Source",
    "SourceInfo",
    "SourceOptions",
    "open_source",
    "source_info",
]

SOURCES: dict[str, SourceInfo] = {
    module.INFO.name: module.INFO
    for module in (
        openverse,
        wikimedia,
        internet_archive,
        inaturalist,
        met,
        nasa,
        flickr,
        pexels,
        pixabay,
        commoncrawl,
        website,
        urls,
        folder,
    )
}


def source_info(name: str) -> SourceInfo:
    """What is known of the source of this name. Raises UnknownSource, with the names that exist."""
    info = SOURCES.get(name)
    if info is None:
        close = get_close_matches(name.lower(), SOURCES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UnknownSource(f"There is no source named {name!r}.{hint} The sources are: {', '.join(SOURCES)}.")
    return info


def open_source(name: str, http: Http, options: SourceOptions | None = None) -> Source:
    """The source of this name, ready to be asked. Raises UnknownSource, or SourceError for a missing or odd key."""
    return source_info(name).open(http, options or SourceOptions())
