"""Images are kept and rejected, jobs and projects deleted, by the command line."""

from __future__ import annotations

import json
import zipfile

from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.cli.test_runs import write_list
from tests.web import PictureWeb


def valid(cli: Cli) -> list[int]:
    """The counts of valid images of the jobs."""
    return [each for (each,) in rows(cli, "SELECT valid_images FROM crawl_jobs ORDER BY id")]


def test_what_is_decided_holds_in_all_jobs_of_the_project(cli: Cli, inside: Inside) -> None:
    cli.environment["GLEANSET_INTERVAL"] = "0"
    with PictureWeb().served() as url:
        crawl = ("crawl", "--urls", str(write_list(cli.folder, url, 4)), "--allow-private", "--rule", "min_width=1")
        for project in ("One", "One", "Other"):
            cli.ok(*crawl, "--project", project, "--json")
    found = rows(cli, "SELECT id FROM images WHERE outcome = 'downloaded' AND original_url LIKE '%/1.jpg' ORDER BY id")
    first, second, other = (number for (number,) in found)
    before = valid(cli)

    done = inside("decide", "reject", str(first), str(other), "--note", "blurred", "--json")
    assert done.json == {"pictures": 2, "images": 3}
    assert valid(cli) == [count - 1 for count in before]
    assert rows(cli, "SELECT DISTINCT choice, note FROM decisions") == [("reject", "blurred")]
    packed = cli.folder / "one.zip"
    cli.ok("export", "1", "--out", str(packed))
    with zipfile.ZipFile(packed) as archive:
        assert json.loads(archive.read("dataset.json"))["left_out_by_people"] == 1
    assert "1 picture is kept." in inside.ok("decide", "keep", str(second)).out
    assert valid(cli) == [*before[:2], before[2] - 1]
    assert "2 pictures are as the rules say again." in inside.ok("decide", "undo", str(first), str(other)).out
    assert (valid(cli), rows(cli, "SELECT * FROM decisions")) == (before, [])

    for arguments, says in (
        (("keep", "999999"), "There is no image 999999."),
        (("keep", str(first), "--note", "x" * 2001), "at most 2000 characters"),
        (("praise", str(first)), "Invalid value"),
        (("keep", "0"), "Invalid value"),
        (("keep", str(2**63)), "less than or equal"),
        (("keep",), "Missing argument"),
    ):
        refused = inside("decide", *arguments)
        assert (refused.code, says in refused.err) == (2, True), refused.err
    failed = rows(cli, "SELECT id FROM images WHERE outcome <> 'downloaded' LIMIT 1")
    assert inside("decide", "keep", str(failed[0][0])).code == 2

    assert inside("jobs", "delete", "7", "--yes").code == 2
    assert inside("jobs", "delete", "1").code == 1, "nobody is there to be asked"
    assert "Job 1 is deleted." in inside.ok("jobs", "delete", "1", "--yes").out
    assert len(valid(cli)) == 2

    listed = {each["name"]: each["id"] for each in inside("projects", "list", "--json").json}
    assert listed.keys() == {"One", "Other"}
    one = str(listed["One"])
    assert inside.ok("projects", "archive", one).out == "Archived: One\n"
    assert "archived" in inside.ok("projects").out
    assert inside.ok("projects", "restore", one).out == "Active again: One\n"
    assert inside("projects", "delete", one).code == 1
    told = inside.ok("projects", "delete", one, "--yes").out
    assert told.startswith("Deleted: One. Until ")
    assert told.endswith(f" it comes back with: gleanset projects restore {one}\n")
    assert [each["name"] for each in inside("projects", "list", "--json").json] == ["Other"]
    [deleted] = inside("projects", "list", "--deleted", "--json").json
    assert (deleted["name"], deleted["status"], deleted["owner"]) == ("One", "deleted", "owner@localhost")
    assert "owner@localhost" in inside.ok("projects", "list", "--deleted").out
    assert inside.ok("projects", "restore", one).out == "Active again: One\n"
    assert f"There is no deleted project {one}." in inside("projects", "purge", one, "--yes").err
    inside.ok("projects", "delete", one, "--yes")
    assert inside("projects", "purge", one).code == 1, "it asks first"
    assert inside.ok("projects", "purge", one, "--yes").out == "Removed for good: One\n"
    assert inside.ok("projects", "list", "--deleted").out == "No project is deleted.\n"
    assert f"There is no project {one}." in inside("projects", "restore", one).err
