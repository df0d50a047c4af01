"""The engine's frozen values: what flows from a source to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self


class Reason(StrEnum):
    """Why an image was not had. Each member carries a sentence for a person as `.sentence`."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    # Failed: the other side, or the way to it, did not give the image.
    DNS = "dns", "The host name does not resolve."
    CONNECTION = "connection", "The connection was refused, reset or closed too early."
    TLS = "tls", "The server's certificate or TLS handshake is not valid."
    TIMEOUT = "timeout", "The server took longer than the time limit."
    NOT_FOUND = "not_found", "The server has no such file (404 or 410)."
    FORBIDDEN = "forbidden", "The server does not let us have the file (401, 403 or 451)."
    RATE_LIMITED = "rate_limited", "The server asked to slow down (429) until the retries were used up."
    SERVER_ERROR = "server_error", "The server failed (5xx) until the retries were used up."
    HTTP_STATUS = "http_status", "The server answered with another status than 200."
    BAD_RESPONSE = "bad_response", "The answer is not valid HTTP."
    HEADERS_TOO_LARGE = "headers_too_large", "The answer has more or longer headers than the limits."
    HOST_DOWN = "host_down", "The host did not answer several times in a row, and is left alone for a while."
    ROBOTS_UNREACHABLE = (
        "robots_unreachable",
        "The host's robots.txt cannot be had, so nothing is asked for.",
    )
    UNREADABLE = "unreadable", "The file cannot be read from its folder or archive."

    # Refused: Gleanset declined, before or after reading the bytes.
    TAKEN_DOWN = "taken_down", "Its owner asked for it to be taken down."
    LICENCE = "licence", "The licence is not one of those asked for."
    BAD_URL = "bad_url", "The URL is not an absolute http(s) URL, or carries credentials or a port that is not allowed."
    PRIVATE_ADDRESS = "private_address", "The host resolves to a loopback, private or otherwise internal address."
    ROBOTS = "robots", "The host's robots.txt disallows it."
    CRAWL_DELAY = "crawl_delay", "The host's robots.txt asks for longer pauses than Gleanset makes."
    OPT_OUT_HEADER = "opt_out_header", "The answer's X-Robots-Tag says noai, noimageai, noindex, noimageindex or none."
    OPT_OUT_TDM = "opt_out_tdm", "The host reserves the rights of text and data mining (TDM reservation protocol)."
    OPT_OUT_AIPREF = "opt_out_aipref", "The host does not want it used for training (Content-Usage: train-ai=n)."
    UNSAFE_PATH = "unsafe_path", "The archive's entry has a name that leads out of the archive."
    TOO_MANY_REDIRECTS = "too_many_redirects", "The server redirects more often than allowed."
    TOO_LARGE = "too_large", "The body is larger than the byte limit."
    EMPTY = "empty", "The body is empty."
    NOT_AN_IMAGE = "not_an_image", "The bytes are not an image, whatever the name or header says."
    UNSUPPORTED_FORMAT = "unsupported_format", "The image format is not one that Gleanset decodes."
    TRUNCATED = "truncated", "The image ends before its last pixel."
    DAMAGED = "damaged", "The image does not decode."
    TOO_MANY_PIXELS = "too_many_pixels", "The image has more pixels than the limit."

    @property
    def passing(self) -> bool:
        """Whether asking again some other day may well help."""
        return self in _PASSING


_PASSING = frozenset(
    {
        Reason.DNS,
        Reason.CONNECTION,
        Reason.TIMEOUT,
        Reason.RATE_LIMITED,
        Reason.SERVER_ERROR,
        Reason.HOST_DOWN,
        Reason.ROBOTS_UNREACHABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as its source states it. An image without a stated licence has `None`, never a guess.

    `code` is lower case and in Openverse's vocabulary where it has a word for it: `by-sa`, `cc0`, `pdm` ...
    """

    code: str
    version: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image that a source offers, and everything the source knows about where it comes from.

    `known` is what an earlier crawl remembers of it, when it is visited to see what became of it.
    """

    url: str
    label: str
    source: str
    keyword: str | None = None
    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence: Licence | None = None
    attribution: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    known: Known | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What one chunk asks of one source: a keyword of a search API, or a slice of a list.

    `options` are the source's own, JSON-able (for `urls`: path, start, stop, column names). `licences` are the licence
    codes that are wanted, `unknown` among them for images without one; None takes every licence. Sources ask for those
    only where their service can filter; the pipeline refuses whatever else comes.
    """

    source: str
    label: str
    keyword: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    licences: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a host may be asked: requests `at_once`, seconds from the start of one to the start of the next, and
    bytes a second that it may send, any number when None."""

    at_once: int
    interval: float = 0.0
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Candidates that arrive together, and the `cursor` from which the source goes on behind them.

    A `cursor` of None on the last page says that the source is exhausted.
    """

    candidates: tuple[Candidate, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What one decode of an image tells.

    width, height: stored pixels, before EXIF orientation is applied.
    sha256: lower-case hex of the original bytes. pdq: 32 bytes; pdq_quality: 0..100 (below 50 the hash says little).
    brightness: mean luma, 0..1. contrast: standard deviation of luma, 0..0.5. entropy: bits of its histogram, 0..8.
    sharpness: variance of the Laplacian of 8-bit luma at a longer side of at most 256 px (below ~100 it looks blurred).
    uniformity: share of the pixels that the 16 neighbouring levels of luma (of 256) with most pixels have, 0..1; from
    about 0.95 on the picture shows next to nothing.
    colour: colourfulness after Hasler and Süsstrunk; 0 for grey, up to about 3 for grey that was stored as colour, 15
    slightly colourful, 109 as colourful as can be.
    border: share of the picture taken by bars of one tone and the same width on two opposite sides, 0..1.
    alpha: whether any pixel is not opaque. orientation: EXIF value 1..8, 1 when absent.
    """

    format: str
    width: int
    height: int
    file_size: int
    sha256: str
    pdq: bytes
    pdq_quality: int
    brightness: float
    contrast: float
    sharpness: float
    entropy: float
    uniformity: float
    colour: float
    border: float
    orientation: int
    animated: bool
    alpha: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """What copies become. They are upright, 8-bit RGB on white, and never enlarged.

    `shorter` and `longer`: that side becomes `width`, or stays if it is shorter. `crop` and `pad`: exactly `width` by
    `height` pixels, around the middle; the picture fills them, and edges are cut off, or it fits into them. Where it is
    too small for that, the rest is white. `quality`, 1 to 100, is that of jpeg and webp; None is 95 and 90.
    """

    mode: Literal["shorter", "longer", "crop", "pad"]
    width: int
    height: int
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """A smaller copy of an image: the bytes of an upright JPEG, its size in pixels, and their hash in hex."""

    data: bytes = field(repr=False)
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedFile:
    """What is remembered of a smaller copy when its bytes are in the store."""

    width: int
    height: int
    file_size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of an image that was downloaded before: fields as those of `Downloaded`."""

    inspection: Inspection
    key: str
    crc32: int | None = None
    resized: ResizedFile | None = None
    final_url: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """The image is in the store; its bytes passed inspection, now or at the earlier visit that the candidate knows of.

    `key` is where: that of the original bytes, or of the `resized` copy when only that is kept. `crc32` is that of the
    file there, None where a row from before it was noted does not tell. `etag` and `last_modified` are the validators
    that came with the bytes from `final_url`, as the server wrote them.
    """

    candidate: Candidate
    inspection: Inspection
    key: str
    crc32: int | None = None
    resized: ResizedFile | None = None
    final_url: str
    etag: str | None = None
    last_modified: str | None = None
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Gleanset declined the image."""

    candidate: Candidate
    reason: Reason
    detail: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The image could not be had."""

    candidate: Candidate
    reason: Reason
    detail: str
    fetched_at: datetime


Outcome = Downloaded | Refused | Failed
