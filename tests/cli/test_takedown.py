"""An image is taken down by the command line, and does not come back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.cli.test_runs import write_list
from tests.web import ChangingWeb, sha256_of

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


@pytest.mark.parametrize("target", ["", "cat.jpg", "ab" * 31, "ftp://example.org/a.jpg", "https://example.org/a b"])
def test_what_is_neither_address_nor_hash_is_refused(inside: Inside, target: str) -> None:
    refused = inside("takedown", target)
    assert refused.code == 2
    assert "SHA-256" in refused.err
