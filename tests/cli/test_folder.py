"""Pictures at hand become a dataset, and a dataset can be taken in again without losing what is known of it."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from tests.cli.conftest import Cli
from tests.cli.test_bad_input import complaint
from tests.web import picture, sha256_of


def rows_of(path: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        return [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]


def test_a_folder_becomes_a_dataset_and_comes_back_from_it(cli: Cli) -> None:
    root = cli.folder / "pets"
    for n in range(30):
        label = "even" if n % 2 == 0 else "odd"
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{n}.jpg").write_bytes(picture(n))
    (root / "odd" / "notes.jpg").write_text("no picture")
    (root / "secret.jpg").symlink_to("/etc/passwd")
    told = {"file_name": "even/0.jpg", "licence": "by-sa", "licence_version": "4.0", "creator": "Ada", "camera": "Box"}
    (root / "metadata.jsonl").write_text(json.dumps(told) + "\n")

    run = cli.ok("crawl", "--folder", "pets", "--out", "first.zip", "--json").json
    assert (run["status"], run["downloaded_images"], run["failures"]) == ("completed", 30, {"not_an_image": 1})
    first = {row["sha256"]: row for row in rows_of(cli.folder / "first.zip")}
    assert {sha: row["label"] for sha, row in first.items()} == {
        sha256_of(n): "even" if n % 2 == 0 else "odd" for n in range(30)
    }
    ada = first[sha256_of(0)]
    assert (ada["licence"], ada["licence_version"], ada["creator"]) == ("by-sa", "4.0", "Ada")
    assert ada["original_url"] == (root / "even" / "0.jpg").as_uri()
    assert ada["metadata"] == {"camera": "Box"}

    # Again, from the archive as it is, unpacked, and as a compressed tar of that.
    with zipfile.ZipFile(cli.folder / "first.zip") as archive:
        archive.extractall(cli.folder / "unpacked")
    subprocess.run(["tar", "-czf", "first.tar.gz", "-C", "unpacked", "."], cwd=cli.folder, check=True)
    for n, given in enumerate(("first.zip", "unpacked", "first.tar.gz")):
        cli.ok("crawl", "--folder", given, "--out", f"again{n}.zip")
        again = rows_of(cli.folder / f"again{n}.zip")
        assert len(again) == 30
        for row in again:
            before = first[row["sha256"]]
            same = ("label", "licence", "licence_version", "creator", "attribution", "source_page")
            assert {key: row[key] for key in same} == {key: before[key] for key in same}
            assert row["metadata"]["original_url"] == before["original_url"]
            assert row["metadata"].get("camera") == before["metadata"].get("camera")


def test_what_is_no_folder(cli: Cli) -> None:
    (cli.folder / "empty").mkdir()
    assert "holds no file that may be a picture" in complaint(cli.run("crawl", "--folder", "empty"), 2)
    assert "No such file" in complaint(cli.run("crawl", "--folder", "gone.zip"), 2)
    assert "--folder" in complaint(cli.run("crawl", "cat", "--source", "folder"), 2)
