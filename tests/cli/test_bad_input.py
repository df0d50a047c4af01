"""Bad input gets one clear sentence with what to do, the right exit code, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backend.cli.rules import parse_rules
from backend.db import libpq_url
from gleanset.presets import PRESETS
from gleanset.rules import Rules, RuleSet
from tests.cli.conftest import Cli, Done, Inside
from tests.cli.test_runs import write_list
from tests.web import PictureWeb


def complaint(done: Done, code: int) -> str:
    """The one sentence on standard error."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    assert done.out == ""
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["crawl"], "nothing to crawl"),
        (["crawl", ""], "empty"),
        (["crawl", "caf\udce9"], "UTF-8"),
        (["crawl", "cat", "--project", " "], "empty"),
        (["crawl", "cat", "--source", "openvers"], "Did you mean openverse?"),
        (
            ["crawl", "cat", "--source", "urls"],
            "takes no keywords but a list as txt, csv, tsv, jsonl or parquet, gzipped or not: a file, or an https:// or"
            " s3:// address. Give it by --urls.",
        ),
        (["crawl", "--urls", "none.csv"], "none.csv"),
        (["crawl", "--urls", "."], "folder"),
        (["crawl", "--urls", "empty.csv"], "empty.csv"),
        (["crawl", "--urls", "columns.csv"], "columns.csv"),
        (["crawl", "--urls", "good.csv", "--url-column", "link"], "link"),
        (["crawl", "--urls", "bad.jsonl"], "line 2"),
        (["crawl", "--urls", "bad.parquet"], "bad.parquet"),
        (["crawl", "cat", "--rule", "min_widht=3"], "Did you mean min_width?"),
        (["crawl", "cat", "--rule", "min_width"], "min_width=256"),
        (["crawl", "cat", "--rule", "min_width=wide"], "number"),
        (["crawl", "cat", "--rule", "min_width=9", "--rule", "max_width=8"], "no image"),
        (["crawl", "cat", "--rules", "severe"], "the presets are: lenient, standard, strict"),
        (["crawl", "cat", "--rules", "good.csv"], "is not JSON"),
        (["crawl", "cat", "--rules", "list.json"], "is no rule set"),
        (["crawl", "cat", "--rules", "new.json"], "of version 2 of the rules"),
        (["crawl", "cat", "--rules", "wrong.json"], "Did you mean min_width?"),
        (["crawl", "cat", "--rules", "posing.json"], "strict is the name of a preset"),
        (["crawl", "cat", "--rules", "twice.json"], "twice.json has 'min_width' twice"),
        (["crawl", "cat", "--rules", "more.json"], "'extra', 'min_width' beside the rules"),
        (["crawl", "cat", "--rules", "deep.json"], "deep.json is not JSON: it nests too deep."),
        (["crawl", "cat", "--rules", "many.json"], "many.json is not JSON"),
        (
            ["crawl", "cat", "--rule", "min_width=300", "--rule", "min_width=200"],
            "The rule min_width is given twice, as 300 and as 200.",
        ),
        (["validate", "1", "--rule", "orientation=square", "--rule", "min_aspect_ratio=2"], "orientation=square leave"),
        (
            ["crawl", "cat", "--out", "x.zip", "--split", "80/20", "--fixed-test", "deep.json"],
            "no SHA-256 of an image of a test set in deep.json",
        ),
        (
            ["crawl", "cat", "--out", "x.zip", "--split", "80/20", "--fixed-test", "deep.jsonl"],
            "[[[' is no JSON object",
        ),
        (["validate", "1", "--rules", "standard", "--rule", "keep_duplicates=true"], "drop one of them"),
        (["validate", "77", "--dry-run"], "77"),
        (["validate", "1", "--rule", "min_width=9999999999", "--dry-run"], "a whole number up to 2147483647"),
        (["rules", "severe"], "lenient, standard, strict"),
        (["compare", "77", "78"], "77"),
        (["crawl", "cat", "--export", "rar"], "zip"),
        (["crawl", "cat", "--out", "good.csv"], "exists"),
        *(
            (["crawl", "cat", "--out", f"pets.{end}"], f"would be a .{end.lower()} file, which is not made here")
            for end in ("rar", "7z", "tar.bz2", "TBZ2", "tar.xz", "txz", "gz", "bz2", "xz", "zst", "tar.lz4")
        ),
        (["crawl", "cat", "--out", "s3://none/pets.rar"], "which is not made here"),
        (["crawl", "cat", "--out", "no/such/folder/x.zip"], "does not exist"),
        (["jobs", "show", "77"], "jobs list"),
        (["jobs", "retry", "77"], "77"),
        (["jobs", "cancel", "77"], "77"),
        (["validate", "77"], "77"),
        (["export", "77"], "77"),
    ],
)
def test_usage(cli: Cli, inside: Inside, arguments: list[str], said: str) -> None:
    (cli.folder / "good.csv").write_text("url\nhttps://example.org/a.jpg\n")
    (cli.folder / "empty.csv").write_text("")
    (cli.folder / "columns.csv").write_text("name,size\na,1\n")
    (cli.folder / "bad.jsonl").write_text('{"url": "https://example.org/a.jpg"}\nnot json\n')
    (cli.folder / "bad.parquet").write_text("PAR")
    (cli.folder / "list.json").write_text("[]")
    (cli.folder / "new.json").write_text('{"version": 2, "rules": {}}')
    (cli.folder / "wrong.json").write_text('{"name": "birds", "rules": {"min_widht": 1}}')
    (cli.folder / "twice.json").write_text('{"rules": {"min_width": 1, "max_width": 5, "min_width": 2}}')
    (cli.folder / "more.json").write_text('{"rules": {}, "min_width": 5, "extra": 1}')
    (cli.folder / "deep.json").write_text("[" * 100_000)
    (cli.folder / "many.json").write_text("[" + "0, " * 400_000 + "0]")
    (cli.folder / "deep.jsonl").write_text('{"a": ' + "[" * 100_000)
    (cli.folder / "posing.json").write_text('{"name": "strict", "rules": {}}')
    assert said in complaint(inside(*arguments), 2)


@pytest.mark.parametrize("arguments", [["crawl", "cat", "-n", "0"], ["crawl", "--nonsense"], ["nonsense"]])
def test_options_are_explained(inside: Inside, arguments: list[str]) -> None:
    done = inside(*arguments)
    assert done.code == 2
    assert "Usage: gleanset" in done.err
    assert "Traceback" not in done.err


def test_a_set_that_is_shown_can_be_given_back(cli: Cli, inside: Inside) -> None:
    shown = inside.ok("rules", "strict", "--json").out
    (cli.folder / "mine.json").write_text(
        shown.replace('"strict"', '"mine"').replace('"min_width": 400', '"min_width": 9')
    )
    named = RuleSet.parse(*parse_rules(["min_height=none"], str(cli.folder / "mine.json")))
    expected = Rules.parse({"preset": "strict", "min_width": 9, "min_height": None})
    assert (named.name, named.rules) == ("mine", expected)
    table = inside.ok("rules").out
    assert all(word in table for word in (*PRESETS, "min_width", "near_duplicate_distance", "greyscale"))
    assert [each["name"] for each in json.loads(inside.ok("rules", "--json").out)] == list(PRESETS)


def test_help_teaches(inside: Inside) -> None:
    for command in (
        [],
        ["crawl"],
        ["demo"],
        ["jobs"],
        ["jobs", "retry"],
        ["db"],
        ["worker"],
        ["validate"],
        ["export"],
        ["sources"],
    ):
        assert "Usage: " in inside.ok(*command, "--help").out
    assert "gleanset crawl cat dog" in inside.ok("crawl", "--help").out


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", 1, "does not answer"),
        ("mysql://localhost/x", 2, "postgresql://"),
        ("not an address", 2, "postgresql://"),
    ],
)
def test_an_unreachable_database(inside: Inside, address: str, code: int, said: str) -> None:
    assert said in complaint(inside("jobs", "list", DATABASE_URL=address), code)


def test_an_embedded_database_where_it_cannot_be(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "cats, dogs"
    environment = {name: value for name, value in cli.environment.items() if name != "DATABASE_URL"}
    done = replace(cli, environment=environment | {"GLEANSET_HOME": str(home)}).run("jobs", "list")
    assert f"cannot lie in {home / 'postgresql'}: there is a comma in its path." in complaint(done, 1)
    assert not (home / "postgresql").exists()


def test_a_server_without_tables_is_told_to_be_upgraded(inside: Inside, empty_url: str) -> None:
    assert "gleanset db upgrade" in complaint(inside("jobs", "list", DATABASE_URL=empty_url), 1)
    assert inside("db", "upgrade", DATABASE_URL=empty_url).code == 0
    assert "no jobs yet" in inside.ok("jobs", "list", DATABASE_URL=empty_url).out


def test_a_database_of_a_newer_version(inside: Inside, database_url: str) -> None:
    with psycopg.connect(libpq_url(database_url)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
    for command in (("jobs", "list"), ("db", "upgrade"), ("db", "current")):
        assert "newer Gleanset" in complaint(inside(*command), 1)


def test_a_setting_that_is_none(inside: Inside) -> None:
    assert "GLEANSET_PER_HOST" in complaint(inside("jobs", "list", GLEANSET_PER_HOST="many"), 2)
    assert "The setting GLEANSET_HOSTS is not JSON." in complaint(inside("jobs", "list", GLEANSET_HOSTS="no json"), 2)
    good = {"GLEANSET_HOSTS": "{}", "GLEANSET_PER_HOST": "2"}
    short = complaint(inside("jobs", "list", GLEANSET_SECRET_KEY="short", **good), 2)
    assert "GLEANSET_SECRET_KEY is not right: it needs 32 characters or more." in short
    good["GLEANSET_SECRET_KEY"] = "x" * 32
    broken = complaint(inside("jobs", "list", GLEANSET_CONTACT="ada@example.org\r\nX: y", **good), 2)
    assert "GLEANSET_CONTACT is not right: it has to be one line, such as ada@example.org. See" in broken
    good["GLEANSET_CONTACT"] = "Ada Müller, ada@example.org"
    for urls, said in (
        ('{"openverse": "nonsense"}', "openverse needs an address that begins with https:// or http://"),
        ('{"openverse": "http://[::1"}', "openverse needs an address that begins with https:// or http://"),
        ('{"openvers": "https://x.test"}', "there is no source 'openvers' with a service; see `gleanset sources`"),
        ('{"folder": "https://x.test"}', "there is no source 'folder' with a service; see `gleanset sources`"),
        ('{"openverse": 3}', "openverse: Input should be a valid string"),
    ):
        wrong = complaint(inside("jobs", "list", GLEANSET_SOURCE_URLS=urls, **good), 2)
        assert f"The setting GLEANSET_SOURCE_URLS is not right: {said}. See" in wrong
    good["GLEANSET_SOURCE_URLS"] = '{"openverse": "http://127.0.0.1:9/v1"}'
    lonely = complaint(inside("jobs", "list", GLEANSET_OIDC_ISSUER="https://id.example/", **good), 2)
    assert "GLEANSET_OIDC_AUDIENCE is not right: GLEANSET_OIDC_ISSUER needs it too. See" in lonely


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 300 kB. Mounting needs root, which CI is."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("run as root to mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_the_job_and_retry_goes_on(cli: Cli, small_disk: Path, tmp_path: Path) -> None:
    settings = {"GLEANSET_STORE_URL": str(small_disk), "GLEANSET_ROWS_PER_CHUNK": "100"}
    cramped = replace(cli, environment=cli.environment | settings)
    with PictureWeb().served() as url:
        path = write_list(cli.folder, url, 300)
        done = cramped.run("crawl", "--urls", str(path), "--allow-private", "--own", "127.0.0.1", "--json")
        assert (done.code, done.err) == (1, "")
        assert done.json["status"] == "failed"
        assert "no space left" in done.json["error"]
        assert 0 < done.json["downloaded_images"] < 250
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        run = cramped.ok("jobs", "retry", "1", "--json").json
    assert (run["status"], run["total_images"]) == ("completed", 300)
