"""Rules: what is refused when they are read, and how they judge."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest

from gleanset.errors import RuleError
from gleanset.presets import PRESETS
from gleanset.rules import (
    CODES,
    GREYSCALE,
    LARGEST,
    LARGEST_FILE,
    LIMITS,
    MOST_DISTANCE,
    Rules,
    RuleSet,
    shape,
)
from gleanset.types import Candidate, Inspection, Licence

IMAGE = Inspection(
    format="jpeg",
    width=640,
    height=480,
    file_size=50_000,
    sha256="ab" * 32,
    pdq=bytes(32),
    pdq_quality=100,
    brightness=0.5,
    contrast=0.2,
    sharpness=300.0,
    entropy=7.0,
    uniformity=0.2,
    colour=40.0,
    border=0.1,
    orientation=1,
    animated=False,
    alpha=False,
)
ASPECT = 640 / 480
BOUNDED = [limit for limit in LIMITS if limit.bound in ("min", "max")]
MEASURES = {limit.measure for limit in BOUNDED}
MOST = {limit.measure: limit.most for limit in BOUNDED}


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [("min_widht", "min_width"), ("minwidth", "min_width"), ("max_hight", "max_height"), ("format", "formats")],
)
def test_a_misspelt_rule_gets_a_suggestion(given_name: str, meant: str) -> None:
    with pytest.raises(RuleError, match=f"Did you mean {meant}\\?"):
        Rules.parse({given_name: 1})


def test_a_rule_out_of_nowhere_gets_the_list() -> None:
    with pytest.raises(RuleError) as caught:
        Rules.parse({"xyzzy": 1})
    assert all(field.name in str(caught.value) for field in fields(Rules))


NUMBERS = ["min_width", "max_file_size", "min_aspect_ratio", "min_sharpness", "max_brightness"]
NOT_NUMBERS = [
    "NaN", math.nan, "inf", math.inf, -math.inf, -1, "-1", -0.001, True, False, "", " ", "many", "1,5", "0x10", [], [1],
    {}, {"a": 1}, b"1", 10**400, "9" * 400, "1e999",
]  # fmt: skip


@pytest.mark.parametrize("rule", NUMBERS)
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: str(value)[:12])
def test_what_is_not_a_number(rule: str, value: Any) -> None:
    with pytest.raises(RuleError, match=f"The rule {rule} wants a number from 0 up"):
        Rules.parse({rule: value})


@pytest.mark.parametrize("rule", ["min_width", "max_height", "min_file_size"])
def test_pixels_and_bytes_are_whole(rule: str) -> None:
    for value in (1.5, "1.5", "1e-3"):
        with pytest.raises(RuleError, match="whole number"):
            Rules.parse({rule: value})
    for value in (256, 256.0, "256", " 256 ", "256.0", "2.56e2"):
        number = getattr(Rules.parse({rule: value}), rule)
        assert (number, type(number)) == (256, int)


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        *((rule, LARGEST) for rule in ("min_width", "max_width", "min_height", "max_height", "max_per_label")),
        *((rule, LARGEST_FILE) for rule in ("min_file_size", "max_file_size")),
    ],
)
def test_whole_numbers_are_no_larger_than_a_database_counts(rule: str, most: int) -> None:
    for value in (most, str(most)):
        assert getattr(Rules.parse({rule: value}), rule) == most
    for value in (most + 1, str(most + 1), float(most + 1), 2**70, "1e30", 1e308):
        with pytest.raises(RuleError, match=f"The rule {rule} wants a whole number up to {most}, not") as caught:
            Rules.parse({rule: value})
        assert caught.value.rule == rule


@pytest.mark.parametrize("value", ["perhaps", "", 1, 0, 2.0, [], {}])
def test_what_is_neither_true_nor_false(value: Any) -> None:
    with pytest.raises(RuleError, match="wants true or false"):
        Rules.parse({"keep_duplicates": value})


@pytest.mark.parametrize("value", [True, "true", "YES", "1"])
def test_true(value: Any) -> None:
    assert Rules.parse({"keep_duplicates": value}).keep_duplicates is True


@pytest.mark.parametrize("value", [False, "false", "No", "0", None])
def test_false(value: Any) -> None:
    assert Rules.parse({"keep_duplicates": value}) == Rules()


@pytest.mark.parametrize(
    "value", ["tga", "", ",", "jpeg,", "jpeg;png", [], (), [""], [None], ["jpeg", 3], 7, {"jpeg": 1}]
)
def test_formats_that_do_not_exist(value: Any) -> None:
    with pytest.raises(RuleError, match="The rule formats wants"):
        Rules.parse({"formats": value})


@pytest.mark.parametrize("value", ["jpeg,png", "JPG, PNG", ["jpeg", "png"], ("jpg", " png ")])
def test_formats(value: Any) -> None:
    assert Rules.parse({"formats": value}).formats == ("jpeg", "png")


@pytest.mark.parametrize("measure", ["width", "height", "file_size", "aspect_ratio", "brightness", "entropy"])
def test_bounds_that_leave_no_image(measure: str) -> None:
    low, high = (0.5, 1) if measure in {"aspect_ratio", "brightness"} else (1, 2)
    with pytest.raises(RuleError, match=rf"min_{measure}={high}\S* and max_{measure}={low}\S* leave no image"):
        Rules.parse({f"min_{measure}": high, f"max_{measure}": low})
    assert Rules.parse({f"min_{measure}": low, f"max_{measure}": low}) is not None


@pytest.mark.parametrize(
    ("given_rules", "sentence"),
    [
        ({"formats": "jpeg", "alpha": True}, "formats=jpeg and alpha=true leave no image"),
        ({"formats": "bmp,jpeg", "animated": True}, "formats=bmp,jpeg and animated=true leave no image"),
        ({"formats": "tiff", "animated": True, "alpha": True}, "leave no image"),
        ({"require_attribution": True, "licences": "unknown"}, "leave no image"),
        ({"min_width": 1000, "max_height": 100, "max_aspect_ratio": 2}, "max_height=100 and max_aspect_ratio=2.0"),
        ({"max_width": 100, "min_height": 1000, "min_aspect_ratio": 0.5}, "leave no image"),
        ({"min_contrast": 0.4, "max_entropy": 0}, "leave no image"),
        ({"max_width": 0}, "max_width=0 leaves no image: width is at least 1"),
        ({"max_height": 0}, "leaves no image"),
        ({"max_file_size": 0}, "leaves no image"),
        ({"max_aspect_ratio": 0}, "leaves no image"),
        ({"max_aspect_ratio": 1e-12}, "leaves no image: aspect_ratio is at least"),
        ({"min_aspect_ratio": 1e12}, "aspect_ratio is at most 2147483647"),
        ({"max_uniformity": 0.05}, "uniformity is at least 0.0625"),
        ({"min_sharpness": 2e6}, "sharpness is at most 1040400"),
        ({"min_colour": 500}, "colour is at most 470"),
        (
            {"orientation": "square", "min_aspect_ratio": 2, "min_width": 300},
            "min_aspect_ratio=2.0 and orientation=square leave no image: square is what has sides that differ by less"
            " than a twentieth.",
        ),
        (
            {"orientation": "square", "min_width": 500, "max_height": 100, "max_width": 900},
            "min_width=500, max_height=100 and orientation=square leave no image",
        ),
        ({"orientation": "square", "max_aspect_ratio": 0.95}, "leave no image"),
        (
            {"orientation": "landscape", "min_aspect_ratio": 0.96, "max_aspect_ratio": 1.04},
            "orientation=landscape leave",
        ),
        (
            {"orientation": "portrait,landscape", "min_width": 97, "max_width": 99, "min_height": 97, "max_height": 99},
            "max_width=99, min_height=97, max_height=99 and orientation=landscape,portrait leave no image",
        ),
        (
            {"orientation": "landscape", "formats": "gif,bmp", "max_aspect_ratio": 0.5},
            "orientation=landscape and formats=bmp,gif leave no image: .*, and these formats are never turned.",
        ),
        (
            {"min_contrast": 0.4, "max_brightness": 0.1},
            "max_brightness=0.1 leave no image: at a brightness of 0.1 the contrast is at most 0.3.",
        ),
        (
            {"min_contrast": 0.4, "min_brightness": 0.9, "max_brightness": 0.95},
            "min_contrast=0.4 and min_brightness=0.9",
        ),
        ({"min_contrast": 0.01, "max_brightness": 0}, "contrast is at most 0"),
        ({"min_entropy": 5, "max_brightness": 0.001}, "at a brightness of 0.001 the entropy is at most 1.39"),
        ({"min_entropy": 0.1, "min_brightness": 1}, "the entropy is at most 0"),
        ({"max_uniformity": 0.9, "max_brightness": 0.001}, "at least 0.968 of a picture is of one tone"),
        ({"max_uniformity": 0.9, "min_brightness": 0.999}, "at least 0.968 of a picture is of one tone"),
        ({"min_sharpness": 1, "max_brightness": 0}, "nothing is to be seen"),
        ({"max_border": 0.5, "min_brightness": 1}, "all of it is border"),
        (
            {"max_uniformity": 0.3, "max_entropy": 1},
            "the entropy is at least 1.9 where no more than 0.3 is of one tone",
        ),
        ({"greyscale": True, "min_colour": 3}, "greyscale=true and min_colour=3.0 leave no image"),
        ({"max_brightness": 7}, "max_brightness=7.0 refuses nothing: brightness is at most 1"),
        ({"max_entropy": 9}, "refuses nothing"),
    ],
)
def test_rules_that_cannot_be_together(given_rules: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RuleError, match=sentence):
        Rules.parse(given_rules)


@pytest.mark.parametrize(
    ("given_rules", "sentence"),
    [
        ({"min_brightness": 128}, "min_brightness=128.0 leaves no image: brightness is at most 1"),
        ({"min_contrast": 0.6}, "contrast is at most 0.5"),
        ({"min_entropy": 8.5}, "entropy is at most 8"),
        ({"max_per_label": 0}, "leaves no image"),
        ({"near_duplicate_distance": MOST_DISTANCE + 1}, f"at most {MOST_DISTANCE} bits"),
        ({"near_duplicate_distance": 31, "keep_duplicates": True}, "keeps the copies"),
        ({"across_jobs": True, "keep_duplicates": True}, "keep_duplicates keeps the copies that across_jobs refuses"),
        ({"near_duplicate_distance": 3.5}, "whole number"),
        ({"orientation": "upright"}, "some of landscape, portrait, square"),
        ({"licences": "mit"}, "There is no licence 'mit'"),
        ({"licences": []}, "wants a list"),
        ({"animated": "perhaps"}, "true or false"),
    ],
)
def test_rules_that_cannot_be(given_rules: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RuleError, match=re.escape(sentence)):
        Rules.parse(given_rules)


def test_the_table_names_rules_and_measures_that_exist() -> None:
    rules = {field.name for field in fields(Rules)}
    judged_together = {"max_per_label", "near_duplicate_distance", "keep_duplicates", "across_jobs", "verify_files"}
    assert {limit.rule for limit in LIMITS} == rules - judged_together
    assert CODES.keys() == rules
    assert MEASURES - {"aspect_ratio"} <= {field.name for field in fields(Inspection)}
    assert all(limit.rule == f"{limit.bound}_{limit.measure}" for limit in BOUNDED)


def test_the_hash_is_of_what_is_asked_however_it_is_written() -> None:
    one = RuleSet.parse({"min_width": 256, "formats": "png,jpg", "animated": None})
    assert one.hash == RuleSet.parse({"formats": ["jpeg", "png", "png"], "min_width": "256.0"}, "ours").hash
    assert len({one.hash, RuleSet.parse({}).hash, RuleSet.parse({"min_width": 257, "formats": "png,jpg"}).hash}) == 3
    # Of this schema: to mean something else by a rule is a new version, and other hashes.
    assert RuleSet.parse({}).hash == hashlib.sha256(b'{"rules":{},"version":1}').hexdigest()
    oblong = b'{"rules":{"min_aspect_ratio":1.0},"version":1}'
    assert RuleSet.parse({"min_aspect_ratio": 1, "across_jobs": False}).hash == hashlib.sha256(oblong).hexdigest()


def test_names_of_rule_sets() -> None:
    assert RuleSet.parse({}).name == "custom"
    assert RuleSet.parse({}, "ours").name == "ours"
    assert RuleSet.parse({"preset": "standard"}).name == "standard"
    assert RuleSet.parse(Rules.parse({"preset": "strict"}).as_dict()).name == "strict"
    assert RuleSet.parse({"preset": "standard", "min_width": 512}).name == "custom"
    assert RuleSet.parse({"preset": "standard"}, "ours").name == "ours"
    with pytest.raises(RuleError, match="strict is the name of a preset"):
        RuleSet.parse({"preset": "standard"}, "strict")


def test_single_rules_win_over_a_preset() -> None:
    plain = Rules.parse({"preset": "standard"})
    assert plain.as_dict() == dict(PRESETS["standard"])
    changed = Rules.parse({"preset": "standard", "min_width": "512", "min_sharpness": None})
    assert changed == replace(plain, min_width=512, min_sharpness=None)
    with pytest.raises(RuleError, match="The presets are: lenient, standard, strict"):
        Rules.parse({"preset": "severe"})


def test_a_stricter_preset_refuses_all_that_the_one_before_refuses() -> None:
    names = list(PRESETS)
    for loose, tight in pairwise(PRESETS[name] for name in names):
        for limit in BOUNDED:
            if limit.rule in loose:
                assert (tight[limit.rule] > loose[limit.rule]) is (limit.bound == "min"), limit.rule
        assert loose.keys() <= tight.keys()


CANDIDATE = Candidate(
    url="https://example.org/1.jpg", label="cat", source="openverse", page_url="https://example.org/1", creator="Ann",
    licence=Licence("by", "4.0"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("given_rules", "changes", "keeps"),
    [
        ({"animated": False}, {}, True),
        ({"animated": False}, {"animated": True}, False),
        ({"animated": True}, {}, False),
        ({"alpha": False}, {}, True),
        ({"alpha": False}, {"alpha": True}, False),
        ({"greyscale": False}, {}, True),
        ({"greyscale": False}, {"colour": GREYSCALE}, True),
        ({"greyscale": False}, {"colour": 2.9}, False),
        ({"greyscale": True}, {"colour": 2.9}, True),
        ({"greyscale": True}, {}, False),
        ({"orientation": "landscape"}, {}, True),
        ({"orientation": "landscape,square"}, {"orientation": 6}, False),
        ({"orientation": "portrait"}, {"orientation": 8}, True),
        ({"orientation": "square"}, {"width": 1000, "height": 951}, True),
        ({"orientation": "square"}, {"width": 1000, "height": 950}, False),
    ],
)
def test_what_an_image_is(given_rules: dict[str, Any], changes: dict[str, Any], keeps: bool) -> None:
    broken = Rules.parse(given_rules).broken_by(replace(IMAGE, **changes))
    assert broken == ([] if keeps else list(given_rules))


@pytest.mark.parametrize(
    ("given_rules", "changes", "keeps"),
    [
        ({"licences": "cc0,by"}, {}, True),
        ({"licences": "open"}, {}, True),
        ({"licences": "cc0"}, {}, False),
        ({"licences": "cc0,by"}, {"licence": None}, False),
        ({"licences": "unknown"}, {"licence": None}, True),
        ({"require_attribution": True}, {}, True),
        ({"require_attribution": True}, {"licence": None}, False),
        ({"require_attribution": True}, {"creator": ""}, False),
        ({"require_attribution": True}, {"creator": None}, False),
        ({"require_attribution": True}, {"page_url": None}, False),
        ({"require_attribution": True}, {"creator": None, "licence": Licence("cc0")}, True),
        ({"require_attribution": True}, {"page_url": None, "licence": Licence("cc0")}, False),
        ({"require_attribution": False}, {"licence": None}, True),
    ],
)
def test_where_an_image_comes_from(given_rules: dict[str, Any], changes: dict[str, Any], keeps: bool) -> None:
    broken = Rules.parse(given_rules).broken_by(IMAGE, replace(CANDIDATE, **changes))
    assert broken == ([] if keeps else list(given_rules))


def test_of_nothing_known_only_the_unknown_licence_is_kept() -> None:
    assert Rules.parse({"licences": "open", "require_attribution": True}).broken_by(IMAGE) == [
        "licences",
        "require_attribution",
    ]
    assert Rules.parse({"licences": "unknown"}).broken_by(IMAGE) == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_shapes(orientation: int) -> None:
    turned = orientation >= 5
    assert shape(300, 200, orientation) == ("portrait" if turned else "landscape")
    assert shape(200, 300, orientation) == ("landscape" if turned else "portrait")
    assert shape(200, 200, orientation) == "square"


BOUNDS = {"width": 640, "height": 480, "file_size": 50_000, "aspect_ratio": ASPECT} | {
    "sharpness": 300.0,
    "contrast": 0.2,
    "brightness": 0.5,
    "entropy": 7.0,
    "uniformity": 0.2,
    "colour": 40.0,
    "border": 0.1,
}


@pytest.mark.parametrize("limit", BOUNDED, ids=lambda limit: limit.rule)
def test_each_limit_includes_its_bound(limit: Any) -> None:
    bound = BOUNDS[limit.measure]
    step = (1 if isinstance(bound, int) else 1e-6) * (1 if limit.bound == "min" else -1)
    assert Rules.parse({limit.rule: bound}).broken_by(IMAGE) == []
    assert Rules.parse({limit.rule: bound - step}).broken_by(IMAGE) == []
    assert Rules.parse({limit.rule: bound + step}).broken_by(IMAGE) == [limit.rule]


def test_every_broken_rule_is_told() -> None:
    rules = Rules.parse(
        {"min_width": 999, "min_height": 999, "max_file_size": 9, "formats": "png", "min_contrast": 0.1}
    )
    assert rules.broken_by(IMAGE) == ["min_width", "min_height", "max_file_size", "formats"]


def test_no_rules_refuse_nothing_and_a_zero_is_a_rule() -> None:
    assert Rules().as_dict() == {}
    assert Rules().broken_by(IMAGE) == []
    assert Rules.parse({"max_brightness": 0}).broken_by(IMAGE) == ["max_brightness"]
    assert Rules.parse({"max_brightness": 0}).as_dict() == {"max_brightness": 0}
