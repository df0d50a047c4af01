"""Exports are deleted, and links to them made, by the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.config import Settings
from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.serving import serving
from tests.web import picture


def test_an_export_is_linked_and_deleted(cli: Cli, inside: Inside, database_url: str) -> None:
    (cli.folder / "pets").mkdir()
    for n in range(1, 3):
        (cli.folder / "pets" / f"{n}.jpg").write_bytes(picture(n))
    cli.ok("crawl", "--folder", "pets", "--rule", "min_width=1", "--out", "own.zip")
    cli.ok("export", "1", "--out", "own-folder")
    packed, _ = (Path(cli.environment["GLEANSET_HOME"]) / "exports" / name for name in ("export-1.zip", "export-2"))
    assert packed.exists()

    made = inside("exports", "link", "1")
    assert re.fullmatch(r"/api/v1/export-jobs/1/download\?expires=\d+&signature=[0-9a-f]{64}\n", made.out)
    assert "say it with --url" in made.err
    settings = Settings(home=Path(cli.environment["GLEANSET_HOME"]), database_url=database_url, accounts="team")
    with serving(settings, database_url) as served, served.anonymous() as client:
        link = inside("exports", "link", "1", "--url", served.url + "/", "--json").json
        left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(hours=1)
        assert client.get(link["url"]).content == (cli.folder / "own.zip").read_bytes()
        assert client.get(link["url"][:-1] + "x").status_code == 404
    linked = rows(cli, "SELECT resource_id, metadata_ FROM activity_logs WHERE action = 'export_job.linked'")
    assert linked == [("1", {"from": None, "to": "link"})] * 2, "and no signature"

    for arguments, sentence in (
        (("link", "9"), "There is no export job 9."),
        (("link", "2"), "This export is a folder"),
        (("link", "1", "--url", "images.example.org"), "is no address of a Gleanset"),
        (("delete", "9", "--yes"), "There is no export job 9."),
    ):
        refused = inside("exports", *arguments)
        assert (refused.code, refused.out, sentence in refused.err) == (2, "", True), refused.err

    assert inside("exports", "delete", "1").code == 1, "nobody is there to be asked"
    done = inside.ok("exports", "delete", "1", "--yes").out
    assert done == f"Export 1 is deleted. What was put to {cli.folder / 'own.zip'} stays.\n"
    assert (packed.exists(), (cli.folder / "own.zip").exists()) == (False, True)
    assert rows(cli, "SELECT id FROM export_jobs") == [(2,)]
    [(who, change)] = rows(
        cli, "SELECT user_id::text, metadata_ FROM activity_logs WHERE action = 'export_job.deleted'"
    )
    assert who == "00000000-0000-4000-8000-000000000001"
    assert (change["from"], change["to"]) == ("completed", None)

    rows(cli, "UPDATE export_jobs SET status = 'pending' RETURNING id")
    for arguments in (("delete", "2", "--yes"), ("link", "2")):
        refused = inside("exports", *arguments)
        assert (refused.code, "The export job 2 is pending" in refused.err) == (2, True)
