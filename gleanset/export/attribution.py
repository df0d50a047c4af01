"""ATTRIBUTION.md: for every picture its title, creator, source and licence, with links, as CC BY asks for them."""

from __future__ import annotations

from functools import lru_cache

from gleanset.export.base import Entry
from gleanset.export.markdown import escaped, host, link, plain
from gleanset.export.paper import Paper, Setting, Written
from gleanset.export.paper_names import ATTRIBUTION
from gleanset.sources.licence import compose_attribution, licence_link, licence_name
from gleanset.types import Licence

HEAD = """# Attribution

Who made each picture, where it is from, and under which licence, as its source states it. Keep this file with the
pictures when you pass them on. They are as they came, unless it says beside one that it was changed. Creative Commons
licences come without warranties: the texts behind their links tell.

"""


class Attribution(Paper):
    """It grows by a line an image."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._text = setting.files.text(ATTRIBUTION)
        if self._text.is_new:
            self._text.write(HEAD)

    def add(self, written: Written) -> None:
        self._text.write(line(written.entry, written.name))


def line(entry: Entry, file_name: str) -> str:
    """What is owed to one picture: an item of a list, on one line."""
    title = f"“{escaped(entry.title)}”" if entry.title else "untitled"
    credit = f"- `{plain(file_name, 4096).replace('`', chr(39))}`: {title}"
    if entry.creator:
        credit += _creator(entry.creator, entry.creator_url)
    page = entry.source_page or entry.original_url
    credit += f", from {link(host(page), page)}, {_licence(entry.licence)}"
    return f"{credit}.{_asked(entry)}{_change(entry)}\n"


@lru_cache(maxsize=1024)
def _licence(licence: Licence | None) -> str:
    if licence is None:
        return "no licence stated"
    return f"licence: {link(licence_name(licence), licence_link(licence))}"


@lru_cache(maxsize=1024)
def _creator(name: str, url: str | None) -> str:
    return f" by {link(name, url)}"


def _asked(entry: Entry) -> str:
    """The credit in the source's own words, when they are not those that Gleanset would choose."""
    if not entry.attribution:
        return ""
    composed = compose_attribution(entry.title, entry.creator, entry.licence, entry.source_page)
    if entry.attribution == composed or plain(entry.attribution) == plain(composed or ""):
        return ""
    return f" Credit as the source gives it: {escaped(entry.attribution)}"


def _change(entry: Entry) -> str:
    if entry.original is None:
        return ""
    width, height = entry.original["width"], entry.original["height"]
    return f" Changed: resized from {width} × {height} to {entry.width} × {entry.height} pixels, and saved anew."
