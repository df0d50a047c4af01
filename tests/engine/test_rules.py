"""Rules: what is refused when they are read, and how they judge."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import RuleError
from gleanset.rules import LIMITS, Rules
from gleanset.store import EXTENSIONS
from gleanset.types import Inspection

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
    orientation=1,
    animated=False,
)
ASPECT = 640 / 480
MEASURES = {limit.measure for limit in LIMITS}


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


@pytest.mark.parametrize("measure", ["width", "height", "file_size", "aspect_ratio", "brightness"])
def test_rules_that_leave_no_image(measure: str) -> None:
    with pytest.raises(RuleError, match=rf"min_{measure}=2\S* and max_{measure}=1\S* leave no image"):
        Rules.parse({f"min_{measure}": 2, f"max_{measure}": 1})
    assert Rules.parse({f"min_{measure}": 1, f"max_{measure}": 1}) is not None


def test_the_table_names_rules_and_measures_that_exist() -> None:
    rules = {field.name for field in fields(Rules)}
    assert {limit.rule for limit in LIMITS} == rules - {"formats", "keep_duplicates"}
    assert MEASURES - {"aspect_ratio"} <= {field.name for field in fields(Inspection)}
    assert all(limit.rule == f"{limit.bound}_{limit.measure}" for limit in LIMITS)


BOUNDS = {"width": 640, "height": 480, "file_size": 50_000, "aspect_ratio": ASPECT} | {
    "sharpness": 300.0,
    "contrast": 0.2,
    "brightness": 0.5,
}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.rule)
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


numbers = st.floats(0, 1e12, allow_nan=False) | st.integers(0, 2**53)
whole = st.integers(0, 2**53)
formats = st.lists(st.sampled_from(sorted(EXTENSIONS)), min_size=1, unique=True)
INTS = ("width", "height", "file_size")
some_rules = st.fixed_dictionaries(
    {},
    optional={limit.rule: whole if limit.measure in INTS else numbers for limit in LIMITS}
    | {"formats": formats, "keep_duplicates": st.booleans()},
)


def parsed(given_rules: dict[str, Any]) -> Rules | None:
    """None for those that contradict each other."""
    if any(given_rules.get(f"min_{m}", 0) > given_rules.get(f"max_{m}", math.inf) for m in MEASURES):
        with pytest.raises(RuleError, match="leave no image"):
            Rules.parse(given_rules)
        return None
    return Rules.parse(given_rules)


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
