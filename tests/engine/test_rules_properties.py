"""Rules, by properties: whatever rules and pictures there are."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import combinations, product
from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gleanset.contradictions import ALPHA, ANIMATED
from gleanset.errors import RuleError
from gleanset.inspect import inspect
from gleanset.rules import (
    LARGEST,
    MOST_DISTANCE,
    SHAPES,
    Rules,
    shape,
)
from gleanset.sources.licence import parse_licences
from gleanset.store import EXTENSIONS
from gleanset.types import Inspection, Licence
from tests.engine.test_rules import BOUNDED, BOUNDS, CANDIDATE, IMAGE, MEASURES


def numbers(most: float) -> st.SearchStrategy[float]:
    return st.floats(0, min(most, 1e12), allow_nan=False) | st.integers(0, int(min(most, 2**53)))


whole = st.integers(0, LARGEST)
formats = st.lists(st.sampled_from(sorted(EXTENSIONS)), min_size=1, unique=True)
INTS = ("width", "height", "file_size")
some_rules = st.fixed_dictionaries(
    {},
    optional={limit.rule: whole if limit.measure in INTS else numbers(limit.most) for limit in BOUNDED}
    | {
        "formats": formats,
        "orientation": st.lists(st.sampled_from(SHAPES), min_size=1),
        "licences": st.lists(st.sampled_from(sorted(parse_licences(["open", "unknown"]))), min_size=1),
        "animated": st.booleans(),
        "alpha": st.booleans(),
        "greyscale": st.booleans(),
        "require_attribution": st.booleans(),
        "verify_files": st.booleans(),
        "max_per_label": st.integers(1, 10**6),
        "near_duplicate_distance": st.integers(0, MOST_DISTANCE),
    },
)


OTHERS = {"orientation", "licences", "animated", "alpha", "greyscale", "require_attribution"}


def parsed(given_rules: dict[str, Any]) -> Rules | None:
    """None for those that contradict each other."""
    try:
        return Rules.parse(given_rules)
    except RuleError as error:
        assert "no image" in str(error)  # noqa: PT017 - others must not be refused
        return None


@st.composite
def images(draw: st.DrawFn) -> Inspection:
    """Such as there are: no JPEG moves, and what has one tone has no contrast."""
    format_ = draw(st.sampled_from(sorted(EXTENSIONS)))
    flat = draw(st.booleans())
    return replace(
        IMAGE,
        width=draw(st.integers(1, 1000)),
        height=draw(st.integers(1, 1000)),
        format=format_,
        animated=format_ in ANIMATED and draw(st.booleans()),
        alpha=format_ in ALPHA and draw(st.booleans()),
        entropy=0.0 if flat else draw(st.floats(0.01, 8)),
        contrast=0.0 if flat else draw(st.floats(0.01, 0.5)),
        colour=draw(st.floats(0, 10)),
    )


@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=4),
    st.sampled_from([None, *(c for n in (1, 2) for c in combinations(SHAPES, n))]),
    st.sampled_from([None, 0.5, 0.95, 1, 2.0]),
    st.sampled_from([None, 0.5, 1, 20 / 19, 2.0]),
    st.sampled_from([None, ("gif",), ("bmp", "jpeg")]),
)
def test_sizes_that_no_picture_has(
    sides: list[int],
    orientation: tuple[str, ...] | None,
    least: float | None,
    most: float | None,
    formats: tuple[str, ...] | None,
) -> None:
    bounds = dict(zip(("min_width", "max_width", "min_height", "max_height"), sides, strict=True))
    given_rules = bounds | {
        "min_aspect_ratio": least, "max_aspect_ratio": most, "orientation": orientation, "formats": formats
    }  # fmt: skip
    if parsed(given_rules) is not None:
        return
    rules = Rules(**given_rules)
    turned = (1,) if formats == ("gif",) else (1, 6)
    for width, height, turn in product(range(1, 14), range(1, 14), turned):
        image = replace(IMAGE, width=width, height=height, orientation=turn, format=(formats or ("jpeg",))[0])
        assert rules.broken_by(image)


@st.composite
def luma(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Near black and white above all, and such that every other row is another: what the measures sample."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 60))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = draw(st.sampled_from([(0, 0), (0, 1), (0, 15), (0, 255), (100, 120), (250, 255)]))
    pixels = chance.integers(low, high + 1, (height, width), np.uint8)
    if draw(st.booleans()):
        dots = chance.random((height, width)) < draw(st.sampled_from([0.001, 0.02, 0.5]))
        pixels[dots] = draw(st.sampled_from([0, 16, 255]))
    if draw(st.booleans()):
        pixels[draw(st.sampled_from([0, 1])) :: 2] = draw(st.sampled_from([0, 255]))
    return 255 - pixels if draw(st.booleans()) else pixels


@settings(deadline=None)
@given(luma())
def test_rules_that_a_picture_keeps_are_not_called_contradictory(pixels: NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    image = inspect(encoded)
    image = replace(image, brightness=min(1, image.brightness))  # rounding may lead past white
    own = {limit.rule: getattr(image, limit.measure) for limit in BOUNDED if limit.measure != "aspect_ratio"}
    own |= {"min_aspect_ratio": image.width / image.height, "max_aspect_ratio": image.width / image.height}
    own |= {"orientation": shape(image.width, image.height, image.orientation), "formats": "png", "greyscale": True}
    stripes = image.entropy == 0 and image.contrast > 0  # the one case that is refused although it can be made
    rules = Rules.parse({name: value for name, value in own.items() if not (stripes and name == "max_entropy")})
    assert rules.broken_by(image) == []


few = st.integers(1, 1000)
close = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("min_width", "max_width", "min_height", "max_height"), few)
    | {name: st.floats(0.1, 10) for name in ("min_aspect_ratio", "max_aspect_ratio", "min_colour")}
    | {"formats": formats, "animated": st.booleans(), "alpha": st.booleans(), "greyscale": st.booleans()}
    | {"max_entropy": st.sampled_from([0, 4]), "min_contrast": st.sampled_from([0, 0.1])}
    | {"require_attribution": st.booleans(), "licences": st.sampled_from([["unknown"], ["by"], ["by", "unknown"]])},
)


@settings(deadline=None)
@given(close, images(), st.sampled_from([None, Licence("by"), Licence("cc0")]))
def test_no_image_keeps_rules_that_are_called_contradictory(
    given_rules: dict[str, Any], image: Inspection, licence: Licence | None
) -> None:
    if parsed(given_rules) is None:
        each = {name: getattr(Rules.parse({name: value}), name) for name, value in given_rules.items()}
        assert Rules(**each).broken_by(image, replace(CANDIDATE, licence=licence))


@settings(deadline=None)
@given(some_rules)
def test_rules_round_trip_through_json_and_through_text(given_rules: dict[str, Any]) -> None:
    rules = parsed(given_rules)
    if rules is None:
        return
    assert Rules.parse(json.loads(json.dumps(rules.as_dict()))) == rules
    text = {name: ",".join(v) if isinstance(v, list) else str(v) for name, v in rules.as_dict().items()}
    assert Rules.parse(text) == rules


@settings(deadline=None)
@given(some_rules, st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 10**8), st.floats(0, 1))
def test_an_image_breaks_what_a_plain_comparison_says(
    given_rules: dict[str, Any], width: int, height: int, size: int, brightness: float
) -> None:
    rules = parsed(given_rules)
    if rules is None:
        return
    image = replace(IMAGE, width=width, height=height, file_size=size, brightness=brightness)
    measures = BOUNDS | {
        "width": width, "height": height, "file_size": size, "brightness": brightness, "aspect_ratio": width / height
    }  # fmt: skip
    given_rules = {name: value for name, value in given_rules.items() if name not in OTHERS}
    rules = Rules.parse(given_rules)
    broken = {f"min_{m}" for m in MEASURES if f"min_{m}" in given_rules and measures[m] < given_rules[f"min_{m}"]}
    broken |= {f"max_{m}" for m in MEASURES if f"max_{m}" in given_rules and measures[m] > given_rules[f"max_{m}"]}
    broken |= {"formats"} if "jpeg" not in given_rules.get("formats", ["jpeg"]) else set()
    assert set(rules.broken_by(image)) == broken


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([field.name for field in fields(Rules)]) | st.text(max_size=15), anything))
def test_any_json_gives_rules_or_a_rule_error(given_rules: dict[str, Any]) -> None:
    try:
        rules = Rules.parse(given_rules)
    except RuleError:
        return
    assert Rules.parse(rules.as_dict()) == rules
