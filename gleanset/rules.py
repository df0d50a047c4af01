"""Validation rules: what an image must measure to be valid.

A rule's name is also the reason code of an image that breaks it, so a person reads at once which rule to change. The
table `LIMITS` is the only place that says what a rule compares: this module judges single images by it, the service
turns the same table into SQL for a whole job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, Self, cast

from gleanset.errors import RuleError
from gleanset.store import EXTENSIONS
from gleanset.types import Inspection

EXACT_DUPLICATE = "exact_duplicate"
"""Reason code of an image whose bytes another image of the job has already."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound: images whose `measure` is below (`min`) or above (`max`) the rule's value break it."""

    rule: str
    measure: str
    bound: Literal["min", "max"]


LIMITS = (
    Limit("min_width", "width", "min"),
    Limit("max_width", "width", "max"),
    Limit("min_height", "height", "min"),
    Limit("max_height", "height", "max"),
    Limit("min_file_size", "file_size", "min"),
    Limit("max_file_size", "file_size", "max"),
    Limit("min_aspect_ratio", "aspect_ratio", "min"),
    Limit("max_aspect_ratio", "aspect_ratio", "max"),
    Limit("min_sharpness", "sharpness", "min"),
    Limit("min_contrast", "contrast", "min"),
    Limit("min_brightness", "brightness", "min"),
    Limit("max_brightness", "brightness", "max"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A checked set of rules; None asks nothing.

    Widths and heights are pixels, file sizes bytes, aspect_ratio is width / height, brightness is 0..1, contrast
    0..0.5, sharpness the variance of the Laplacian (see `Inspection`). Exact duplicates are refused unless
    keep_duplicates.
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
    formats: tuple[str, ...] | None = None
    keep_duplicates: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Rules from JSON or from the command line, where every value may be text.

        Raises RuleError for an unknown rule, a value that is not of its kind, or rules that no image can satisfy.
        """
        known = {f.name: str(f.type) for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f" Did you mean {close[0]}?" if close else f" The rules are: {', '.join(known)}."
                raise RuleError(f"There is no rule {name!r}.{hint}")
            if value is not None:
                values[name] = _PARSERS[known[name].partition(" |")[0]](name, value)
        rules = cls(**values)
        rules._check_not_contradictory()
        return rules

    def _check_not_contradictory(self) -> None:
        for limit in LIMITS:
            if limit.bound == "min":
                least: float | None = getattr(self, limit.rule)
                most: float | None = getattr(self, limit.rule.replace("min_", "max_"), None)
                if least is not None and most is not None and least > most:
                    raise RuleError(f"{limit.rule}={least} and max_{limit.measure}={most} leave no image.")

    def as_dict(self) -> dict[str, Any]:
        """The rules that ask something, JSON-able; `Rules.parse` of it gives an equal value."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        asked = {name: value for name, value in given.items() if value is not None and value is not False}
        return asked | ({"formats": list(self.formats)} if self.formats else {})

    def broken_by(self, image: Inspection) -> list[str]:
        """Reason codes of the rules that one image breaks; duplicates need the whole job and are not judged here."""
        measures = {
            "width": image.width,
            "height": image.height,
            "file_size": image.file_size,
            "aspect_ratio": image.width / image.height,
            "sharpness": image.sharpness,
            "contrast": image.contrast,
            "brightness": image.brightness,
        }
        broken = [limit.rule for limit in LIMITS if self._breaks(limit, measures[limit.measure])]
        if self.formats is not None and image.format not in self.formats:
            broken.append("formats")
        return broken

    def _breaks(self, limit: Limit, measure: float) -> bool:
        value: float | None = getattr(self, limit.rule)
        if value is None:
            return False
        return measure < value if limit.bound == "min" else measure > value


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise RuleError(f"The rule {name} wants a number from 0 up, not {value!r}.")
    return number


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if number != int(number):
        raise RuleError(f"The rule {name} wants a whole number, not {value!r}.")
    return int(number)


def _truth(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "yes", "1", "false", "no", "0"}:
        return value.lower() in {"true", "yes", "1"}
    raise RuleError(f"The rule {name} wants true or false, not {value!r}.")


def _formats(name: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise RuleError(f"The rule {name} wants a list of formats, not {value!r}.")
    names = tuple(str(part).strip().lower().replace("jpg", "jpeg") for part in cast("Sequence[object]", parts))
    unknown = [n for n in names if n not in EXTENSIONS]
    if unknown or not names:
        raise RuleError(f"The rule {name} wants some of {', '.join(EXTENSIONS)}, not {value!r}.")
    return names


_PARSERS = {"int": _whole, "float": _number, "bool": _truth, "tuple[str, ...]": _formats}
