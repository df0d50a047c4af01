"""The options of an export as they are typed."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import backend.web
from backend.cli.packing import export_options, with_options
from backend.errors import BadInput
from backend.schemas.exports import ExportOptions, ExportRequest
from backend.schemas.plans import ExportPlan
from gleanset.export import DOWNLOADED, FORMATS, TAKEN_BY
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import complaint
from tests.cli.test_folder import rows_of
from tests.web import picture

THREE = {"train": 80.0, "validation": 10.0, "test": 10.0}
A, B, C = ("ab" * 32, "cd" * 32, "ef" * 32)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ({}, {}),
        ({"split": "80/10/10"}, {"split": {"ratios": THREE}}),
        ({"split": "80/20"}, {"split": {"ratios": {"train": 80.0, "test": 20.0}}}),
        ({"split": "train=.7, dev=.3"}, {"split": {"ratios": {"train": 0.7, "dev": 0.3}}}),
        (
            {"split": "90/10", "fixed_test": "7"},
            {"split": {"ratios": {"train": 90.0, "validation": 10.0}, "fixed_test": {"export_job_id": 7}}},
        ),
        ({"folds": 5, "follow": "none", "seed": 3}, {"split": {"folds": 5, "follow": "none", "seed": 3}}),
        ({"folds": 5, "follow": "12"}, {"split": {"folds": 5, "follow": 12}}),
        ({"folds": 5, "related": "none"}, {"split": {"folds": 5, "related": []}}),
        ({"folds": 5, "related": "series,near_duplicates"}, {"split": {"folds": 5}}),
        ({"labels": ["gull,tern", 'tern,"a, b"']}, {"labels": ["gull", "tern", "a, b"]}),
        ({"resize": "256"}, {"resize": {"size": 256}}),
        (
            {"resize": "longer:512,webp,quality=80"},
            {"resize": {"mode": "longer", "size": 512, "format": "webp", "quality": 80}},
        ),
        ({"resize": "pad:640x480,jpg"}, {"resize": {"mode": "pad", "size": 640, "height": 480}}),
        ({"rename": "number", "max_shard_size": "2 GB", "metadata": False, "validation": 4},
         {"rename": "number", "max_shard_size": 2 * 10**9, "include_metadata": False, "validation_job_id": 4}),
        ({"max_shard_size": "256MiB"}, {"max_shard_size": 256 * 2**20}),
    ],
)  # fmt: skip
def test_what_is_typed_is_understood(typed: dict[str, Any], meant: dict[str, Any]) -> None:
    assert export_options(**typed).stored() == meant


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"split": "1/2/3/4"}, "80/10/10"),
        ({"split": "80/x"}, "number"),
        ({"split": "80/-1"}, "split ratios test"),
        ({"split": "80/nan"}, "split ratios test"),
        ({"split": "Train=8,test=2"}, "a-z"),
        ({"split": "a=1,a=2"}, "twice"),
        ({"split": "80/20", "folds": 3}, "either"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"folds": 5, "follow": "9" * 5000}, "follow"),
        ({"folds": 5, "follow": "first"}, "latest"),
        ({"folds": 5, "related": "colour"}, "near_duplicates"),
        ({"fixed_test": "7"}, "^--fixed-test says how to divide the images: give --split SHARES or --folds K too"),
        ({"seed": 4}, "^--seed says how to divide the images: give --split SHARES or --folds K too"),
        ({"related": "none"}, "^--related says how to divide"),
        ({"follow": "latest"}, "^--follow says how to divide"),
        ({"split": "test=1", "fixed_test": "7"}, "Beside the fixed split"),
        ({"resize": "big"}, "256"),
        ({"resize": "15"}, "16"),
        ({"resize": "longer:5x5"}, "height|16"),
        ({"resize": "256,gif"}, "jpeg"),
        ({"resize": "256,png,quality=3"}, "png"),
        ({"resize": "256,size=3"}, "quality=80"),
        ({"rename": "uuid"}, "sha256"),
        ({"max_shard_size": "5"}, "1000000"),
        ({"max_shard_size": "lots"}, "500MB"),
        ({"labels": [""]}, "labels"),
        ({"split": "80/20", "fixed_test": "no/such/file"}, "no/such/file"),
        ({"split": "80/20", "fixed_test": __file__}, "no SHA-256|SHA-256"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(typed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        export_options(**typed)


def test_a_test_set_is_read_from_whatever_lists_it(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"sha256": A, "split": "test", "metadata": {"original": {"sha256": B}}},
        {"sha256": C, "split": "test", "metadata": {}},
        {"sha256": "00" * 32, "split": "train", "metadata": {}},
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, ["split", "sha256", "metadata"])
    writer.writeheader()
    writer.writerows({**row, "metadata": json.dumps(row["metadata"])} for row in rows)
    files = {
        "metadata.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "metadata.csv": table.getvalue(),
        "hashes.txt": f"{B.upper()}\n\n{C}\n{C}\n",
        "MANIFEST.sha256": f"{B}  images/cat/1.jpg\n{C} *images/cat/2.jpg\n{A}  README.md\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, newline="")
        options = export_options(split="90/10", fixed_test=str(tmp_path / name))
        assert options.split is not None
        assert options.split.fixed_test is not None
        assert options.split.fixed_test.sha256 == [B, C], name


def test_a_dataset_is_divided_and_its_test_set_kept(cli: Cli) -> None:
    for n in range(24):
        folder = cli.folder / "pets" / ("cat", "dog")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n}.jpg").write_bytes(picture(n))
    run = cli.ok("crawl", "--folder", "pets", "--out", "a.zip", "--split", "75/25", "--rename", "number")
    assert "Divided: train 18, test 6" in run.out
    first = rows_of(cli.folder / "a.zip")
    assert Counter(row["split"] for row in first) == {"train": 18, "test": 6}
    numbers = [f"{label}/{n:06}.jpg" for label in ("cat", "dog") for n in range(1, 13)]
    assert sorted(row["file_name"].removeprefix(f"images/{row['split']}/") for row in first) == numbers

    told = cli.ok(
        "export", "1", "--folds", "2", "--fixed-test", "1", "--labels", "cat", "--out", "b.zip", "--json"
    ).json
    assert (told["splits"].keys(), told["left_out_images"]) == ({"fold_1", "fold_2", "test"}, 0)
    with zipfile.ZipFile(cli.folder / "a.zip") as archive:
        archive.extractall(cli.folder / "a")
    cli.ok("export", "1", "--folds", "2", "--fixed-test", "a/metadata.jsonl", "--labels", "cat", "--out", "c.zip")
    for name in ("b.zip", "c.zip"):
        folds = rows_of(cli.folder / name)
        assert {row["label"] for row in folds} == {"cat"}
        held = {row["sha256"] for row in first if (row["split"], row["label"]) == ("test", "cat")}
        assert {row["sha256"] for row in folds if row["split"] == "test"} == held
        assert len(folds) == 12
    assert "was split" in complaint(cli.run("export", "1", "--split", "80/20", "--fixed-test", "99"), 2)
    assert "--export FORMAT" in complaint(cli.run("crawl", "--folder", "pets", "--split", "80/20"), 2)
    exports = cli.ok("exports", "list", "--json").json
    said = complaint(cli.run("export", "1", "--labels", "bird,fish", "--out", "d.zip"), 2)
    assert said.endswith("has the label 'bird' or 'fish'. The labels that there are: cat, dog.")
    (cli.folder / "others.txt").write_text(f"{A}\n{B}\n")
    wrong = ("--split", "80/20", "--fixed-test", "others.txt", "--out", "d.zip")
    assert "None of the images of the fixed test set is in this dataset" in complaint(cli.run("export", "1", *wrong), 2)
    assert cli.ok("exports", "list", "--json").json == exports, "nothing was made"
    cli.ok("validate", "1", "--rule", "min_width=100000")
    said = complaint(cli.run("export", "1", "--labels", "cat", "--out", "d.zip"), 2)
    assert said.endswith("The labels that there are: none.")
    planned = cli.run("crawl", "--folder", "pets", *wrong, "--json")
    assert planned.code == 1
    assert "None of the images of the fixed test set is in this dataset" in planned.json["error"]


def test_the_same_command_gives_the_same_bytes(cli: Cli) -> None:
    """Also when the second export keeps to the splits of the first, and whatever numbers the two have."""
    for n in range(24):
        folder = cli.folder / "pets" / ("cat", "dog")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n}.jpg").write_bytes(picture(n))
    cli.ok("crawl", "--folder", "pets", "--out", "first.zip")
    hashes = [row["sha256"] for row in rows_of(cli.folder / "first.zip")]
    (cli.folder / "test.txt").write_text("\n".join(hashes[:3]))
    for wanted in (("--split", "80/10/10"), ("--folds", "3", "--fixed-test", "test.txt")):
        made: list[bytes] = []
        for n in range(2):
            out = f"{wanted[0]}-{n}.zip".removeprefix("--")
            cli.ok("export", "1", *wanted, "--out", out)
            made.append((cli.folder / out).read_bytes())
        assert made[0] == made[1]


@pytest.mark.parametrize("format_", FORMATS)
def test_an_option_that_a_format_would_ignore_is_refused(format_: str) -> None:
    plan = ExportPlan(format=format_)
    shards, names = export_options(max_shard_size="2MB"), export_options(rename="number")
    assert (format_ in ("webdataset", "parquet")) == is_taken(plan, shards, "--max-shard-size")
    assert (format_ not in ("csv", "jsonl")) == is_taken(plan, names, "--rename")


def is_taken(plan: ExportPlan, options: ExportOptions, named: str) -> bool:
    """Whether by the command line; the API says the same, and where."""
    body = {"crawl_job_id": 1, "name": "E", "format": plan.format, "export_options": options.stored()}
    try:
        with_options(plan, options)
    except BadInput as refused:
        said = str(refused)
    else:
        return plan.format not in DOWNLOADED or bool(ExportRequest.model_validate(body))
    assert f"leave out {named}" in said
    if plan.format in DOWNLOADED:
        with pytest.raises(ValidationError, match="leave out"):
            ExportRequest.model_validate(body)
    return False


def test_the_pages_hide_what_a_format_would_ignore() -> None:
    rules = (Path(backend.web.__file__).parent / "static/app.css").read_text().partition("TAKEN_BY")[2]
    shown, hidden = rules.partition(".of-shards")[::2]
    assert set(re.findall(r'value="(\w+)"', shown)) == set(TAKEN_BY["max_shard_size"])
    assert set(re.findall(r'value="(\w+)"', hidden.partition(".of-files")[0])) == set(FORMATS) - set(TAKEN_BY["rename"])
