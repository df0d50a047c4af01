"""Several hundred real photographs in seven formats, from a real nginx to a checked dataset."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from collections import Counter
from pathlib import Path

from PIL import Image

from tests.cli.conftest import Cli
from tests.nginx import Nginx
from tests.photos import collect

FORMATS = {"jpeg", "png", "webp", "gif", "tiff", "avif", "bmp"}


def test_photographs_arrive_whole(cli: Cli) -> None:
    served = cli.folder / "served"
    photos = collect(served)
    assert len(photos) >= 300
    assert {photo.format for photo in photos} == FORMATS
    by_url = {}
    with Nginx(served) as web:
        path = cli.folder / "list.csv"
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("url", "label", "licence", "creator"))
            for photo in photos:
                url = f"{web.base_url}/{photo.path.relative_to(served).as_posix()}"
                by_url[url] = photo
                table.writerow((url, photo.format, "cc0", "A photographer"))
        run = cli.ok(
            "crawl",
            "--urls",
            str(path),
            "--allow-private",
            "--own",
            "127.0.0.1",
            "--rule",
            "min_width=64",
            "--out",
            "photos.zip",
            "--json",
        ).json
    assert (run["status"], run["failures"]) == ("completed", {})
    assert run["total_images"] == run["downloaded_images"] == len(photos)

    unpacked = cli.folder / "unpacked"
    subprocess.run(["unzip", "-qq", "photos.zip", "-d", str(unpacked)], cwd=cli.folder, check=True)
    rows = [json.loads(line) for line in (unpacked / "metadata.jsonl").read_text().splitlines()]
    distinct = {photo.sha256: photo for photo in photos if photo.width >= 64}
    assert {row["sha256"] for row in rows} == distinct.keys()
    assert run["valid_images"] == len(rows)
    assert run["invalid"].get("exact_duplicate", 0) == sum(
        count - 1 for count in Counter(photo.sha256 for photo in photos).values()
    )
    for row in rows:
        photo = by_url[row["original_url"]]
        assert (row["format"], row["width"], row["height"]) == (photo.format, photo.width, photo.height)
        assert (row["label"], row["licence"], row["creator"]) == (photo.format, "cc0", "A photographer")
        with Image.open(unpacked / row["file_name"]) as image:
            assert image.size == (photo.width, photo.height)

    manifest = dict(reversed(line.split("  ", 1)) for line in (unpacked / "MANIFEST.sha256").read_text().splitlines())
    files = {str(file.relative_to(unpacked)) for file in unpacked.rglob("*") if file.is_file()}
    assert files == manifest.keys() | {"MANIFEST.sha256"}
    for name, digest in manifest.items():
        assert hashlib.sha256(Path(unpacked / name).read_bytes()).hexdigest() == digest
    originals = {hashlib.sha256(photo.path.read_bytes()).hexdigest() for photo in photos}
    assert {digest for name, digest in manifest.items() if name.startswith("images/")} <= originals
