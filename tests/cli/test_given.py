"""Options that would be ignored are refused, whichever it is; and what is named twice is asked once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
import typer

from backend.cli import app
from tests.cli.conftest import Cli, Inside
from tests.cli.test_bad_input import complaint
from tests.cli.test_refresh import rows
from tests.engine.sources.fake_openverse import FakeOpenverse

GROUP: Any = typer.main.get_command(app)
OPTIONS = {option.name: option for option in GROUP.commands["crawl"].params if option.param_type_name == "option"}
PACKED = {
    "export": ["--export", "csv"],
    "out": ["--out", "again.zip"],
    "split": ["--export", "zip", "--split", "80/20"],
    "folds": ["--export", "zip", "--folds", "3"],
    "fixed_test": ["--export", "zip", "--split", "90/10", "--fixed-test", "4"],
    "follow": ["--export", "zip", "--split", "80/20", "--follow", "none"],
    "related": ["--export", "zip", "--split", "80/20", "--related", "none"],
    "seed": ["--export", "zip", "--split", "80/20", "--seed", "4"],
    "labels": ["--export", "zip", "--labels", "tern"],
    "export_resize": ["--export", "zip", "--export-resize", "256"],
    "rename": ["--export", "zip", "--rename", "number"],
    "max_shard_size": ["--export", "parquet", "--max-shard-size", "5MB"],
    "metadata": ["--export", "zip", "--no-metadata"],
}
BESIDE_REFRESH = PACKED | {"max_images": ["-n", "3"], "json": ["--json"]}
FROM_THE_JOB = OPTIONS.keys() - BESIDE_REFRESH.keys() - {"refresh"}
NUMBERS = {"depth": "1", "pages": "100", "resize": "256"}


def typed(name: str) -> list[str]:
    option = OPTIONS[name]
    return [option.opts[0]] if option.is_flag else [option.opts[0], NUMBERS.get(name, "any")]


@pytest.mark.parametrize("name", sorted(FROM_THE_JOB))
def test_beside_a_refresh_no_option_is_dropped(inside: Inside, name: str) -> None:
    said = complaint(inside("crawl", "--refresh", "7", *typed(name)), 2)
    assert "A refresh takes its plan from the job: beside --refresh only -n, --json, and what is to be packed" in said
    assert any(f"Leave out {called}." in said for called in OPTIONS[name].opts)


@pytest.mark.parametrize("name", sorted(BESIDE_REFRESH))
def test_beside_a_refresh_goes_how_much_and_how_it_is_packed(inside: Inside, name: str) -> None:
    assert "There is no crawl job 7" in complaint(inside("crawl", "--refresh", "7", *BESIDE_REFRESH[name]), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--urls", "list.txt", "--depth", "1"], "--depth says how to read a website: give --website URL too."),
        (["--urls", "list.txt", "--pages", "100"], "--pages says how to read a website: give --website URL too."),
        (["tern", "--sitemaps"], "--sitemaps says how to read a website: give --website URL too."),
        (["--folder", "pics", "--url-column", "a"], "--url-column says how to read a list: give --urls FILE too."),
        (["tern", "--label-column", "b"], "--label-column says how to read a list: give --urls FILE too."),
        (["--urls", "list.txt", "--source", "met"], "--source says whom to ask for keywords: give a KEYWORD too."),
        (["tern", "--label", "bird"], "--label is for a list, website or folder: leave it out"),
        (["tern", "--keep-original"], "--keep-original says what to keep beside resized copies: give --resize PIXELS"),
        (
            ["--urls", "list.txt", "--label", "y", "--label-column", "nope"],
            "--label is one label for all, and --label-column one for each row: give one of them.",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(inside: Inside, arguments: list[str], said: str) -> None:
    assert said in complaint(inside("crawl", *arguments), 2)


async def test_what_is_named_twice_is_asked_once(cli: Cli) -> None:
    twice = ("--source", "openverse", "--source", "openverse")
    (cli.folder / "list.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    async with FakeOpenverse([]) as fake:
        cli.environment["GLEANSET_SOURCE_URLS"] = json.dumps({"openverse": fake.url})
        await asyncio.to_thread(
            cli.ok, "crawl", "tern", *twice, "--urls", "list.txt", "--urls", "list.txt", "--allow-private"
        )
    [plan] = [options for (options,) in rows(cli, "SELECT options FROM crawl_jobs")]
    assert (plan["sources"], len(plan["lists"])) == (["openverse"], 1)
    assert Counter(source for (source,) in rows(cli, "SELECT source FROM crawl_chunks")) == {"openverse": 1, "urls": 1}
