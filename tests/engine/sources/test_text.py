from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gleanset.sources.text import clean, first_link, integer, jsonable, plain


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("a &amp; b&nbsp;c &lt;d&gt;", "a & b c <d>"),
        ("<p>one</p><p>two</p>", "one two"),
        ("un<b>brok</b>en", "unbroken"),
        ("<style>p {}</style>x<script>alert(1)</script>", "x"),
        ("<a href='//x'>unclosed", "unclosed"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
        ("&#" + "9" * 5000 + ";x", "\ufffdx"),
        ("&#x" + "F" * 9000 + ";x", "\ufffdx"),
        ("<div></div>", None),
        (None, None),
        (["x"], None),
        (12, "12"),
    ],
)
def test_plain(html: Any, text: str | None) -> None:
    assert plain(html) == text


def test_first_link() -> None:
    assert first_link('see <a name="x">x</a><a href="/one">1</a><a href="/two">2</a>') == "/one"
    assert first_link("no link") is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((3, 3), (3.0, 3), ("3", 3), (" 3 ", 3), (3.5, None), ("3.5", None), (True, None), (None, None)),
        *(([3], None), (float("inf"), None), ("", None), ("9" * 5000, None)),
    ],
)
def test_integer(value: Any, number: int | None) -> None:
    assert integer(value) == number


@given(st.text())
def test_clean_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert cleaned is None or ("\0" not in cleaned and cleaned == cleaned.strip() != "")
    assert cleaned is None or cleaned.encode()


def test_jsonable_is_strict_json() -> None:
    value = {1: float("nan"), "when": datetime(2024, 1, 2, tzinfo=UTC), "sum": Decimal("1.50"), "raw": b"\xff"}
    value |= {"deep": [{"text": "a\0\ud800", "on": True, "ratio": 0.5}, ("x", None)]}
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == {
        "1": None,
        "when": "2024-01-02T00:00:00+00:00",
        "sum": "1.50",
        "raw": None,
        "deep": [{"text": "a?", "on": True, "ratio": 0.5}, ["x", None]],
    }
