"""What can be done by a page can be done by the API, and the other way round: docs/api.md tells how, for all of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.api.test_matrix import ENDPOINTS
from tests.test_documents import commands

API = "/api/v1"
ONLY_OF_BROWSERS = {"/login", "/login/{token}", "/logout", "/theme"}
TABLE = (Path(__file__).parent.parent / "docs" / "api.md").read_text().partition("## What can be done where")[2]
ROWS = [line.split("|")[1:-1] for line in TABLE.partition("\n## ")[0].splitlines() if line.startswith("|")][2:]


def named(column: int) -> set[str]:
    return {word for row in ROWS for word in re.findall(r"`([^`]+)`", row[column])}


def test_every_form_of_a_page_stands_in_the_table() -> None:
    posts = {str(each.route.path) for each in ENDPOINTS if each.method == "POST"}
    assert named(1) == {path for path in posts if not path.startswith(API)} - ONLY_OF_BROWSERS


def test_every_change_by_the_api_stands_in_the_table() -> None:
    changes = {str(each).replace(API, "") for each in ENDPOINTS if each.method != "GET" and API in str(each)}
    assert named(2) == changes


def test_every_line_has_a_page_and_the_api_and_commands_that_there_are() -> None:
    there = {name for name, _ in commands()} | {"gleanset projects", "gleanset users"}
    for row in ROWS:
        assert all("`" in cell for cell in row[1:3]), row
        assert "`gleanset " in row[3], row
    for command in named(3):
        assert command.partition(" --")[0] in there, command
