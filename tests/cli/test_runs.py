"""Whole runs through the command line, as a person or a script makes them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import time
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import obstore
import psycopg
import pytest
from obstore.store import from_url
from PIL import Image

from backend.db import libpq_url, wanted_revision
from backend.demo.web import DemoWeb
from tests.cli.conftest import Cli
from tests.stores import s3, s3_server
from tests.web import PictureWeb, expected, sha256_of

__all__ = ["s3", "s3_server"]

JSON_KEYS = {
    "project_id", "crawl_job_id", "validation_job_id", "export_job_id", "status", "total_images", "downloaded_images",
    "valid_images", "failures", "invalid", "seconds", "images_per_second", "export_path", "file_size",
}  # fmt: skip


def write_list(folder: Path, url: str, count: int) -> Path:
    path = folder / "list.csv"
    rows = "".join(f"{url}/{n}.jpg,{'even' if n % 2 == 0 else 'odd'},note {n}\n" for n in range(count))
    path.write_text("url,label,note\n" + rows)
    return path


def test_resized_copies_are_what_is_packed(embedded_cli: Cli) -> None:
    with PictureWeb().served() as url:
        path = write_list(embedded_cli.folder, url, 24)
        options = ["--urls", str(path), "--allow-private", "--resize", "32", "--out", "small.zip", "--json"]
        run = embedded_cli.ok("crawl", *options).json
    assert run["status"] == "completed"
    with zipfile.ZipFile(embedded_cli.folder / "small.zip") as packed:
        rows = [json.loads(line) for line in packed.read("metadata.jsonl").splitlines()]
        assert len(rows) == run["valid_images"] > 5
        for row in rows:
            data = packed.read(row["file_name"])
            assert hashlib.sha256(data).hexdigest() == row["sha256"] != row["metadata"]["original"]["sha256"]
            with Image.open(io.BytesIO(data)) as image:
                assert (image.format, image.size) == ("JPEG", (row["width"], row["height"]))
                assert min(image.size) == 32
            assert row["metadata"]["original"]["width"] > row["width"]
    assert not [found for found in embedded_cli.ok("db", "doctor", "--json").json if "blob" in json.dumps(found)]


@pytest.mark.parametrize("kept", [(), ("--resize", "32"), ("--resize", "32", "--keep-original")])
def test_every_row_has_the_crc32_of_the_file_that_it_names(cli: Cli, kept: tuple[str, ...]) -> None:
    with PictureWeb().served() as url:
        path = write_list(cli.folder, url, 24)
        had = cli.ok("crawl", "--urls", str(path), "--allow-private", *kept, "--json").json["downloaded_images"]
    with psycopg.connect(libpq_url(cli.environment["DATABASE_URL"])) as connection:
        rows = connection.execute("SELECT storage_url, filename, sha256, crc32 FROM images").fetchall()
    files = [(Path(url.removeprefix("file://")), *row) for url, *row in rows if url is not None]
    assert len(files) == had > 5
    for file, name, sha256, crc32 in files:
        assert (file.name, zlib.crc32(file.read_bytes())) == (name, crc32)
        assert (file.stem == sha256.hex()) == (kept in [(), ("--resize", "32", "--keep-original")])
    assert {crc32 for url, _, _, crc32 in rows if url is None} == {None}


def test_the_demo_from_nothing_to_a_dataset(embedded_cli: Cli) -> None:
    done = embedded_cli.ok("demo", "--json", "--out", "demo.zip")
    run = done.json
    assert run.keys() == JSON_KEYS
    counts = DemoWeb().expected()
    aside = {"downloaded", "exact_duplicates", "smaller_than_64", "dark", "blurred"}
    assert run["failures"] == {reason: n for reason, n in counts.items() if reason not in aside}
    assert run["status"] == "completed"
    assert run["downloaded_images"] == counts["downloaded"]
    assert run["total_images"] == counts["downloaded"] + sum(run["failures"].values())
    assert run["invalid"] == {
        "exact_duplicate": counts["exact_duplicates"],
        "min_width": counts["smaller_than_64"],
        "min_height": counts["smaller_than_64"],
    }
    out = embedded_cli.folder / "demo.zip"
    assert run["export_path"] == str(out)
    assert run["file_size"] == out.stat().st_size
    subprocess.run(["unzip", "-qq", str(out), "-d", str(embedded_cli.folder / "unpacked")], check=True)
    unpacked = embedded_cli.folder / "unpacked"
    subprocess.run(["sha256sum", "--quiet", "-c", "MANIFEST.sha256"], cwd=unpacked, check=True)
    rows = [json.loads(line) for line in (unpacked / "metadata.jsonl").read_text().splitlines()]
    assert len(rows) == run["valid_images"] == len({row["sha256"] for row in rows})
    assert {row["label"] for row in rows} == set(DemoWeb().keywords)
    assert all(row["licence"] and row["attribution"] and row["source_page"] and row["source"] for row in rows)
    assert all((unpacked / row["file_name"]).stat().st_size == row["file_size"] for row in rows)

    listed = embedded_cli.ok("jobs", "list")
    assert "completed" in listed.out
    shown = embedded_cli.ok("jobs", "show", str(run["crawl_job_id"]))
    assert "exact_duplicate" in shown.out
    assert "not_found" in shown.out
    assert "404" in shown.out, "a reason comes with its sentence"


def test_a_list_becomes_a_dataset(cli: Cli) -> None:
    with PictureWeb().served() as url:
        path = write_list(cli.folder, url, 60)
        done = cli.ok(
            "crawl",
            "--urls",
            str(path),
            "--allow-private",
            "--own",
            "127.0.0.1",
            "--rule",
            "min_width=100",
            "--out",
            "my set.zip",
        )
    assert "Dataset:" in done.out
    assert "my set.zip" in done.out
    assert "\x1b" not in done.out + done.err, "no colours when nobody looks on"
    with zipfile.ZipFile(cli.folder / "my set.zip") as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        table = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode())))
        had = [n for n in range(60) if expected(n) is None]
        assert Counter(row["sha256"] for row in rows) == Counter(sha256_of(n) for n in had)
        assert {row["original_url"]: (row["label"], row["metadata"]["note"]) for row in rows} == {
            f"{url}/{n}.jpg": ("even" if n % 2 == 0 else "odd", f"note {n}") for n in had
        }
        assert [row["file_name"] for row in rows] == [row["file_name"] for row in table]
        assert all(row["file_name"].startswith(f"images/{row['label']}/") for row in rows)


def test_a_website_becomes_a_dataset(cli: Cli) -> None:
    def page(numbers: range, link: str) -> str:
        return "".join(f"<img src=/{n}.jpg alt='Picture {n}'>" for n in numbers) + f"<a href={link}>on</a>"

    licence = "<link rel=license href=https://creativecommons.org/licenses/by/4.0/>"
    web = PictureWeb(pages={"/": page(range(5), "/two"), "/two": licence + page(range(3, 10), "/three"), "/three": ""})
    with web.served() as url:
        done = cli.ok("crawl", "--website", url, "--depth", "1", "--pages", "5", "--allow-private", "--out", "site.zip")
        run = json.loads(
            cli.ok("crawl", "--website", f"{url}/two", "--label", "birds", "--allow-private", "--json").out
        )
    assert "site.zip" in done.out
    with zipfile.ZipFile(cli.folder / "site.zip") as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert {(row["original_url"], row["source_page"], row["licence"]) for row in rows} == {
        (f"{url}/{n}.jpg", f"{url}/" if n < 5 else f"{url}/two", None if n < 5 else "by")
        for n in range(10)
        if expected(n) is None
    }
    assert {row["label"] for row in rows} == {url.removeprefix("http://")}
    assert (run["total_images"], run["failures"]) == (7, {"not_found": 1})


def test_private_addresses_are_refused_unless_allowed(cli: Cli) -> None:
    web = PictureWeb()
    with web.served() as url:
        run = cli.ok("crawl", "--urls", str(write_list(cli.folder, url, 5)), "--json").json
        assert run["failures"] == {"private_address": 5}
        assert (run["total_images"], run["downloaded_images"]) == (5, 0)
        assert "--allow-private" in cli.ok("jobs", "show", "1").out
    assert not web.asked


def test_validate_and_export_again(cli: Cli, s3: str) -> None:
    with PictureWeb().served() as url:
        path = write_list(cli.folder, url, 30)
        first = cli.ok("crawl", "--urls", str(path), "--allow-private", "--own", "127.0.0.1", "--json").json
    job = str(first["crawl_job_id"])
    assert first["export_path"] is None
    strict = cli.ok("validate", job, "--rule", "min_width=129", "--json").json
    assert (strict["valid_images"], strict["invalid"]) == (0, {"min_width": first["downloaded_images"]})
    told = cli.ok("validate", job, "--rules", "standard", "--rule", "min_width=129", "--dry-run", "--json").json
    assert (told["total"], told["valid"], told["rules_name"]) == (first["downloaded_images"], 0, "custom")
    assert told["invalid"]["min_width"] == first["downloaded_images"]
    assert (
        f"0 of {first['downloaded_images']} images would be valid"
        in cli.ok("validate", job, "--preset", "strict", "--dry-run").out
    )
    nothing = cli.run("export", job, "--json")
    assert nothing.code == 1
    assert "no valid image" in nothing.json["error"]
    loose = cli.ok("validate", job, "--json").json
    assert loose["valid_images"] == first["downloaded_images"]
    numbers = [str(run["validation_job_id"]) for run in (strict, loose)]
    changed = cli.ok("compare", *numbers, "--images", "2", "--json").json
    assert (changed["became_valid"], changed["became_valid_by"]) == (
        first["downloaded_images"],
        {"min_width": first["downloaded_images"]},
    )
    assert [each["before"]["reasons"] for each in changed["images"]] == [["min_width"]] * 2
    assert changed["rules"] == {"min_width": {"before": 129, "after": None}}
    text = cli.ok("compare", *reversed(numbers)).out
    assert "became invalid" in text
    assert "min_width: none -> 129\n" in text
    assert "Both judged by the same rules." in cli.ok("compare", numbers[0], numbers[0]).out
    told = cli.ok("jobs", "show", job, "--json").json["validations"]
    assert [(each["id"], each["invalid_images"]) for each in told][-2:] == [
        (strict["validation_job_id"], first["downloaded_images"]),
        (loose["validation_job_id"], 0),
    ]
    assert told[-2]["validation_rules"] == {"min_width": 129}
    shown = cli.ok("jobs", "show", job).out
    for each in told:
        line = rf"^{each['id']} +custom +{each['rules_hash'][:12]} +completed +\d+ +{each['invalid_images']} "
        assert re.search(line, shown, re.MULTILINE), shown
    number = loose["validation_job_id"] + 1
    assert f"Judged by validation {number}, rules standard." in cli.ok("validate", job, "--rules", "standard").out
    cli.ok("validate", job)
    packed = cli.ok("export", job, "--out", "again.zip", "--json").json
    assert packed["status"] == "completed"
    assert packed["export_path"] == str(cli.folder / "again.zip")
    with zipfile.ZipFile(cli.folder / "again.zip") as archive:
        assert sum(name.startswith("images/") for name in archive.namelist()) == first["downloaded_images"]
        wanted = {info.filename: info.file_size for info in archive.infolist()}

    cli.environment.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
    assert cli.ok("export", job, "--out", f"{s3}/birds", "--json").json["export_path"] == f"{s3}/birds"
    put = {each["path"]: each["size"] for each in obstore.list(from_url(f"{s3}/birds")).collect()}
    assert put == wanted
    assert (
        cli.ok("export", job, "--out", f"{s3}/birds.tar.zst", "--json").json["file_size"]
        == (obstore.head(from_url(s3), "birds.tar.zst")["size"])
    )
    folder = cli.folder / "birds"
    assert cli.ok("export", job, "--out", "birds", "--json").json["export_path"] == str(folder)
    assert {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()} == set(wanted)
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=folder, check=True)
    disagreeing = cli.run("export", job, "--format", "tar", "--out", "other.zip")
    assert disagreeing.code == 2
    assert "would be a zip" in disagreeing.err


def test_ctrl_c_loses_nothing(cli: Cli) -> None:
    web = PictureWeb(delay=0.3)
    with web.served() as url:
        path = write_list(cli.folder, url, 200)
        running = cli.start("crawl", "--urls", str(path), "--allow-private", "--own", "127.0.0.1", "--out", "set.zip")
        wait_until(lambda: sum(web.asked.values()) > 40)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
        assert running.returncode == 130
        found = re.search(r"gleanset (jobs retry \d+)", err)
        assert found, err
        assert "Traceback" not in err
        assert not (cli.folder / "set.zip").exists()
        web.delay = 0.0
        run = cli.ok(*found[1].split(), "--json").json
    assert run["status"] == "completed"
    assert run["total_images"] == 200
    assert run["failures"] == Counter(reason for n in range(200) if (reason := expected(n)))
    assert run["export_path"] == str(cli.folder / "set.zip")
    assert (cli.folder / "set.zip").stat().st_size == run["file_size"]


def test_a_killed_command_can_be_gone_on_with(cli: Cli) -> None:
    web = PictureWeb(delay=0.3)
    with web.served() as url:
        path = write_list(cli.folder, url, 150)
        running = cli.start("crawl", "--urls", str(path), "--allow-private", "--own", "127.0.0.1")
        wait_until(lambda: sum(web.asked.values()) > 40)
        running.kill()
        running.communicate()
        web.delay = 0.0
        run = cli.ok("jobs", "retry", "1", "--json").json
    assert (run["status"], run["total_images"]) == ("completed", 150)


def test_cancel_from_another_terminal(cli: Cli) -> None:
    web = PictureWeb(delay=2.0)
    with web.served() as url:
        path = write_list(cli.folder, url, 500)
        running = cli.start("crawl", "--urls", str(path), "--allow-private", "--own", "127.0.0.1", "--json")
        wait_until(lambda: sum(web.asked.values()) > 20)
        cancelled = cli.ok("jobs", "cancel", "1")
        assert "jobs retry 1" in cancelled.out
        out, _ = running.communicate(timeout=20)
    assert running.returncode == 1
    assert json.loads(out)["status"] == "cancelled"
    again = cli.run("jobs", "cancel", "1")
    assert (again.code, again.out) == (2, "")
    assert "is cancelled" in again.err


def test_a_person_sees_bars(cli: Cli) -> None:
    with PictureWeb(delay=0.02).served() as url:
        path = write_list(cli.folder, url, 80)
        mine, theirs = pty.openpty()
        running = cli.start(
            "crawl",
            "--urls",
            str(path),
            "--allow-private",
            "--own",
            "127.0.0.1",
            "--out",
            "x.zip",
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(mine, 65536)
            except OSError:  # how Linux tells that the other side is closed
                break
        os.close(mine)
        assert running.wait() == 0
    text = seen.decode()
    for word in ("gather", "judge", "pack", "images", "/s", "not_found", "Dataset:"):
        assert word in text


def test_the_address_of_the_embedded_database_stays_good_until_stop(embedded_cli: Cli) -> None:
    shown = embedded_cli.ok("db", "url")
    address = shown.out.strip()
    assert "db stop" in shown.err
    upgraded = embedded_cli.ok("db", "upgrade")
    assert wanted_revision() in upgraded.out
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (wanted_revision(),)
    assert embedded_cli.ok("db", "current").out == f"{wanted_revision()} (head)\n"
    embedded_cli.ok("db", "stop")
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        pass
    else:
        raise AssertionError("the server still answers")


def wait_until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
