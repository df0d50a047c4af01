"""A dataset comes to where it was asked for, whatever is killed on the way, and nobody says so before it is there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import obstore
import psycopg
import pytest
from obstore.store import from_url

from backend.cli.delivery import export_plan
from backend.db import libpq_url
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import complaint
from tests.stores import SlowWay, s3, s3_server
from tests.web import picture, sha256_of

__all__ = ["s3", "s3_server"]


@pytest.fixture
def gathered(cli: Cli) -> Cli:
    """With crawl job 1 of some pictures."""
    (cli.folder / "pets" / "cat").mkdir(parents=True)
    for n in range(6):
        (cli.folder / "pets" / "cat" / f"{n}.jpg").write_bytes(picture(n))
    cli.ok("crawl", "--folder", "pets")
    cli.environment.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
    return cli


def lying(address: str) -> dict[str, int]:
    return {each["path"]: each["size"] for page in obstore.list(from_url(address)) for each in page}


@pytest.mark.parametrize(
    ("out", "format_", "container"),
    [
        ("pets.tgz", "tar.gz", "tar.gz"),
        ("pets.ZIP", "zip", "zip"),
        ("Pets.Tar.Gz", "tar.gz", "tar.gz"),
        ("pets.TGZ", "tar.gz", "tar.gz"),
        ("pets.tar.zst", "tar.zst", "tar.zst"),
        ("pets.rar/", "folder", "folder"),
        ("pets.v2", "folder", "folder"),
        ("tgz", "folder", "folder"),
    ],
)
def test_what_the_name_of_a_place_asks_for(tmp_path: Path, out: str, format_: str, container: str) -> None:
    plan = export_plan(None, f"{tmp_path}/{out}")
    assert plan is not None
    assert (plan.format, plan.container) == (format_, container)


def undo(cli: Cli, sql: str) -> None:
    """As the database stands when a process is killed there."""
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        connection.execute(sql)


@contextmanager
def sending(cli: Cli, s3_server: str, hold: str, out: str, *more: str) -> Iterator[tuple[SlowWay, Popen[str]]]:
    """Job 1 exported, up to where what `hold` names is on its way."""
    way = SlowWay(s3_server, hold)
    with way.open() as address:
        cli.environment["AWS_ENDPOINT_URL"] = address
        running = cli.start("export", "1", "--out", out, *more)
        assert way.held.wait(60)
        yield way, running
    cli.environment["AWS_ENDPOINT_URL"] = s3_server


def killed_on_its_way(cli: Cli, s3_server: str, hold: str, out: str, *more: str) -> None:
    with sending(cli, s3_server, hold, out, *more) as (_, running):
        running.kill()
        running.communicate()


@pytest.mark.parametrize(
    ("name", "hold"), [("birds.zip", r"birds\.zip$"), ("birds", r"birds/MANIFEST\.sha256$")], ids=["zip", "folder"]
)
def test_an_upload_that_is_killed_is_gone_on_with(s3: str, s3_server: str, gathered: Cli, name: str, hold: str) -> None:
    cli, out = gathered, f"{s3}/{name}"
    with sending(cli, s3_server, hold, out) as (way, running):
        running.send_signal(signal.SIGKILL)
        running.communicate()
        shown = cli.ok("exports", "show", "1", "--json").json
        assert (shown["status"], shown["delivery"]) == ("running", "begun")
        assert out not in (shown["export_path"] or "")
        assert "MANIFEST.sha256" not in lying(out if name == "birds" else s3)
        before = lying(s3)
        [marker] = (path for path in before if "gleanset-export" in path)

        way.released.set()
        sent = len(way.puts)
        run = cli.ok("jobs", "retry", "1", "--json").json
        assert (run["status"], run["export_path"]) == ("completed", out)
        again = [path for path in way.puts[sent:] if "probe" not in path]
    assert len(again) == 1, "what was there already is not sent again"
    there = lying(s3)
    assert before.items() - there.items() == {(marker, before[marker])}, "and what told whose it is, is gone"
    assert cli.ok("verify", out, "--json").json["sound"]
    assert out in cli.ok("jobs", "show", "1").out
    assert "nothing left to do" in complaint(cli.run("jobs", "retry", "1"), 2)
    assert "nothing left to do" in complaint(cli.run("exports", "retry", "1"), 2)


def test_a_place_is_looked_at_before_anything_is_packed(s3: str, gathered: Cli) -> None:
    cli = gathered
    missing = complaint(cli.run("export", "1", "--out", "s3://nowhere/birds.zip"), 2)
    assert "there is no such bucket" in missing
    assert "Debug" not in missing
    assert cli.ok("exports", "list", "--json").json == []
    cli.ok("export", "1", "--format", "folder", "--out", f"{s3}/fold")
    assert "exists already" in complaint(cli.run("export", "1", "--format", "folder", "--out", f"{s3}/fold"), 2)
    assert "exists already" in complaint(cli.run("crawl", "--folder", "pets", "--out", f"{s3}/fold"), 2)
    assert len(cli.ok("exports", "list", "--json").json) == 1
    assert len(cli.ok("jobs", "list", "--json").json) == 1


def test_an_upload_that_fails_is_no_success_and_can_be_tried_again(s3: str, s3_server: str, gathered: Cli) -> None:
    """The bucket takes what the trial puts there, and is gone when the dataset comes."""
    cli = gathered
    killed_on_its_way(cli, s3_server, r"birds\.zip$", f"{s3}/birds.zip")
    undo(cli, "UPDATE export_jobs SET export_options = jsonb_set(export_options, '{out}', '\"s3://gone/birds.zip\"')")
    failed = cli.run("exports", "retry", "1")
    assert failed.code == 1
    assert "Error: The dataset cannot be put to s3://gone/birds.zip: there is no such bucket" in failed.out
    assert "gleanset exports retry 1" in failed.out
    back = f"jsonb_set(export_options, '{{out}}', '\"{s3}/birds.zip\"')"
    undo(cli, f"UPDATE export_jobs SET export_options = {back}")
    assert cli.ok("exports", "retry", "1", "--json").json["export_path"] == f"{s3}/birds.zip"
    assert lying(s3).keys() == {"birds.zip"}


@pytest.mark.parametrize("how", ["jobs", "exports"])
@pytest.mark.parametrize("name", ["birds.zip", "birds"])
def test_a_dataset_that_was_not_put_into_place_is_put_there(gathered: Cli, name: str, how: str) -> None:
    """As after a kill between the end of the job and the move, and as after one right behind the move."""
    cli, out = gathered, gathered.folder / name
    cli.ok("export", "1", "--out", name)
    assert "nothing left to do" in complaint(cli.run(how, "retry", "1"), 2)

    out.rename(cli.folder / "elsewhere")
    undo(cli, "UPDATE export_jobs SET delivery = 'wanted'")
    told = cli.ok("jobs", "show", "1").out
    assert "gleanset exports retry 1" in told
    assert cli.ok("jobs", "show", "1", "--json").json["export_path"] != str(out)
    assert cli.ok(how, "retry", "1", "--json").json["export_path"] == str(out)
    assert digest(out) == digest(cli.folder / "elsewhere")

    undo(cli, "UPDATE export_jobs SET delivery = 'wanted'")
    cli.ok(how, "retry", "1")
    assert [path.name for path in cli.folder.iterdir() if "part" in path.name] == []

    undo(cli, "UPDATE export_jobs SET delivery = 'wanted'")
    out.rename(cli.folder / "somewhere")
    out.write_text("mine")
    assert "exists already" in complaint(cli.run(how, "retry", "1"), 2)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", ["birds.zip", "birds"])
def test_what_a_person_does_with_theirs_is_not_done_to_what_the_server_has(gathered: Cli, name: str) -> None:
    cli, out = gathered, gathered.folder / name
    cli.ok("export", "1", "--out", name)
    mine = out if out.is_file() else next(out.rglob("*.jpg"))
    with mine.open("r+b") as file:
        file.seek(300)
        file.write(bytes(100))
    assert not cli.run("verify", str(out), "--json").json["sound"]
    [packed] = Path(cli.environment["GLEANSET_HOME"], "exports").glob("export-1.*")
    assert cli.ok("verify", str(packed), "--json").json["sound"]
    assert [path.name for path in cli.folder.iterdir() if "part" in path.name] == []


@pytest.mark.parametrize("name", ["birds.zip", "birds"])
def test_a_disk_without_room_is_one_sentence(gathered: Cli, name: str) -> None:
    cli, out = gathered, gathered.folder / name
    cli.ok("export", "1", "--out", name)
    out.rename(cli.folder / "elsewhere")
    undo(cli, "UPDATE export_jobs SET delivery = 'wanted', file_size = 10::bigint ^ 15")
    told = complaint(cli.run("exports", "retry", "1"), 2)
    assert f"cannot be put to {out}: it has 1,000,000,000,000,000 bytes, and " in told
    assert "gleanset exports retry 1" in told
    assert [path.name for path in cli.folder.iterdir() if "birds" in path.name] == []


def digest(path: Path) -> str:
    return hashlib.sha256((path / "MANIFEST.sha256" if path.is_dir() else path).read_bytes()).hexdigest()


def test_an_earlier_export_is_gone_on_with_by_its_number(s3: str, s3_server: str, gathered: Cli) -> None:
    cli, out = gathered, f"{s3}/first.zip"
    killed_on_its_way(cli, s3_server, r"first\.zip$", out, "--name", "The first")
    cli.ok("validate", "1", "--rule", "min_width=9999")
    undo(cli, "UPDATE export_jobs SET status = 'cancelled'; DELETE FROM procrastinate_jobs")
    assert cli.run("export", "1", "--out", "second.zip").code == 1, "nothing is valid any more"
    cli.ok("validate", "1")
    cli.ok("export", "1", "--out", "third.zip")
    listed = cli.ok("exports", "list", "--job", "1", "--json").json
    assert [(each["id"], each["name"], each["status"]) for each in listed] == [
        (3, "pets", "completed"), (2, "pets", "failed"), (1, "The first", "cancelled"),
    ]  # fmt: skip
    assert "gleanset exports retry 1, gleanset exports retry 2" in complaint(cli.run("jobs", "retry", "1"), 2)
    assert "The first" in cli.ok("exports").out
    assert out in cli.ok("exports", "show", "1").out

    run = cli.ok("exports", "retry", "1", "--json").json
    assert (run["export_job_id"], run["export_path"], run["status"]) == (1, out, "completed")
    assert (run["validation_job_id"], run["invalid"]) == (1, {}), "of the validation that decides in it"
    assert lying(s3).keys() == {"first.zip"}
    third = cli.folder / "third.zip"
    assert str(third) in cli.ok("exports", "show", "3").out
    assert "there is no export job 9" in complaint(cli.run("exports", "retry", "9"), 2).lower()
    assert "there is no export job 9" in complaint(cli.run("exports", "show", "9"), 2).lower()


def test_an_export_is_cancelled_by_its_number(s3: str, s3_server: str, gathered: Cli) -> None:
    cli = gathered
    with sending(cli, s3_server, r"birds\.zip$", f"{s3}/birds.zip", "--json") as (_, running):
        assert "gleanset exports retry 1" in cli.ok("exports", "cancel", "1").out
        out, _ = running.communicate(timeout=30)
        assert (running.returncode, json.loads(out)["status"]) == (1, "cancelled")
        assert set(lying(s3)) == {".birds.zip.gleanset-export"}
    assert "is cancelled" in complaint(cli.run("exports", "cancel", "1"), 2)
    assert "no export job 9" in complaint(cli.run("exports", "cancel", "9"), 2)
    assert cli.ok("jobs", "show", "1", "--json").json["export_path"] is None


def test_what_was_stopped_of_a_job_that_has_ended_is_told(s3: str, s3_server: str, gathered: Cli) -> None:
    cli = gathered
    with sending(cli, s3_server, r"birds\.zip$", f"{s3}/birds.zip") as (_, running):
        told = cli.ok("jobs", "cancel", "1").out
        assert "Job 1 had ended already and stays completed" in told
        assert "export 1. Go on with it: gleanset exports retry 1" in told
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "Crawl job 1 is completed" in out
    assert "Its export 1 is cancelled." in out
    assert "there is nothing to cancel" in complaint(cli.run("jobs", "cancel", "1"), 2)
    undo(cli, "UPDATE crawl_jobs SET started_at = started_at - interval '1 hour'")
    assert cli.ok("validate", "1", "--json").json["seconds"] < 600
    assert cli.ok("export", "1", "--json").json["seconds"] < 600
    assert cli.ok("jobs", "show", "1", "--json").json["seconds"] > 3000, "the run's"


def test_what_others_put_to_a_place_that_was_cleared_stays(s3: str, s3_server: str, gathered: Cli) -> None:
    cli, out = gathered, f"{s3}/birds"
    killed_on_its_way(cli, s3_server, r"birds/MANIFEST\.sha256$", out)
    undo(cli, "UPDATE export_jobs SET status = 'failed'; DELETE FROM procrastinate_jobs")
    obstore.delete(from_url(out), list(lying(out)))
    obstore.put(from_url(out), "theirs.jpg", b"theirs")
    failed = cli.run("exports", "retry", "1")
    assert failed.code == 1
    assert "exists already" in failed.out
    assert lying(out) == {"theirs.jpg": 6}
    obstore.delete(from_url(out), "theirs.jpg")
    assert cli.ok("exports", "retry", "1", "--json").json["export_path"] == out
    assert cli.ok("verify", out, "--json").json["sound"]


def test_bytes_of_another_attempt_do_not_stay(s3: str, s3_server: str, gathered: Cli) -> None:
    """The second attempt, at other bytes, was killed when it had begun: what is there has the sizes, not the bytes."""
    cli, out = gathered, f"{s3}/birds"
    killed_on_its_way(cli, s3_server, r"birds/MANIFEST\.sha256$", out)
    name, size = next((path, size) for path, size in lying(out).items() if path.endswith(".jpg"))
    obstore.put(from_url(out), name, b"x" * size)
    undo(cli, "UPDATE export_jobs SET sha256 = NULL")
    assert cli.ok("exports", "retry", "1", "--json").json["export_path"] == out
    assert cli.ok("verify", out, "--json").json["sound"]


@pytest.mark.parametrize(
    ("name", "hold"), [("birds.zip", r"birds\.zip$"), ("birds", r"birds/MANIFEST\.sha256$")], ids=["zip", "folder"]
)
def test_what_is_taken_down_while_it_is_sent_does_not_go_out(
    s3: str, s3_server: str, gathered: Cli, name: str, hold: str
) -> None:
    cli, out = gathered, f"{s3}/{name}"
    with sending(cli, s3_server, hold, out) as (way, running):
        cli.ok("takedown", sha256_of(2))
        way.released.set()
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Images were taken down meanwhile" in told
    assert "gleanset exports retry 1" in told
    [marker] = lying(s3)
    assert marker.endswith("gleanset-export")

    again = cli.ok("exports", "retry", "1", "--json").json
    assert (again["status"], again["export_path"]) == ("completed", out)
    assert cli.ok("exports", "show", "1", "--json").json["exported_images"] == 5
    assert cli.ok("verify", out, "--json").json["sound"]
    assert not any("gleanset-export" in path for path in lying(s3))


def test_what_was_taken_down_since_is_not_put_into_place(gathered: Cli) -> None:
    cli, out = gathered, gathered.folder / "birds.zip"
    cli.ok("export", "1", "--out", "birds.zip")
    out.unlink()
    undo(cli, "UPDATE export_jobs SET delivery = 'wanted'")
    cli.ok("takedown", sha256_of(2))
    refused = complaint(cli.run("exports", "retry", "1"), 2)
    assert "1 of the images in export 1 were taken down since" in refused
    assert not out.exists()
