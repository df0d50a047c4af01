"""Every template asks for exactly what its context has."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, meta, nodes

from backend.web import (
    account,
    activity,
    comparison,
    crawls,
    deleted_projects,
    errors,
    exports,
    gallery,
    jobs,
    keys,
    login,
    people,
    projects,
    reasons,
    reference,
    takedowns,
    validation,
)
from backend.web.filters import FILTERS, count, duration, number, size

TEMPLATES = Path(errors.__file__).parent / "templates"
CONTEXTS: dict[str, type[Any]] = {
    "error.html": errors.ErrorPage,
    "login.html": login.LoginPage,
    "login_link.html": login.LinkPage,
    "account.html": account.AccountPage,
    "keys.html": keys.KeysPage,
    "people.html": people.PeoplePage,
    "deleted_projects.html": deleted_projects.DeletedProjectsPage,
    "takedowns.html": takedowns.TakedownsPage,
    "projects.html": projects.ProjectsPage,
    "project.html": projects.ProjectPage,
    "project_form.html": projects.ProjectForm,
    "job.html": jobs.JobPage,
    "reasons.html": reasons.ReasonsPage,
    "validation.html": validation.ValidationPage,
    "comparison.html": comparison.ComparisonPage,
    "exports.html": exports.ExportsPage,
    "activity.html": activity.ActivityPage,
    "reference.html": reference.ReferencePage,
    "crawl_form.html": crawls.CrawlForm,
    "gallery.html": gallery.GalleryPage,
    "image.html": gallery.ImagePage,
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_template_uses_all_of_its_context_and_nothing_else(name: str) -> None:
    environment = Environment(autoescape=True)
    environment.filters.update(FILTERS)
    parsed = environment.parse((TEMPLATES / name).read_text())
    borrowed = {str(word) for node in parsed.find_all(nodes.FromImport) for word in node.names}
    borrowed |= {node.name for node in parsed.find_all(nodes.Macro)}
    assert meta.find_undeclared_variables(parsed) - borrowed - {"frame", "asset"} == {
        field.name for field in fields(CONTEXTS[name])
    }


def test_no_template_holds_what_the_content_security_policy_forbids() -> None:
    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text()
        for forbidden in (" style=", "<style", " onclick=", "javascript:", "|safe", "| safe"):
            assert forbidden not in text, (file.name, forbidden)


def test_numbers_as_people_write_them() -> None:
    assert [number(1234567), number(0.25)] == ["1,234,567", "0.2"]
    assert [size(0), size(999), size(1500), size(250_000_000), size(4 * 10**15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "250 MB",
        "4,000.0 TB",
    ]
    assert [duration(4.4), duration(61), duration(7300)] == ["4 s", "1 min 1 s", "2 h 1 min"]
    assert [count(1, "image"), count(2, "image")] == ["1 image", "2 images"]


def test_every_page_is_held_to_its_context() -> None:
    parts = {"base.html"}
    assert {file.name for file in TEMPLATES.glob("*.html")} - parts == CONTEXTS.keys()


def test_there_is_little_javascript() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in (TEMPLATES.parent / "static").glob("*.js")}
    assert sum(lines.values()) < 300, lines
    assert lines["live.js"] < 100
