"""What a file is, by its first bytes: never by its name, nor by what a server calls it."""

from __future__ import annotations

import re
from collections.abc import Collection

from gleanset.errors import ImageRefused
from gleanset.types import Reason

# The first that matches counts. Formats that nobody here decodes are listed for their names: a refusal tells them.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\xff\xd8\xff", "jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "png"),
        (rb"RIFF....WEBP", "webp"),
        (rb"GIF8[79]a", "gif"),
        (rb"II\*\0....CR", "Canon raw"),
        (rb"II[*+]\0|MM\0\*", "tiff"),
        (rb"MM\0\+", "a big-endian BigTIFF"),
        (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "bmp"),
        (rb"....ftyp(?:avi[fs]|.{4}.{4}(?:.{4}){0,15}?avi[fs])", "avif"),
        (rb"....ftyp(?:hei|hev|mif1|msf1)", "HEIC"),
        (rb"....(?:ftyp|moov|mdat)", "video"),
        (rb"RIFF....AVI |\x1aE\xdf\xa3|OggS|FLV\x01|\0\0\x01[\xb3\xba]|\x30\x26\xb2\x75", "video"),
        (rb"\0\0[\x01\x02]\0[^\0]\0", "ICO or CUR"),
        (rb"8BPS", "PSD"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
        (rb"%PDF-", "PDF"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
        (rb"v/1\x01", "OpenEXR"),
        (rb"#\?R(?:ADIANCE|GBE)", "Radiance HDR"),
        (rb"P[1-7][\s#]", "PNM"),
        (rb"DDS ", "DDS"),
        (rb"qoif", "QOI"),
        (rb"FLIF", "FLIF"),
        (rb"BPG\xfb", "BPG"),
        (rb"[\x8a\x8b][MJ]NG\r\n", "MNG"),
        (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "WMF or EMF"),
        (rb"gimp xcf", "XCF"),
        (rb"icns", "ICNS"),
        (rb"AT&TFORM", "DjVu"),
        (rb"SIMPLE  =", "FITS"),
        (rb"FUJIFILMCCD-RAW", "Fujifilm raw"),
    )
)
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s+|<\?xml.*?\?>|<!--.*?-->|<!doctype svg.*?>)*+<(?:svg:)?svg[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def recognise(data: bytes, decoded: Collection[str]) -> str:
    """The format by content: one of those that are `decoded`. Raises ImageRefused for any other."""
    if not data:
        raise ImageRefused(Reason.EMPTY)
    name = next((name for pattern, name in _SIGNATURES if pattern.match(data)), None)
    if name is None and _SVG.match(data[:4096]):
        name = "SVG"
    if name is None:
        raise ImageRefused(Reason.NOT_AN_IMAGE, f"The first bytes are {data[:16]!r}.")
    if name not in decoded:
        raise ImageRefused(Reason.UNSUPPORTED_FORMAT, f"This is {name}.")
    return name
