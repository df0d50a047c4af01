"""An image is taken down by the command line, and does not come back."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from backend.db import libpq_url
from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.cli.test_runs import write_list
from tests.web import ChangingWeb, picture, sha256_of

GONE = 1


def blob(cli: Cli, number: int) -> Path:
    [(url,)] = rows(
        cli, f"SELECT storage_url FROM images WHERE crawl_job_id = 1 AND original_url LIKE '%/{number}.jpg'"
    )
    return Path(unquote(urlsplit(url).path))


@pytest.mark.parametrize("by", ["url", "hash"])
def test_what_is_taken_down_is_gone_and_stays_away(cli: Cli, by: str) -> None:
    cli.environment["GLEANSET_INTERVAL"] = "0"
    web = ChangingWeb()
    with web.served() as url:
        path = write_list(cli.folder, url, 5)
        crawl = ("crawl", "--urls", str(path), "--allow-private", "--json")
        first = cli.ok(*crawl, "--rule", "min_width=1", "--out", "all.zip").json
        files = {number: blob(cli, number) for number in (GONE, 2)}
        assert all(file.exists() for file in files.values())

        target = f"{url}/{GONE}.jpg" if by == "url" else sha256_of(GONE)
        done = cli.ok("takedown", target, "--note", "asked by its author", "--json").json
        assert (done["images"], done["exports"]) == (1, 1)
        assert [file.exists() for file in files.values()] == [False, True]
        assert rows(cli, "SELECT taken_down_images FROM export_jobs") == [(1,)]
        assert cli.ok("jobs", "show", "1", "--json").json["downloaded_images"] == first["downloaded_images"] - 1

        web.sent.clear()
        again = cli.ok(*crawl).json
        assert again["failures"]["taken_down"] == 1
        assert again["downloaded_images"] == first["downloaded_images"] - 1
        assert (GONE in web.sent) == (by == "hash")  # by its address it is not even asked for
        assert not files[GONE].exists()
        assert cli.ok("takedown", target, "--json").json["images"] == 0


def test_what_was_marked_and_put_elsewhere_is_named(cli: Cli, inside: Inside) -> None:
    (cli.folder / "pets" / "cat").mkdir(parents=True)
    for n in range(5):
        (cli.folder / "pets" / "cat" / f"{n}.jpg").write_bytes(picture(n))
    cli.ok("crawl", "--folder", "pets", "--rule", "min_width=1", "--out", "a.zip")
    inside.ok("export", "1")
    out = str(cli.folder / "a.zip")

    told = inside.ok("takedown", sha256_of(1)).out
    assert "Taken down: 1 image gone, 2 exports marked." in told
    assert "Not given out any more: export 1, 2. Export again." in told
    assert told.splitlines()[-2:] == ["Gleanset has put copies to these places, which are yours to remove:", out]
    more = json.loads(inside.ok("takedown", sha256_of(2), "--json").out)
    assert (more["exports"], more["marked"], more["copies"]) == (2, [1, 2], [out])
    none = inside.ok("takedown", sha256_of(2)).out
    assert none == "Taken down: 0 images gone, 0 exports marked. It is refused from now on.\n"

    said = (
        "2 of its images were taken down since, so its file is not given out any more; export again: gleanset export 1"
    )
    assert said in inside.ok("exports", "show", "1").out.splitlines()
    assert said in inside.ok("jobs", "show", "1").out.splitlines()
    lines = inside.ok("exports", COLUMNS="200").out.splitlines()
    assert ["taken down" in line for line in lines] == [False, True, True]
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        connection.execute("UPDATE export_jobs SET taken_down_images = 1, delivery = 'wanted' WHERE id = 1")
    shown = inside.ok("exports", "show", "1").out
    assert "1 of its images was taken down since" in shown
    assert "retry" not in shown, "it would be refused"


@pytest.mark.parametrize("target", ["", "cat.jpg", "ab" * 31, "ftp://example.org/a.jpg", "https://example.org/a b"])
def test_what_is_neither_address_nor_hash_is_refused(inside: Inside, target: str) -> None:
    refused = inside("takedown", target)
    assert refused.code == 2
    assert "SHA-256" in refused.err
