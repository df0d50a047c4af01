"""A crawl, a web that changes, and a refresh: counts, rows of both jobs, and what was sent again."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from typing import Any

import psycopg
import pytest

from backend.db import libpq_url
from tests.cli.conftest import Cli
from tests.cli.test_runs import wait_until, write_list
from tests.web import ChangingWeb, expected, picture, sha256_of

HAD = [n for n in range(30) if expected(n) is None]


def rows(cli: Cli, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        return connection.execute(sql.encode()).fetchall()


def images(cli: Cli, job: int) -> dict[int, tuple[Any, ...]]:
    """Outcome, reason, change, hash, label, file and its CRC-32 by the picture's number."""
    found = rows(
        cli,
        "SELECT original_url, outcome, reason, change, encode(sha256, 'hex'), label, storage_url, crc32,"
        f" metadata_ ->> 'note' FROM images WHERE crawl_job_id = {job}",
    )
    return {int(url.rsplit("/", 1)[1].removesuffix(".jpg")): row for url, *row in found}


def test_a_refresh_tells_what_became_of_the_pictures(cli: Cli) -> None:
    cli.environment["GLEANSET_INTERVAL"] = "0"
    web = ChangingWeb()
    with web.served() as url:
        path = write_list(cli.folder, url, 30)
        first = cli.ok("crawl", "--urls", str(path), "--allow-private", "--rule", "min_width=100", "--json").json
        assert first["downloaded_images"] == len(HAD) == 23
        assert "changes" not in first
        assert web.sent == Counter(HAD)
        before = images(cli, 1)

        write_list(cli.folder, url, 34)  # four more rows, of which 33 is a page that is no picture
        web.versions |= {1: 1001, 2: 1002, 3: 1003}
        web.statuses |= {4: 404, 5: 410, 6: 403}
        web.said |= {8: {"X-Robots-Tag": "noai"}}
        web.robots = "User-agent: *\nDisallow: /9.jpg\nDisallow: /10.jpg\n"
        rows_changed = "UPDATE hosts SET files_until = now() RETURNING authority"  # as if a day had passed
        assert len(rows(cli, rows_changed)) == 1
        web.sent.clear()
        web.asked.clear()
        second = cli.ok("crawl", "--refresh", "1", "-n", "40", "--out", "again.zip", "--json").json

    gone = {4, 5, 6, 8, 9, 10}
    assert second["refresh_of"] == 1
    assert second["changes"] == {
        "unchanged": 14, "changed": 3, "new": 3, "opted_out": 3, "dead": 2, "lost": 1,
    }  # fmt: skip
    assert (second["status"], second["total_images"], second["downloaded_images"]) == ("completed", 34, 20)
    assert second["valid_images"] == 20
    assert web.sent == Counter([1, 2, 3, 30, 31, 32]), "what has not changed is not sent again"
    pictures = Counter({path: times for path, times in web.asked.items() if path.endswith(".jpg")})
    assert pictures == Counter(f"/{n}.jpg" for n in range(34) if n not in (9, 10)), "no URL is asked twice"

    after = images(cli, 2)
    assert images(cli, 1) == before, "the old job stays as it was"
    assert sorted(after) == list(range(34))
    assert {n: row[2] for n, row in after.items() if row[2]} == {
        **dict.fromkeys(set(HAD) - gone - {1, 2, 3}, "unchanged"), **dict.fromkeys((1, 2, 3), "changed"),
        **dict.fromkeys((30, 31, 32), "new"), 4: "dead", 5: "dead", 6: "lost", **dict.fromkeys((8, 9, 10), "opted_out"),
    }  # fmt: skip
    for n in set(HAD) - gone - {1, 2, 3}:
        old, new = before[n], after[n]
        assert (new[0], new[3:]) == (old[0], old[3:]), "provenance, hash and file are those of before"
    assert [after[n][3] for n in (1, 2, 3, 30)] == [sha256_of(n) for n in (1001, 1002, 1003, 30)]
    assert [after[n][6] for n in (12, 1, 2, 3, 30)] == [zlib.crc32(picture(n)) for n in (12, 1001, 1002, 1003, 30)]
    assert [after[n][6] for n in (4, 8)] == [None, None]
    with zipfile.ZipFile(cli.folder / "again.zip") as packed:
        hashes = {json.loads(line)["sha256"] for line in packed.read("metadata.jsonl").splitlines()}
        card = packed.read("README.md").decode()
    assert hashes == {row[3] for row in after.values() if row[0] == "downloaded"}
    assert "| unchanged | 14 |" in card

    shown = cli.ok("jobs", "show", "2").out
    assert "Crawl job 2, a refresh of job 1, is completed" in shown
    assert "14 unchanged" in " ".join(shown.split())
    assert "refresh" not in cli.ok("jobs", "show", "1").out
    assert not [found for found in cli.run("db", "doctor", "--json").json if "blob" in json.dumps(found)]


def test_a_refresh_of_a_refresh_that_was_killed(cli: Cli) -> None:
    cli.environment.update(GLEANSET_INTERVAL="0", GLEANSET_BATCH="5", GLEANSET_ROWS_PER_CHUNK="20")
    web = ChangingWeb()
    with web.served() as url:
        path = write_list(cli.folder, url, 100)
        cli.ok("crawl", "--urls", str(path), "--allow-private")
        had = [n for n in range(100) if expected(n) is None]
        web.statuses[4] = 404
        assert cli.ok("crawl", "--refresh", "1", "--json").json["changes"] == {"unchanged": len(had) - 1, "dead": 1}
        web.versions[8] = 1008
        web.delay = 0.1
        web.sent.clear()
        web.asked.clear()
        running = cli.start("crawl", "--refresh", "2")
        wait_until(lambda: sum(web.asked.values()) > 30)
        running.kill()
        running.communicate()
        web.delay = 0.0
        done = cli.ok("jobs", "retry", "3", "--json").json
    assert done["changes"] == {"unchanged": len(had) - 2, "changed": 1}
    assert (done["status"], done["refresh_of"], done["total_images"]) == ("completed", 2, 100)
    assert set(web.sent) == {8}
    assert images(cli, 3)[4][1:3] == ["not_found", None], "neither job had it"
    assert rows(cli, "SELECT crawl_job_id, count(*) FROM images GROUP BY 1 ORDER BY 1") == [
        (1, 100),
        (2, 100),
        (3, 100),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--refresh", "7"], "There is no crawl job 7"),
        (["--refresh", "1", "cat"], "A refresh takes its plan from the job"),
        (["--refresh", "1", "--rule", "min_width=9"], "A refresh takes its plan from the job"),
        (["--refresh", "1", "--project", "pets"], "A refresh takes its plan from the job"),
    ],
)
def test_what_a_refresh_cannot_be(cli: Cli, arguments: list[str], sentence: str) -> None:
    done = cli.run("crawl", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
