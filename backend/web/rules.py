"""The rules of a validation as fields of a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gleanset.errors import RuleError
from gleanset.rules import Rules
from gleanset.store import EXTENSIONS

PREFIX = "rule_"
FORMATS = tuple(EXTENSIONS)


@dataclass(frozen=True, slots=True)
class RuleField:
    """A rule of one number. `broken` says what an image is that breaks it."""

    name: str
    label: str
    unit: str
    step: str
    broken: str


FIELDS = (
    RuleField("min_width", "Width at least", "pixels", "1", "It is narrower than asked for."),
    RuleField("max_width", "Width at most", "pixels", "1", "It is wider than asked for."),
    RuleField("min_height", "Height at least", "pixels", "1", "It is lower than asked for."),
    RuleField("max_height", "Height at most", "pixels", "1", "It is higher than asked for."),
    RuleField("min_file_size", "File at least", "bytes", "1", "Its file is smaller than asked for."),
    RuleField("max_file_size", "File at most", "bytes", "1", "Its file is larger than asked for."),
    RuleField("min_aspect_ratio", "Aspect at least", "width / height", "any", "It is more upright than asked for."),
    RuleField("max_aspect_ratio", "Aspect at most", "width / height", "any", "It is more oblong than asked for."),
    RuleField("min_sharpness", "Sharpness at least", "blurred below about 100", "any", "It is blurred."),
    RuleField("min_contrast", "Contrast at least", "0 to 0.5", "any", "It is flatter than asked for."),
    RuleField("min_brightness", "Brightness at least", "0 to 1", "any", "It is darker than asked for."),
    RuleField("max_brightness", "Brightness at most", "0 to 1", "any", "It is brighter than asked for."),
)


def rules_of(given: Mapping[str, str], formats: list[str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The rules that the form's fields ask for, or a sentence beside each field that is wrong."""
    asked: dict[str, Any] = {
        field.name: text for field in FIELDS if (text := given.get(PREFIX + field.name, "").strip())
    }
    if formats and set(formats) != set(FORMATS):
        asked["formats"] = formats
    if given.get(PREFIX + "keep_duplicates"):
        asked["keep_duplicates"] = True
    errors: dict[str, str] = {}
    for name, value in asked.items():
        try:
            Rules.parse({name: value})
        except RuleError as error:
            errors[PREFIX + name] = str(error)
    if errors:
        return None, errors
    try:
        return Rules.parse(asked).as_dict(), {}
    except RuleError as error:  # two rules that contradict each other
        return None, {PREFIX + next(iter(asked)): str(error)}


def values_of(rules: Mapping[str, Any]) -> dict[str, str]:
    """The form's fields for these rules."""
    return {
        PREFIX + name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in rules.items()
        if isinstance(value, int | float)
    }
