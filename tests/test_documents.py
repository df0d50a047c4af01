"""The documents for people say what the code does: every command, option, setting, rule and reason, and no other."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from pydantic.fields import FieldInfo

from backend.cli import app
from backend.cli.display import as_json
from backend.config import Settings
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.schemas.plans import CrawlPlan
from backend.services.reports import Report
from gleanset.rules import CODES, Rules
from gleanset.sources import SOURCES
from gleanset.sources.licence import parse_licences
from gleanset.types import Reason

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
FOR_PEOPLE = ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))]


def rows(document: str) -> list[list[str]]:
    """The cells of all table rows whose first cell is code."""
    lines = re.findall(r"^\| `.*\|$", document, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def blocks(language: str, document: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def commands(command: Any = None, path: str = "gleanset") -> Iterator[tuple[str, Any]]:
    """Every command of the command line, groups that only hold others left out, with its full name."""
    command = command or typer.main.get_command(app)
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or path == "gleanset":
        yield path, command
    for name, child in children.items():
        yield from commands(child, f"{path} {name}")


COMMANDS = dict(commands())
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", (DOCS / "commands.md").read_text(), re.M | re.S))
TYPED = [
    (file, line.strip())
    for file in FOR_PEOPLE
    for block in blocks("(?:bash|sh)", (ROOT / file).read_text())
    for line in block.splitlines()
    if line.startswith("gleanset ")
]


def test_every_command_has_its_section() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_section_of_its_command(name: str) -> None:
    offered = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in (*parameter.opts, *parameter.secondary_opts)
    } - {"--help", "-h", "--install-completion", "--show-completion"}
    told = {option for row in rows(SECTIONS[name]) for option in re.findall(r"`([^`]+)`", row[0])}
    assert told == offered


@pytest.mark.parametrize(("file", "line"), TYPED, ids=[line for _, line in TYPED])
def test_command_lines_in_the_documents_are_ones_that_the_program_takes(file: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    children: dict[str, Any] = getattr(command, "commands", {})
    while words and words[0] in children:
        command = children[words.pop(0)]
        children = getattr(command, "commands", {})
    assert not children, f"{file}: {line} is not a whole command"
    command.make_context("gleanset", words)  # raises a usage error for anything it does not know


def test_the_documents_show_command_lines() -> None:
    assert len([line for file, line in TYPED if file == "README.md"]) > 8


def default_of(name: str, setting: FieldInfo) -> str:
    made = {
        "home": "`~/.local/share/gleanset`",
        "decoders": "number of cores",
        "hosts": "`{}`",
        "source_urls": "`{}`",
        "source_keys": "`{}`",
    }
    if setting.default_factory is not None:
        return made[name]
    return "none" if setting.default is None else f"`{setting.default}`"


def test_every_setting_is_told_with_its_default_and_meaning() -> None:
    expected = [
        [f"`GLEANSET_{name.upper()}`", default_of(name, setting), setting.description]
        for name, setting in Settings.model_fields.items()
    ]
    assert rows((DOCS / "settings.md").read_text()) == expected


@pytest.mark.parametrize("file", FOR_PEOPLE)
def test_settings_that_documents_name_exist(file: str) -> None:
    named = set(re.findall(r"\bGLEANSET_([A-Z_]+)", (ROOT / file).read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_every_reason_is_told_with_its_sentence_and_what_to_do() -> None:
    told = rows((DOCS / "reasons.md").read_text())
    assert [row[:2] for row in told] == [[f"`{reason}`", reason.sentence] for reason in Reason]
    assert all(len(row) == 3 and len(row[2]) > 5 for row in told)


def test_every_rule_is_told_with_its_reason_code() -> None:
    told = {row[0].strip("`"): re.findall(r"`(\w+)`", row[3]) for row in rows((DOCS / "rules.md").read_text())}
    assert told == {name: list(codes) for name, codes in CODES.items()}
    assert list(told) == [rule.name for rule in fields(Rules)]


def test_every_source_is_told_with_what_it_needs_allows_and_asks() -> None:
    document = (DOCS / "sources.md").read_text()
    assert "| Source | Needs | Allows | Terms |\n" in document
    told = [[f"`{info.name}`", info.needs, info.allows, info.terms] for info in SOURCES.values()]
    assert rows(document) == told


def test_what_groups_of_licences_hold_is_told() -> None:
    told = re.findall(r"^- `(\w+)`: what may be [^:]+: (.+)\.$", (DOCS / "sources.md").read_text(), re.MULTILINE)
    assert [name for name, _ in told] == ["commercial", "modification"]
    assert [codes.split(", ") for _, codes in told] == [sorted(parse_licences([name])) for name, _ in told]


def test_every_source_has_its_place_in_the_command_that_asks_it() -> None:
    options = {name: parameter for parameter in COMMANDS["gleanset crawl"].params for name in parameter.opts}
    searched = [name for name, info in SOURCES.items() if info.searched]
    told = f": {', '.join(searched)}; openverse otherwise."
    assert told in options["--source"].help
    assert told in (DOCS / "commands.md").read_text()
    assert {f"--{name}" for name in SOURCES if name not in searched} <= options.keys()


def test_the_readme_starts_with_demo_and_test() -> None:
    assert [block.strip() for block in blocks("bash", README)[:2]] == ["make demo", "make test"]


@pytest.mark.parametrize("file", [*FOR_PEOPLE, "CONTRIBUTING.md"])
def test_make_targets_that_documents_name_exist(file: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / file).read_text(), re.MULTILINE)) <= targets


def test_the_json_of_the_readme_has_the_keys_of_a_run() -> None:
    [shown] = [json.loads(block) for block in blocks("json", README)]
    start = datetime(2026, 11, 1, tzinfo=UTC)
    end = start + timedelta(seconds=2)
    crawl = CrawlJob(
        id=1, project_id=1, status="completed", total_images=3, downloaded_images=2, valid_images=1, started_at=start,
        completed_at=end,
    )  # fmt: skip
    report = Report(
        crawl=crawl,
        validation=ValidationJob(id=1, status="completed", created_at=end, completed_at=end),
        export=ExportJob(id=1, status="completed", completed_at=end, file_size=10),
        plan=CrawlPlan(),
        failures={"not_found": 1},
        changes={},
        invalid={"min_width": 1},
        bytes=10,
        at=end,
    )
    real = json.loads(as_json(report, "set.zip"))
    assert {key: type(value) for key, value in shown.items()} == {key: type(value) for key, value in real.items()}
    assert list(shown) == list(real)
    assert shown["failures"].keys() <= {reason.value for reason in Reason}
    assert shown["total_images"] == shown["downloaded_images"] + sum(shown["failures"].values())


def test_the_picture_is_small_and_loads_nothing() -> None:
    picture = DOCS / "images/run.svg"
    assert str(picture.relative_to(ROOT)) in README
    text = picture.read_text()
    assert len(text) < 50_000
    assert not re.search(r"url\((?!#)|href|<script|@import", text)
    shown = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    assert "$ gleanset demo --out drawn.zip" in shown
    assert "is completed:" in shown


@pytest.mark.parametrize("file", FOR_PEOPLE)
def test_links_to_headings_lead_to_one(file: str) -> None:
    text = (ROOT / file).read_text()
    for target, heading in re.findall(r"\]\((?!\w+:)([^)#\s]*)#([^)\s]+)\)", text):
        document = ((ROOT / file).parent / target).read_text() if target else text
        anchors = {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", document, re.MULTILINE)
        }
        assert heading in anchors, f"{file}: {target}#{heading}"


def test_pictures_of_pages_come_in_the_theme_of_the_reader() -> None:
    """Each that a document shows is there, light, and dark for who likes it so."""
    shown: list[str] = []
    for file in FOR_PEOPLE:
        text = (ROOT / file).read_text()
        names = re.findall(r"web-([\w-]+)-(?:light|dark)\.png", text)
        pairs = re.findall(
            r'<picture>\n  <source media="\(prefers-color-scheme: dark\)" srcset="(\S*web-([\w-]+)-dark\.png)">\n'
            r'  <img src="(\S*web-\2-light\.png)" alt="[^"]{20,}">\n</picture>',
            text,
        )
        assert len(names) == 2 * len(pairs), file
        for dark, name, light in pairs:
            assert ((ROOT / file).parent / dark).exists()
            assert ((ROOT / file).parent / light).exists()
            shown.append(name)
    assert {"job", "images", "validation", "exports"} <= set(shown)
