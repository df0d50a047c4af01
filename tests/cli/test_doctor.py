"""`gleanset db doctor` as a person meets it, from a database without tables to one that is well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from backend.db import libpq_url

SCRIPTS = Path(sys.executable).parent


def shell(command: str, home: Path, url: str) -> subprocess.CompletedProcess[str]:
    path = f"{SCRIPTS}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GLEANSET_HOME": str(home), "DATABASE_URL": libpq_url(url)}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)


def test_from_an_empty_database_to_all_well(empty_url: str, tmp_path: Path) -> None:
    first = shell("gleanset db doctor", tmp_path, empty_url)
    assert first.returncode == 1
    assert "✗ Migration" in first.stdout
    assert command(first.stdout) == "gleanset db upgrade"
    assert first.stderr == ""
    assert shell(command(first.stdout), tmp_path, empty_url).returncode == 0

    with psycopg.connect(libpq_url(empty_url)) as connection:
        connection.execute("DROP INDEX ix_images_downloaded")
    stray = tmp_path / "images/ab" / f"abcd{'0' * 60}.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"pixels")
    os.utime(stray, (0, 0))

    second = shell("gleanset db doctor --json", tmp_path, empty_url)
    assert second.returncode == 1
    found = json.loads(second.stdout)
    assert found["status"] == "error"
    findings = [finding for section in found["sections"] for finding in section["findings"]]
    assert [finding["code"] for finding in findings] == ["missing_index", "blob_without_row"]
    assert findings[1] | {"what": ""} == {
        "code": "blob_without_row",
        "what": "",
        "count": 1,
        "command": "gleanset db doctor --delete-orphans",
        "examples": [f"ab/abcd{'0' * 60}.jpg"],
        "severity": "error",
    }
    assert shell(findings[0]["command"], tmp_path, empty_url).returncode == 0

    last = shell(findings[1]["command"], tmp_path, empty_url)
    assert last.returncode == 0, last.stdout
    assert "deleted 1 blobs" in last.stdout
    assert "All is well." in last.stdout
    assert not stray.exists()


def command(output: str) -> str:
    """The line that stands furthest in."""
    return next(line.strip() for line in output.splitlines() if line.startswith("      "))
