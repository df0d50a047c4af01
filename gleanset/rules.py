"""Validation rules: what an image must measure, and what a set of images must keep, to be valid.

The reason code of an image that breaks a rule is nearly always the rule's name, so a person reads at once which rule to
change. The table `LIMITS` is the only place that says what a rule compares: this module judges single images by it,
the service turns the same table into SQL for a whole job. The rules that look at all images of a job together, and
the codes of these, are told in `CODES`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, Self, cast

from gleanset.contradictions import GREYSCALE, LARGEST, contradictions
from gleanset.errors import RuleError, SourceError
from gleanset.presets import PRESETS
from gleanset.sources.licence import UNKNOWN, parse_licences
from gleanset.store import EXTENSIONS
from gleanset.types import Candidate, Inspection

VERSION = 1
"""Of the schema: what the rules mean. It is part of a rule set's hash."""
CUSTOM = "custom"
"""What rules are called that nobody has named."""

EXACT_DUPLICATE = "exact_duplicate"
"""Reason code of an image whose bytes another image has, which stands for them."""
NEAR_DUPLICATE = "near_duplicate"
"""Reason code of an image that looks like another one, which stands for both."""
MAX_PER_LABEL = "max_per_label"
"""Reason code of an image whose label had enough images before it."""

FILE_MISSING = "file_missing"
"""Reason code of an image whose file is not in the store any more."""
FILE_DAMAGED = "file_damaged"
"""Reason code of an image whose file has other bytes than those that were stored."""

SHAPES = ("landscape", "portrait", "square")
NEED_NO_CREDIT = ("cc0", "pdm", "publicdomain")
"""Licences under which nobody has to be named."""
MOST_DISTANCE = 64
"""Bits that near-duplicates may be asked to differ in: from about 90 on, pictures that have nothing in common do."""
LARGEST_FILE = 2**63 - 1
"""The same as LARGEST of the rules about bytes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One comparison: images break the rule when their `measure` is below (`min`) or above (`max`) the rule's value,
    is not the value (`is`), or is none of its values (`in`).

    least, most: numbers between which the measure of every image is.
    """

    rule: str
    measure: str
    bound: Literal["min", "max", "is", "in"]
    most: float = math.inf
    least: float = 0


LIMITS = (
    Limit("min_width", "width", "min"),
    Limit("max_width", "width", "max", least=1),
    Limit("min_height", "height", "min"),
    Limit("max_height", "height", "max", least=1),
    Limit("min_file_size", "file_size", "min"),
    Limit("max_file_size", "file_size", "max", least=1),
    Limit("min_aspect_ratio", "aspect_ratio", "min", LARGEST),
    Limit("max_aspect_ratio", "aspect_ratio", "max", LARGEST, least=1 / LARGEST),
    Limit("min_sharpness", "sharpness", "min", (4 * 255) ** 2),
    Limit("min_contrast", "contrast", "min", 0.5),
    Limit("min_brightness", "brightness", "min", 1),
    Limit("max_brightness", "brightness", "max", 1),
    Limit("min_entropy", "entropy", "min", 8),
    Limit("max_entropy", "entropy", "max", 8),
    Limit("max_uniformity", "uniformity", "max", 1, least=1 / 16),
    Limit("min_colour", "colour", "min", 470),
    Limit("max_border", "border", "max", 1),
    Limit("greyscale", "greyscale", "is"),
    Limit("animated", "animated", "is"),
    Limit("alpha", "alpha", "is"),
    Limit("orientation", "shape", "in"),
    Limit("formats", "format", "in"),
    Limit("licences", "licence", "in"),
    Limit("require_attribution", "attributed", "is"),
)

CODES: Mapping[str, tuple[str, ...]] = {limit.rule: (limit.rule,) for limit in LIMITS} | {
    "keep_duplicates": (EXACT_DUPLICATE,),
    "near_duplicate_distance": (NEAR_DUPLICATE,),
    "across_jobs": (EXACT_DUPLICATE, NEAR_DUPLICATE),
    "max_per_label": (MAX_PER_LABEL,),
    "verify_files": (FILE_MISSING, FILE_DAMAGED),
}
"""The reason codes of each rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A checked set of rules; None asks nothing.

    Widths and heights are pixels, file sizes bytes, aspect_ratio is width / height, brightness is 0..1, contrast
    0..0.5, entropy bits (0..8), sharpness the variance of the Laplacian, colour colourfulness, uniformity and border
    shares (see `Inspection`). `greyscale`, `animated` and `alpha` are what an image must or must not be, `orientation`
    some of SHAPES, `licences` codes with `unknown` among them. require_attribution wants the licence, the source page
    and, unless the licence does not ask for it, the creator to be known. Exact duplicates are refused unless
    keep_duplicates, near ones when their hashes differ in at most so many bits; with across_jobs also those of images
    of the project's earlier jobs. verify_files reads the stored files again and compares their hashes.
    """

    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    min_file_size: int | None = None
    max_file_size: int | None = None
    min_aspect_ratio: float | None = None
    max_aspect_ratio: float | None = None
    min_sharpness: float | None = None
    min_contrast: float | None = None
    min_brightness: float | None = None
    max_brightness: float | None = None
    min_entropy: float | None = None
    max_entropy: float | None = None
    max_uniformity: float | None = None
    min_colour: float | None = None
    max_border: float | None = None
    greyscale: bool | None = None
    animated: bool | None = None
    alpha: bool | None = None
    orientation: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    licences: tuple[str, ...] | None = None
    require_attribution: bool = False
    max_per_label: int | None = None
    near_duplicate_distance: int | None = None
    keep_duplicates: bool = False
    across_jobs: bool = False
    verify_files: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Rules from JSON or from the command line, where every value may be text.

        Under `preset` stands the name of one of PRESETS, whose rules hold where no other is given; None takes one away.
        Raises RuleError for an unknown rule, a value that is not of its kind, or rules that no image can satisfy.
        """
        known = {f.name: str(f.type) for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in (_preset(given.get("preset")) | {n: v for n, v in given.items() if n != "preset"}).items():
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f" Did you mean {close[0]}?" if close else f" The rules are: {', '.join(known)}."
                raise RuleError(f"There is no rule {name!r}.{hint}", name)
            if value is not None:
                parse = _LISTS.get(name) or _PARSERS[known[name].partition(" |")[0]]
                values[name] = parse(name, value)
        rules = cls(**values)
        rules._check()
        return rules

    def _check(self) -> None:
        """Raises RuleError for bounds that lie beyond what images measure, and for rules that no image can keep."""
        for limit in LIMITS:
            value = getattr(self, limit.rule)
            if value is None or limit.bound not in {"min", "max"}:
                continue
            if value > limit.most:
                what = "leaves no image" if limit.bound == "min" else "refuses nothing"
                raise RuleError(f"{limit.rule}={value} {what}: {limit.measure} is at most {limit.most}.", limit.rule)
            if limit.bound == "max" and value < limit.least:
                why = f"{limit.measure} is at least {limit.least}."
                raise RuleError(f"{limit.rule}={value} leaves no image: {why}", limit.rule)
        if self.max_per_label == 0:
            raise RuleError("max_per_label=0 leaves no image.", "max_per_label")
        if self.near_duplicate_distance is not None and self.near_duplicate_distance > MOST_DISTANCE:
            raise RuleError(
                f"near_duplicate_distance is at most {MOST_DISTANCE} bits of 256: beyond, it tells nothing.",
                "near_duplicate_distance",
            )
        if self.keep_duplicates:
            for rule in ("across_jobs", "near_duplicate_distance"):
                if getattr(self, rule) != _DEFAULTS[rule]:
                    raise RuleError(f"keep_duplicates keeps the copies that {rule} refuses: drop one of them.", rule)
        for rules, why in contradictions(self):
            *before, last = (_said(name, getattr(self, name)) for name in rules)
            raise RuleError(f"{', '.join(before)} and {last} leave no image: {why}.", rules[-1])

    def as_dict(self) -> dict[str, Any]:
        """The rules that ask something, JSON-able; `Rules.parse` of it gives an equal value."""
        asked = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        return {name: list(asked[name]) if name in _LISTS else asked[name] for name in asked}

    def broken_by(self, image: Inspection, of: Candidate | None = None) -> list[str]:
        """Reason codes of the rules that one image breaks; rules about a whole set are not judged here.

        Without its candidate, nothing is known of where the image comes from.
        """
        measures = _measures(image, of)
        return [limit.rule for limit in LIMITS if self._breaks(limit, measures[limit.measure])]

    def _breaks(self, limit: Limit, measure: Any) -> bool:
        if not self.asks(limit):
            return False
        value: Any = getattr(self, limit.rule)
        match limit.bound:
            case "min":
                return measure < value
            case "max":
                return measure > value
            case "is":
                return measure is not value
            case "in":
                return measure not in value

    def asks(self, limit: Limit) -> bool:
        """Whether these rules compare this at all."""
        return getattr(self, limit.rule) != _DEFAULTS[limit.rule]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules and what they are called."""

    name: str
    rules: Rules
    version: int = VERSION

    @classmethod
    def parse(cls, given: Mapping[str, Any], name: str | None = None) -> Self:
        """Rules as `Rules.parse` takes them. Without a name of their own they have that of the preset whose rules they
        are, or CUSTOM. Raises RuleError, also for other rules under a preset's name."""
        rules = Rules.parse(given)
        preset = next((each for each in PRESETS if Rules.parse({"preset": each}) == rules), None)
        if name in PRESETS and name != preset:
            raise RuleError(f"{name} is the name of a preset, and these are not its rules: give them another name.")
        return cls(name or preset or CUSTOM, rules)

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of the rules as canonical JSON with the version of their schema: equal for equal rules."""
        canonical = {"rules": self.rules.as_dict(), "version": self.version}
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _preset(name: object) -> dict[str, Any]:
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        raise RuleError(f"There is no preset {name!r}. The presets are: {', '.join(PRESETS)}.", "preset")
    return dict(PRESETS[name])


_DEFAULTS = {f.name: f.default for f in fields(Rules)}


def _said(rule: str, value: object) -> str:
    """As one would type it."""
    if isinstance(value, tuple):
        return f"{rule}={','.join(cast('tuple[str, ...]', value))}"
    return f"{rule}={str(value).lower() if isinstance(value, bool) else value}"


def _measures(image: Inspection, of: Candidate | None) -> dict[str, Any]:
    licence = of.licence.code if of and of.licence else UNKNOWN
    return {
        "width": image.width,
        "height": image.height,
        "file_size": image.file_size,
        "aspect_ratio": image.width / image.height,
        "sharpness": image.sharpness,
        "contrast": image.contrast,
        "brightness": image.brightness,
        "entropy": image.entropy,
        "uniformity": image.uniformity,
        "colour": image.colour,
        "border": image.border,
        "greyscale": image.colour < GREYSCALE,
        "animated": image.animated,
        "alpha": image.alpha,
        "shape": shape(image.width, image.height, image.orientation),
        "format": image.format,
        "licence": licence,
        "attributed": _attributed(of),
    }


def shape(width: int, height: int, orientation: int) -> str:
    """One of SHAPES, of a picture turned upright; square when its sides differ by less than a twentieth."""
    if 20 * min(width, height) > 19 * max(width, height):
        return "square"
    return "landscape" if (width > height) is (orientation < 5) else "portrait"


def _attributed(of: Candidate | None) -> bool:
    if of is None or of.licence is None or not of.page_url:
        return False
    return bool(of.creator) or of.licence.code in NEED_NO_CREDIT


# -------------------------------------------------------------------------------------------------------------- values


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise RuleError(f"The rule {name} wants a number from 0 up, not {value!r}.", name)
    return number


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if number != int(number):
        raise RuleError(f"The rule {name} wants a whole number, not {value!r}.", name)
    exact = isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal())
    whole = int(cast("int | str", value)) if exact else int(number)  # a float counts by ones only up to 2**53
    most = LARGEST_FILE if name.endswith("_file_size") else LARGEST
    if whole > most:
        raise RuleError(f"The rule {name} wants a whole number up to {most}, not {value!r}.", name)
    return whole


def _truth(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "yes", "1", "false", "no", "0"}:
        return value.lower() in {"true", "yes", "1"}
    raise RuleError(f"The rule {name} wants true or false, not {value!r}.", name)


def _words(name: str, value: object, known: Sequence[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise RuleError(f"The rule {name} wants a list, not {value!r}.", name)
    words = sorted({str(part).strip().lower() for part in cast("Sequence[object]", parts)})
    if not words or not set(words) <= set(known):
        raise RuleError(f"The rule {name} wants some of {', '.join(known)}, not {value!r}.", name)
    return tuple(words)


def _formats(name: str, value: object) -> tuple[str, ...]:
    formats = _words(name, value, (*EXTENSIONS, "jpg"))
    return tuple(sorted({"jpeg" if each == "jpg" else each for each in formats}))


def _licences(name: str, value: object) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise RuleError(f"The rule {name} wants a list, not {value!r}.", name)
    try:
        return tuple(sorted(parse_licences([str(word) for word in cast("Sequence[object]", words)])))
    except SourceError as error:
        raise RuleError(f"The rule {name}: {error}", name) from error


_PARSERS: dict[str, Callable[[str, object], Any]] = {"int": _whole, "float": _number, "bool": _truth}
_LISTS: dict[str, Callable[[str, object], tuple[str, ...]]] = {
    "formats": _formats,
    "licences": _licences,
    "orientation": lambda name, value: _words(name, value, SHAPES),
}
