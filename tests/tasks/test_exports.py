"""Exports in worker processes that are killed and stopped."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from backend.config import Settings
from backend.db import Database
from backend.models import ExportJob
from backend.services import exports, profiles
from gleanset.export.verify import is_export
from gleanset.store import blob_key
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import until
from tests.tasks.test_retention import a_crawl

IMAGES = 25_000


def put(blobs: Path, data: bytes) -> Path:
    path = blobs / blob_key(hashlib.sha256(data).hexdigest(), "jpeg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


async def test_a_killed_export_goes_on_where_it_was(
    database: Database, settings: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The pictures that were packed before the kill are gone afterwards: who began anew would fail."""
    pictures = [b"picture %d" % number for number in range(IMAGES)]
    paths = [put(Path(settings.store_place), data) for data in pictures]
    crawl = await a_crawl(database, *pictures)
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        made = await exports.create(session, crawl, owner.id, "zip")
    folder = settings.exports

    async def status() -> str:
        async with database.transaction() as session:
            return (await session.get_one(ExportJob, made.id)).status

    for attempt, kill in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        note = folder / f"export-{made.id}.zip.{attempt}.part" / "checkpoint.json"

        async def begun(note: Path = note) -> bool:
            return note.exists()

        worker = start_worker()
        await until(begun, every=0.01)
        os.kill(worker.pid, kill)
        worker.wait()
        assert await status() == "running"
        assert note.exists()
    for path in paths[:1000]:
        path.unlink()

    start_worker()

    async def ended() -> bool:
        return await status() != "running"

    await until(ended)
    async with database.transaction() as session:
        done = await session.get_one(ExportJob, made.id)
    assert (done.status, done.error_message, done.exported_images, done.attempts) == ("completed", None, IMAGES, 3)
    target = folder / f"export-{made.id}.zip"
    assert done.sha256 is not None
    assert is_export(str(target), done.sha256.hex())

    async def tidied() -> bool:  # which comes after the commit
        return [path.name for path in folder.iterdir()] == [target.name]

    await until(tidied)
    subprocess.run(["unzip", "-q", target, "-d", tmp_path / "out"], check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=tmp_path / "out", check=True)
    assert len(list((tmp_path / "out" / "images").rglob("*.jpg"))) == IMAGES
    shutil.rmtree(tmp_path / "out")
