"""The rules of a validation as fields of a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request

from backend.web.forms import chosen_of, fields_of
from gleanset.errors import RuleError
from gleanset.rules import CODES, SHAPES, Rules
from gleanset.store import EXTENSIONS

PREFIX = "rule_"


@dataclass(frozen=True, slots=True)
class RuleField:
    """A rule, and `broken`: what an image is that breaks it.

    kind: `number`; `choice` of the values in `options`; `boxes`, one for each of the options; `box`, one alone; `text`.
    """

    name: str
    label: str
    unit: str
    kind: str
    broken: str
    options: Sequence[tuple[str, str]] = ()

    @property
    def step(self) -> str:
        """Of a number: whole ones are counted."""
        return "1" if "int" in str(Rules.__dataclass_fields__[self.name].type) else "any"

    @property
    def codes(self) -> Sequence[str]:
        """The reasons of images that break it, but for those of a rule before it."""
        return [
            code for code in CODES[self.name] if self.name == next(n for n, codes in CODES.items() if code in codes)
        ]


def _either(yes: str, no: str) -> tuple[tuple[str, str], ...]:
    return ("", "No matter"), ("true", yes), ("false", no)


FIELDS = (
    RuleField("min_width", "Width at least", "pixels", "number", "It is narrower than asked for."),
    RuleField("max_width", "Width at most", "pixels", "number", "It is wider than asked for."),
    RuleField("min_height", "Height at least", "pixels", "number", "It is lower than asked for."),
    RuleField("max_height", "Height at most", "pixels", "number", "It is higher than asked for."),
    RuleField("min_file_size", "File at least", "bytes", "number", "Its file is smaller than asked for."),
    RuleField("max_file_size", "File at most", "bytes", "number", "Its file is larger than asked for."),
    RuleField("min_aspect_ratio", "Aspect at least", "width / height", "number", "It is more upright than asked for."),
    RuleField("max_aspect_ratio", "Aspect at most", "width / height", "number", "It is more oblong than asked for."),
    RuleField("min_sharpness", "Sharpness at least", "blurred below about 100", "number", "It is blurred."),
    RuleField("min_contrast", "Contrast at least", "0 to 0.5", "number", "It is flatter than asked for."),
    RuleField("min_brightness", "Brightness at least", "0 to 1", "number", "It is darker than asked for."),
    RuleField("max_brightness", "Brightness at most", "0 to 1", "number", "It is brighter than asked for."),
    RuleField("min_entropy", "Entropy at least", "bits, 0 to 8", "number", "It shows less than asked for."),
    RuleField("max_entropy", "Entropy at most", "bits, 0 to 8", "number", "It shows more than asked for."),
    RuleField("max_uniformity", "One tone at most", "share, 0 to 1", "number", "It is nearly of one tone."),
    RuleField("min_colour", "Colour at least", "grey 0, vivid 60", "number", "It is paler than asked for."),
    RuleField("max_border", "Bars at the sides at most", "share, 0 to 1", "number", "Bars of one tone frame it."),
    RuleField(
        "max_per_label", "Images of a label at most", "the first ones", "number", "Its label had enough before it."
    ),
    RuleField(
        "near_duplicate_distance",
        "Near-duplicates differ by at most",
        "bits of 256; 31 is usual",
        "number",
        "It looks like a better image of the job, or like one of an earlier job.",
    ),
    RuleField("greyscale", "Colour", "", "choice", "It is grey, or is not.", _either("Greyscale only", "No greyscale")),
    RuleField(
        "alpha",
        "Transparency",
        "",
        "choice",
        "It has transparent parts, or has none.",
        _either("Only with transparent parts", "None with transparent parts"),
    ),
    RuleField(
        "animated", "Animation", "", "choice", "It moves, or does not.", _either("Animated only", "None animated")
    ),
    RuleField(
        "licences",
        "Licences",
        "codes with commas: cc0, by, open ... and unknown",
        "text",
        "Its licence is none of those asked for.",
    ),
    RuleField(
        "orientation", "Orientation", "", "boxes", "It is held another way than asked for.", [(s, s) for s in SHAPES]
    ),
    RuleField(
        "formats",
        "Formats",
        "",
        "boxes",
        "Its content has none of the formats asked for.",
        [(f, f) for f in EXTENSIONS],
    ),
    RuleField(
        "require_attribution",
        "Only what can be credited: licence, source page and creator are known",
        "",
        "box",
        "Its licence, its source page or its creator is not known.",
    ),
    RuleField(
        "keep_duplicates",
        "Keep exact duplicates",
        "",
        "box",
        "Its bytes are those of another image, which stands for them.",
    ),
    RuleField(
        "across_jobs",
        "Also refuse copies of what earlier jobs of the project have",
        "",
        "box",
        "An earlier job of the project has it, or what looks like it.",
    ),
    RuleField(
        "verify_files",
        "Read the files again and compare their hashes",
        "",
        "box",
        "Its file is gone, or has other bytes than those that were stored.",
    ),
)


_SHOWN = ("min_width", "min_height", "min_sharpness", "max_per_label", "near_duplicate_distance", "keep_duplicates")
_FOLDED = {
    "Sizes and shapes": (
        "max_width", "max_height", "min_file_size", "max_file_size", "min_aspect_ratio", "max_aspect_ratio",
        "orientation",
    ),
    "Light, colour and content": (
        "min_contrast", "min_brightness", "max_brightness", "min_entropy", "max_entropy", "min_colour",
        "max_uniformity", "max_border", "greyscale", "alpha", "animated",
    ),
    "Formats, licences and files": ("formats", "licences", "require_attribution", "across_jobs", "verify_files"),
}  # fmt: skip


def _fields(names: Sequence[str]) -> Sequence[RuleField]:
    named = {field.name: field for field in FIELDS}
    return [named[name] for name in names]


GROUPS = (("", _fields(_SHOWN)), *((title, _fields(names)) for title, names in _FOLDED.items()))
"""All fields as a form shows them: what most people set, and the rest by what it is about, folded while none is set."""


async def values_in(request: Request) -> dict[str, str]:
    """The fields of the form; of boxes those that are ticked, with commas."""
    given = await fields_of(request)
    for field in FIELDS:
        if field.kind == "boxes" and (chosen := await chosen_of(request, PREFIX + field.name)):
            given[PREFIX + field.name] = ",".join(chosen)
    return given


def rules_of(given: Mapping[str, str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The rules that the form's fields ask for, or a sentence beside each field that is wrong."""
    asked = {"preset": given[PREFIX + "preset"]} if given.get(PREFIX + "preset") else {}
    asked |= {field.name: text for field in FIELDS if (text := given.get(PREFIX + field.name, "").strip())}
    for field in FIELDS:  # all of them is no rule
        if field.kind == "boxes" and set(asked.get(field.name, "").split(",")) == {value for value, _ in field.options}:
            del asked[field.name]
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
        return None, {PREFIX + next((name for name in asked if name in str(error)), "preset"): str(error)}


def told(rules: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rules in words."""
    return [(name, _text(value)) for name, value in rules.items()]


def values_of(rules: Mapping[str, Any]) -> dict[str, str]:
    """The form's fields for these rules."""
    return {PREFIX + name: _text(value) for name, value in rules.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, cast("Sequence[object]", value)))
    return f"{value:g}" if isinstance(value, float) else str(value)
