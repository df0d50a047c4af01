"""docs/client.md, block after block, as a reader would run it: on a real server, and with one started by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from backend.demo.web import DemoWeb
from gleanset.client import Client, ExportJob
from tests.client.conftest import Person
from tests.client.making import dataset_files, write_zip
from tests.demo import demo_web
from tests.serving import Served

DOCUMENT = (Path(__file__).parents[2] / "docs/client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def web() -> Iterator[DemoWeb]:
    with demo_web() as running:
        yield running


def test_the_blocks_run_in_their_order(
    served: Served,
    packed: ExportJob,
    packer: Person,
    web: DemoWeb,
    database_url: str,  # another than the server's, whose worker does not know the demo's web
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "HEARTBEAT": "0.3",
        "HOSTS": json.dumps(dict(web.hosts)),
        "SOURCE_URLS": json.dumps({"openverse": web.openverse_url}),
        "INTERVAL": "0.01",
    }.items():
        monkeypatch.setenv(f"GLEANSET_{name}", value)
    with Client(served.url, packer.key) as other:
        other.projects.update(other.crawl_jobs.get(packed.crawl_job_id).project_id, name="demo")
        other.export_jobs.wait(other.export_jobs.create(packed.crawl_job_id, "Harbours"), timeout=60)
    archive = write_zip(tmp_path / "set.zip", dataset_files(3))
    cells = {"url": served.url, "key": packer.key, "archive": archive}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"block {number} of docs/client.md", "exec"), cells)
        if "crawl_jobs.create" in block:
            allow_loopback(database_url, cells["job"].id)
        if "crawl_jobs.wait" in block:
            assert cells["run"].crawl_job.downloaded_images == 40
    assert len(BLOCKS) > 8
    assert cells["export"].exported_images > 10


def allow_loopback(database_url: str, job_id: int) -> None:
    """What nobody can ask for: the job may go to this machine."""
    more = json.dumps({"allow_private": True, "overrides": {"max_bytes": 2_000_000, "interval": 0.01}})
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE crawl_jobs SET options = options || CAST(:more AS jsonb) WHERE id = :id"),
            {"more": more, "id": job_id},
        )
    engine.dispose()


def test_every_call_of_the_table_is_there() -> None:
    client = Client("http://127.0.0.1:9")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert len(rows) == 6
    for noun, verbs in rows:
        calls = getattr(client, noun)
        told = re.findall(r"\w+", re.sub(r"\(.*?\)", "", verbs))
        assert sorted(told) == sorted(name for name in dir(calls) if not name.startswith("_")), noun
