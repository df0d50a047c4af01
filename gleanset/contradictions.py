"""Rules that no image can keep together, as far as it follows from how the measures are defined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gleanset.sources.licence import UNKNOWN

if TYPE_CHECKING:
    from gleanset.rules import Rules

GREYSCALE = 3.0
"""Colourfulness below which a picture is grey, also one that was stored with colour."""
ALPHA = frozenset({"png", "webp", "gif", "tiff", "avif", "bmp"})
"""Formats in which a picture may be transparent."""
ANIMATED = frozenset({"gif", "png", "webp", "avif"})
"""Formats in which a picture may move."""
_NEVER_TURNED = frozenset({"gif", "bmp"})
"""Formats without EXIF, whose pictures lie as they are stored."""
LARGEST = 2**31 - 1
"""The largest whole number of a rule: no side is longer, and no database column counts further."""
SQUARE = 19 / 20
"""A picture is square when its shorter side has more than this of the longer one."""
_SIZES = (
    *("min_width", "max_width", "min_height", "max_height", "min_aspect_ratio", "max_aspect_ratio"),
    *("orientation", "formats"),
)
_ROUNDING = 1e-4
_WHITE, _TONE = 255, 16
"""The largest value of luma, and how many of them are one tone."""

Found = tuple[Sequence[str], str]
"""Rules of which every image breaks one, and why."""


def contradictions(rules: Rules) -> Iterator[Found]:
    """What rules, each of which some image keeps, ask that no image can have."""
    for name in ("width", "height", "file_size", "aspect_ratio", "brightness", "entropy"):
        least, most = getattr(rules, f"min_{name}"), getattr(rules, f"max_{name}")
        if least is not None and most is not None and least > most:
            yield (f"min_{name}", f"max_{name}"), "the one asks for more than the other allows"
    if not _has_size(rules):
        needed = _needed(rules, _SIZES, _has_size)
        why = "square is what has sides that differ by less than a twentieth"
        why += ", and these formats are never turned" if "formats" in needed else ""
        yield needed, why if "orientation" in needed else "aspect_ratio is width / height"
    yield from _tones(rules)
    if rules.greyscale and rules.min_colour is not None and rules.min_colour >= GREYSCALE:
        yield ("greyscale", "min_colour"), f"what is grey has a colour below {GREYSCALE:g}"
    yield from _formats(rules)
    if rules.require_attribution and rules.licences == (UNKNOWN,):
        yield ("require_attribution", "licences"), "credit asks for a licence that is known"


def _needed(rules: Rules, names: Sequence[str], possible: Callable[[Rules], bool]) -> Sequence[str]:
    """Those of the rules without which the others could be kept."""
    for name in names:
        without = replace(rules, **{name: None})
        if not possible(without):
            rules = without
    return [name for name in names if getattr(rules, name) is not None]


def _has_size(rules: Rules) -> bool:
    """Whether a picture of some width and height keeps the rules about them."""
    least = max((rules.min_width or 1) / (rules.max_height or LARGEST), rules.min_aspect_ratio or 0)
    most = min((rules.max_width or LARGEST) / (rules.min_height or 1), rules.max_aspect_ratio or math.inf)
    if least > most:
        return False
    shapes: set[str] = set()
    if most > SQUARE and least < 1 / SQUARE:
        shapes.add("square")
    turned = rules.formats is None or not _NEVER_TURNED.issuperset(rules.formats)
    if most >= 1 / SQUARE:
        shapes |= {"landscape", "portrait"} if turned else {"landscape"}
    if least <= SQUARE:
        shapes |= {"landscape", "portrait"} if turned else {"portrait"}
    return rules.orientation is None or not shapes.isdisjoint(rules.orientation)


def _tones(rules: Rules) -> Iterator[Found]:
    """All that is measured of luma, whose mean is the brightness: the nearer that is to black or white, the less can
    be seen."""
    darkest, brightest = rules.min_brightness or 0, 1 if rules.max_brightness is None else rules.max_brightness
    mean = min(max(0.5, darkest), brightest)
    bound, so = "max_brightness" if mean < 0.5 else "min_brightness", f"at a brightness of {mean:g}"
    # Entropy and uniformity are those of every other row of a large picture, which may be twice as far from the end.
    off = min(mean, 1 - mean)
    values = 2 * _WHITE * off
    contrast, entropy, one_tone = math.sqrt(mean * (1 - mean)), _most_entropy(values), 1 - values / _TONE
    if (rules.min_contrast or 0) > contrast + _ROUNDING:
        yield ("min_contrast", bound), f"{so} the contrast is at most {contrast:.3g}"
    if (rules.min_entropy or 0) > entropy + _ROUNDING:
        yield ("min_entropy", bound), f"{so} the entropy is at most {entropy:.3g}"
    if rules.max_uniformity is not None and rules.max_uniformity < one_tone - _ROUNDING:
        yield ("max_uniformity", bound), f"{so} at least {one_tone:.3g} of a picture is of one tone"
    if not off and rules.min_sharpness:
        yield ("min_sharpness", bound), f"{so} nothing is to be seen"
    if not off and rules.max_border is not None and rules.max_border < 1:
        yield ("max_border", bound), f"{so} all of it is border"
    if rules.min_contrast and rules.max_entropy == 0:
        yield ("min_contrast", "max_entropy"), "an entropy of 0 is that of one tone alone"
    if rules.max_entropy is not None and rules.max_uniformity is not None:
        entropy = _least_entropy(rules.max_uniformity)
        if rules.max_entropy < entropy - _ROUNDING:
            why = f"the entropy is at least {entropy:.3g} where no more than {rules.max_uniformity:g} is of one tone"
            yield ("max_uniformity", "max_entropy"), why


def _most_entropy(mean: float) -> float:
    """Bits of a distribution over whole numbers from 0 up with this mean: that of the geometric one."""
    return (mean + 1) * math.log2(mean + 1) - (mean * math.log2(mean) if mean else 0)


def _least_entropy(share: float) -> float:
    """Bits of a distribution none of whose shares is larger."""
    if not 0 < share < 1:
        return 0
    rest = 1 - math.floor(1 / share) * share
    return -(1 - rest) * math.log2(share) - (rest * math.log2(rest) if rest > 0 else 0)


def _formats(rules: Rules) -> Iterator[Found]:
    if rules.formats is None:
        return
    if rules.alpha and not ALPHA.intersection(rules.formats):
        yield ("formats", "alpha"), "these have no transparent parts"
    if rules.animated and not ANIMATED.intersection(rules.formats):
        yield ("formats", "animated"), "these do not move"
    if rules.alpha and rules.animated and not (ALPHA & ANIMATED).intersection(rules.formats):
        yield ("formats", "alpha", "animated"), "none of these does both"
