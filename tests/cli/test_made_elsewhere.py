"""Projects and jobs as the pages and the API make them: made, renamed, started and looked at by the command line."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from backend.db import libpq_url
from tests.cli.conftest import Cli, Inside
from tests.cli.test_bad_input import complaint
from tests.cli.test_noted import OWNER
from tests.cli.test_refresh import rows
from tests.cli.test_runs import write_list
from tests.web import PictureWeb, expected

PLAN: dict[str, Any] = {"allow_private": True, "rules": {"min_width": 200}}


def noted(cli: Cli, action: str) -> dict[str, Any]:
    """What the last such entry of the owner's tells."""
    which = f"action = '{action}' AND user_id = '{OWNER}'"
    [(told,)] = rows(cli, f"SELECT metadata_ FROM activity_logs WHERE {which} ORDER BY id DESC LIMIT 1")
    return told


def job_of(cli: Cli, project_id: int, plan: dict[str, Any]) -> str:
    """A job that nobody started, as the API leaves it there."""
    sql = "INSERT INTO crawl_jobs (project_id, name, keywords, max_images, options) VALUES (%s, 'x', '[]', 100, %s)"
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        made = connection.execute(f"{sql} RETURNING id".encode(), (project_id, json.dumps(plan))).fetchone()
    assert made is not None
    return str(made[0])


def test_projects_are_made_and_renamed(cli: Cli, inside: Inside) -> None:
    made = inside("projects", "create", " Birds ", "--description", "of the sea", "--json").json
    assert (made["name"], made["description"], made["status"]) == ("Birds", "of the sea", "active")
    assert noted(cli, "project.created") == {"name": "Birds", "from": None, "to": "active"}
    assert inside.ok("projects", "create", "Fish").out == f"Made project {made['id'] + 1}: Fish\n"

    number = str(made["id"])
    assert inside.ok("projects", "rename", number, "Sea birds").out == "Renamed: Sea birds\n"
    told = noted(cli, "project.updated")
    assert (told["from"], told["to"]) == ({"name": "Birds"}, {"name": "Sea birds"})
    described = f"SELECT description FROM projects WHERE id = {number}"
    assert rows(cli, described) == [("of the sea",)], "it stays when nothing is said"
    inside.ok("projects", "rename", number, "Sea birds", "--description", "")
    assert rows(cli, described) == [(None,)]

    for arguments, says in (
        (("create", " "), "The name: String should have at least 1 character."),
        (("create", "x" * 101), "at most 100 characters."),
        (("rename", "999", "Cats"), "There is no project 999."),
        (("rename", number, ""), "The name: String should have at least 1 character."),
    ):
        assert says in complaint(inside("projects", *arguments), 2)


def test_a_job_is_renamed_at_any_time(cli: Cli, inside: Inside) -> None:
    project = inside("projects", "create", "Birds", "--json").json["id"]
    job = job_of(cli, project, PLAN)
    assert inside.ok("jobs", "rename", job, "Terns").out == "Renamed: Terns\n"
    assert rows(cli, "SELECT name FROM crawl_jobs") == [("Terns",)]
    told = noted(cli, "crawl_job.updated")
    assert (told["from"], told["to"]) == ({"name": "x"}, {"name": "Terns"})
    assert "at least 1 character" in complaint(inside("jobs", "rename", job, ""), 2)
    assert f"Job {job} has no part." in inside.ok("jobs", "chunks", job).out

    inside.ok("projects", "delete", str(project), "--yes")
    for command in (("rename", job, "Gulls"), ("start", job), ("chunks", job), ("images", job)):
        assert f"There is no crawl job {job}." in complaint(inside("jobs", *command), 2), "nor what is in it"
    assert rows(cli, "SELECT name FROM crawl_jobs") == [("Terns",)]


def test_a_job_that_was_only_made_is_started_and_looked_at(cli: Cli, inside: Inside) -> None:
    cli.environment["GLEANSET_INTERVAL"] = "0"
    project = inside("projects", "create", "Birds", "--json").json["id"]
    with PictureWeb().served() as url:
        lists = [{"path": str(write_list(cli.folder, url, 24))}]
        job = job_of(cli, project, PLAN | {"lists": lists})
        run = cli.ok("jobs", "start", job, "--json").json  # a process of its own: queue and worker are for one run
    had = [n for n in range(24) if expected(n) is None]
    assert (run["status"], run["downloaded_images"], run["valid_images"]) == ("completed", len(had), 0)
    assert (noted(cli, "crawl_job.started")["from"], noted(cli, "crawl_job.started")["to"]) == ("pending", "queued")
    assert "is completed; it cannot be started." in complaint(inside("jobs", "start", job), 2)

    [part] = inside("jobs", "chunks", job, "--json").json
    assert (part["source"], part["status"], part["total_images"]) == ("urls", "completed", 24)
    assert "completed" in inside.ok("jobs", "chunks", job).out
    assert inside("jobs", "chunks", job, "--status", "failed", "--json").json == []
    assert "no part that is failed" in inside.ok("jobs", "chunks", job, "--status", "failed").out

    def found(*options: str) -> list[dict[str, Any]]:
        return inside("jobs", "images", job, *options, "--json").json

    def numbers(*options: str) -> set[int]:
        return {int(each["original_url"].rsplit("/", 1)[1].removesuffix(".jpg")) for each in found(*options)}

    assert numbers() == {*had} == numbers("--invalid") == numbers("--verdict", "min_width", "--max-width", "128")
    assert numbers("--valid") == numbers("--min-width", "129") == numbers("--min-file-size", "1000000") == set()
    assert numbers("--label", "even", "--source", "urls") == {n for n in had if n % 2 == 0}
    assert numbers("--reason", "not_found") == {n for n in range(24) if expected(n) == "not_found"}
    assert numbers("--text", f"/{had[-1]}.jpg") == {had[-1]}
    assert numbers("--license", "unknown") == {*had}
    assert numbers("--validation", str(run["validation_job_id"]), "--invalid") == {*had}

    first, *others = found()
    assert inside("decide", "reject", str(first["id"])).code == 0
    assert [each["id"] for each in found("--decision", "reject")] == [first["id"]]
    assert found("-n", "1") == [first | {"decision": "reject"}]
    assert found("--after", str(first["id"])) == others
    shown = inside("jobs", "images", job, "--limit", "2")
    line = shown.out.splitlines()[1].split()
    assert line == [str(first["id"]), first["label"], "128x96", "min_width", "reject", first["original_url"]]
    assert shown.err == f"There may be more: the same with --after {others[0]['id']}\n"
    assert inside("jobs", "images", job).err == ""
    assert "failed: not_found" in inside.ok("jobs", "images", job, "--reason", "not_found").out
    assert "has no such image." in inside.ok("jobs", "images", job, "--valid").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("images", "999"), "There is no crawl job 999."),
        (("images", str(2**40)), "There is no crawl job"),
        (("images", "1", "--min-width", "-1"), "The min width: Input should be greater than or equal to 0."),
        (("images", "1", "--text", "a" * 201), "The text: String should have at most 200 characters."),
        (("chunks", "999"), "There is no crawl job 999."),
        (("start", "999"), "There is no crawl job 999."),
        (("rename", "0", "Cats"), "There is no crawl job 0."),
    ],
)
def test_what_is_not_there_is_told(inside: Inside, arguments: tuple[str, ...], says: str) -> None:
    assert says in complaint(inside("jobs", *arguments), 2)
