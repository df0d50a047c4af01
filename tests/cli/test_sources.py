"""Sources on the command line: what is told of them, their keys, and licences to keep to."""

from __future__ import annotations

import asyncio
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backend.db import libpq_url
from gleanset.sources import SOURCES
from tests.cli.conftest import Cli, Inside
from tests.cli.test_bad_input import complaint
from tests.engine.sources.fake_flickr import FakeFlickr
from tests.engine.sources.fake_keyed import KEY
from tests.engine.sources.fake_pexels import FakePexels, photo
from tests.web import PictureWeb

STATED = {
    1: "cc0",
    2: "CC BY 4.0",
    3: "https://creativecommons.org/licenses/by/2.0/",
    4: "by-sa",
    5: "All rights reserved",
    6: "",
    8: "by-nc",
}
"""The licence column of a list, by the number of the picture."""


def licensed_list(folder: Path, url: str) -> Path:
    path = folder / "licensed.csv"
    path.write_text("url,licence\n" + "".join(f"{url}/{number}.jpg,{text}\n" for number, text in STATED.items()))
    return path


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--license", "cc0,by"], {1, 2, 3}),
        (["--license", "cc0", "--license", "BY, unknown"], {1, 2, 3, 6}),
        (["--license", "commercial"], {1, 2, 3, 4}),
    ],
)
def test_other_licences_are_refused_before_they_are_fetched(cli: Cli, options: list[str], wanted: set[int]) -> None:
    web = PictureWeb()
    with web.served() as url:
        path = licensed_list(cli.folder, url)
        run = cli.ok("crawl", "--urls", str(path), "--allow-private", *options, "--json").json
    assert (run["status"], run["total_images"], run["downloaded_images"]) == ("completed", len(STATED), len(wanted))
    assert run["failures"] == {"licence": len(STATED) - len(wanted)}
    pictures = {path: times for path, times in web.asked.items() if path.endswith(".jpg")}
    assert pictures == {f"/{number}.jpg": 1 for number in wanted}


def test_what_is_refused_stays_with_its_licence_and_reason(cli: Cli) -> None:
    with PictureWeb().served() as url:
        cli.ok("crawl", "--urls", str(licensed_list(cli.folder, url)), "--allow-private", "--license", "cc0,by")
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        rows = connection.execute("SELECT original_url, detail FROM images WHERE reason = 'licence' ORDER BY 1")
        refused = {address.removeprefix(url): detail for address, detail in rows}
        plan = connection.execute("SELECT options->'licences' FROM crawl_jobs").fetchone()
    assert refused == {
        "/4.jpg": "by-sa", "/5.jpg": "all-rights-reserved", "/6.jpg": "unknown", "/8.jpg": "by-nc",
    }  # fmt: skip
    assert plan == (["by", "cc0"],)
    assert "The licence is not one of those asked for." in cli.ok("jobs", "show", "1").out


@pytest.mark.parametrize("word", ["bye", "", "by,,cc0", "GFDL"])
def test_a_word_that_is_no_licence(cli: Cli, inside: Inside, word: str) -> None:
    said = complaint(inside("crawl", "cat", "--license", word), 2)
    assert "There is no licence '" in said
    assert "A filter takes some of: commercial, modification, open, by, " in said


@pytest.mark.parametrize("name", ["flickr", "pexels", "pixabay"])
def test_a_missing_key_is_told_before_anything_is_planned(inside: Inside, name: str) -> None:
    said = complaint(inside("crawl", "cat", "--source", "openverse", "--source", name), 2)
    assert "needs a key of your own, from https://" in said
    assert f"""GLEANSET_SOURCE_KEYS='{{"{name}": "..."}}'""" in said
    assert "no jobs yet" in inside.ok("jobs", "list").out


def test_a_source_whose_licence_is_not_wanted_is_not_asked(inside: Inside) -> None:
    keys = json.dumps({"pexels": KEY})
    said = complaint(inside("crawl", "cat", "--source", "pexels", "--license", "by", GLEANSET_SOURCE_KEYS=keys), 2)
    assert "Every picture of Pexels has the licence pexels, which is not one of those asked for." in said
    assert "--license pexels" in said


def test_the_met_has_nothing_but_cc0(inside: Inside) -> None:
    said = complaint(inside("crawl", "cat", "--source", "met", "--license", "by,unknown"), 2)
    assert "Every picture of The Metropolitan Museum of Art has the licence cc0, which is not one" in said


@pytest.mark.parametrize("keys", ['{"flickr": 3}', '{"flickr": "s3cret"', '["s3cret"]'])
def test_keys_that_are_no_setting(inside: Inside, keys: str) -> None:
    said = complaint(inside("sources", GLEANSET_SOURCE_KEYS=keys), 2).lower()
    assert "source_keys" in said
    assert "s3cret" not in said


def test_the_table_of_sources(inside: Inside) -> None:
    keys = json.dumps({"flickr": KEY})
    out = inside.ok("sources", COLUMNS="1000", GLEANSET_SOURCE_KEYS=keys).out
    lines = {name: line for name in SOURCES for line in out.splitlines() if line.startswith(f"{name} ")}
    assert list(lines) == list(SOURCES)
    for name, info in SOURCES.items():
        assert all(said in lines[name] for said in (info.needs, info.allows, info.terms))
    assert "https://www.flickr.com/services/apps/create/ (set)" in lines["flickr"]
    assert "https://www.pexels.com/api/ (not set)" in lines["pexels"]
    assert lines["openverse"].rstrip().endswith("filtered there")
    assert lines["wikimedia"].rstrip().endswith("filtered here")
    assert lines["pixabay"].rstrip().endswith("always pixabay")
    assert KEY not in out


def test_a_narrow_table_shows_whole_addresses(inside: Inside) -> None:
    assert "…" not in inside.ok("sources", COLUMNS="80").out


def test_the_sources_as_json(inside: Inside) -> None:
    done = inside(
        "sources", "--json", GLEANSET_SOURCE_KEYS=json.dumps({"flickr": KEY, "pexels": " ", "openverse": KEY})
    )
    told = {source["name"]: source for source in done.json}
    assert list(told) == list(SOURCES)
    assert {name for name, source in told.items() if source["key"]} == {"flickr", "pexels", "pixabay"}
    assert {name for name, source in told.items() if source["key_is_set"]} == {"flickr", "openverse"}
    assert told["openverse"] == {
        "name": "openverse",
        "title": "Openverse",
        "needs": "nothing; a key, as `client_id:client_secret`, allows more",
        "key": False,
        "key_is_set": True,
        "allows": SOURCES["openverse"].allows,
        "terms": SOURCES["openverse"].terms,
        "page": "https://docs.openverse.org/terms_of_service.html",
        "filters": True,
        "licence": None,
    }
    assert KEY not in done.out


def everything_in(database_url: str) -> str:
    with psycopg.connect(libpq_url(database_url)) as connection:
        tables = ("crawl_jobs", "crawl_chunks", "images", "activity_logs", "procrastinate_jobs")
        return "\n".join(
            str(row) for table in tables for row in connection.execute(f"SELECT t::text FROM {table} t").fetchall()
        )


def keyed(cli: Cli, name: str, url: str) -> Cli:
    settings = {"GLEANSET_SOURCE_KEYS": json.dumps({name: KEY}), "GLEANSET_SOURCE_URLS": json.dumps({name: url})}
    return replace(cli, environment=cli.environment | settings)


async def test_a_source_with_a_key_becomes_a_dataset_without_it(cli: Cli) -> None:
    with PictureWeb().served() as web:
        photos = [photo(number, src={"original": f"{web}/{number}.jpg"}) for number in (1, 2, 3, 4, 5)]
        async with FakePexels(photos) as fake:
            pexels = keyed(cli, "pexels", fake.url)
            done = await asyncio.to_thread(
                pexels.ok, "-v", "crawl", "cat", "--source", "pexels", "--license", "pexels", "--allow-private",
                "--out", "cats.zip", "--json",
            )  # fmt: skip
    assert done.json["downloaded_images"] == 5
    with zipfile.ZipFile(cli.folder / "cats.zip") as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        assert not any(KEY.encode() in archive.read(name) for name in archive.namelist())
    assert {(row["licence"], row["creator"], row["source"]) for row in rows} == {("pexels", "Ada Example", "pexels")}
    assert "s3cret" not in done.out + done.err + everything_in(cli.environment["DATABASE_URL"])


async def test_a_failing_source_shows_its_key_neither_in_logs_nor_in_the_database(cli: Cli) -> None:
    async with FakeFlickr([]) as fake:
        fake.broken = [(403, {}, f'{{"error": "not allowed: {KEY}"}}'.encode())] * 9
        flickr = keyed(cli, "flickr", fake.url)
        done = await asyncio.to_thread(
            flickr.run, "-v", "crawl", "cat", "--source", "flickr", "--allow-private", "--json"
        )
    assert (done.code, done.json["status"]) == (1, "failed")
    assert done.json["error"] == (
        "Flickr does not let us ask this (403). not allowed: [key]. Check the key in GLEANSET_SOURCE_KEYS."
    )
    assert "chunk failed" in done.err
    assert "cause='Flickr does not let us ask this (403). not allowed: [key]." in done.err
    assert "Traceback" not in done.err
    stored = everything_in(cli.environment["DATABASE_URL"])
    assert "not allowed: [key]" in stored
    assert "s3cret" not in done.out + done.err + stored
