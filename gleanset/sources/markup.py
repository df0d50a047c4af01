"""HTML as a stream of tags and text, whatever the bytes are, in time and memory that grow with their length only.

A page is hostile, and to build a tree as browsers do is not bounded by its length: it takes time with the depth for
each tag, with the square of the attributes of a tag, and copies unclosed formatting elements into every paragraph. What
a crawl wants of a page needs no tree.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from itertools import islice

_MOST_PIECES = 200_000
_MOST_ATTRIBUTES = 100
_BLANK = r"[\t\n\f\r ]"
_GAP = r"[\t\n\f\r /]"
_NAME = r"[^\t\n\f\r />][^\t\n\f\r />=]*+"
_VALUE = r"\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\t\n\f\r >]*+"
_EQUALS = rf"{_BLANK}*+={_BLANK}*+"
_ATTRIBUTE = re.compile(rf"{_GAP}*+({_NAME})(?:{_EQUALS}({_VALUE}))?+")
_TAG = re.compile(rf"<(/?)([a-zA-Z][^\t\n\f\r />]*+)((?:{_GAP}*+{_NAME}(?:{_EQUALS}(?:{_VALUE}))?+)*+){_GAP}*+>")
_OPENING = re.compile(r"</?[a-zA-Z]")
_COMMENT = re.compile(r"<!--(?:-?>|.*?(?:--!?>|\Z))|<(?:[!?]|/(?![a-zA-Z]))[^>]*+>?", re.DOTALL)
_REFERENCE = re.compile(r"&(#[0-9]{1,7}+;?|#[xX][0-9a-fA-F]{1,6}+;?|[a-zA-Z][a-zA-Z0-9]{1,31}+(?:;|(?![a-zA-Z0-9=])))")
_RAW = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp")
}
_CHARSETS = re.compile(
    r"utf-?(?:8|16(?:[bl]e)?)|(?:us-)?ascii|iso-?8859-?\d+|latin-?\d|(?:windows|cp)-?\d+|koi8-[ru]|gb\w+|big5(?:-hkscs)?"
    r"|euc-(?:jp|kr)|shift[-_]?jis|sjis|iso-2022-jp|tis-620|macintosh",
    re.IGNORECASE,
)
_META_CHARSET = re.compile(rb"<meta[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Tag:
    """A start or end tag. `raw` is its attributes as written, `text` what an element without markup in it holds."""

    name: str
    raw: str
    is_end: bool = False
    text: str = ""

    def attributes(self) -> dict[str, str]:
        """Names in lower case and values without references; of attributes of one name the first, as in browsers."""
        found: dict[str, str] = {}
        for match in islice(_ATTRIBUTE.finditer(self.raw), _MOST_ATTRIBUTES):
            value = match[2] or ""
            found.setdefault(match[1].lower(), unescape(value[1:-1] if value[:1] in {'"', "'"} else value))
        return found


def pieces(text: str) -> Iterator[Tag | str]:
    """The tags and the text as written between them, in order; the first 200,000."""
    position = 0
    for _ in range(_MOST_PIECES):
        start = text.find("<", position)
        if start != position:
            yield text[position:] if start < 0 else text[position:start]
        if start < 0:
            return
        comment = _COMMENT.match(text, start)
        tag = None if comment else _TAG.match(text, start)
        if comment:
            position = comment.end()
        elif tag:
            name, position = tag[2].lower(), tag.end()
            raw = _RAW.get(name)
            if raw is None or tag[1]:
                yield Tag(name, tag[3], bool(tag[1]))
                continue
            end = raw.search(text, position)
            begin, position = position, end.start() if end else len(text)
            yield Tag(name, tag[3], text=text[begin:position])
        elif _OPENING.match(text, start):
            return  # the page ends within this tag
        else:
            yield "<"
            position = start + 1


def unescape(text: str) -> str:
    """The text with its character references resolved; `&copy=` of a query string is none."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    return html.unescape(match[0]) if match[1][0] == "#" else html5.get(match[1], match[0])


def decoded(body: bytes, charset: str | None) -> str:
    """The page as text: by its byte order mark, else the charset of its header, its meta tag, UTF-8 or windows-1252."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    named = _META_CHARSET.search(body[:1024])
    for label in (charset, named[1].decode("ascii", "replace") if named else None):
        codec = _codec(label)
        if codec is not None and not (label is not charset and codec.startswith("utf-16")):
            return body.decode(codec, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("windows-1252", "replace")


def _codec(label: str | None) -> str | None:
    """Python's name of a charset that pages may have: not of its codecs that are none, as zlib."""
    if label is None or not _CHARSETS.fullmatch(label):
        return None
    try:
        name = codecs.lookup("mac-roman" if label.lower() == "macintosh" else label).name
    except LookupError:
        return None
    return "windows-1252" if name in {"ascii", "iso8859-1"} else name
