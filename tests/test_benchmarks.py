"""The benchmarks' own arithmetic, and a small crawl as `growth` measures it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import web
from benchmarks.contestants import Run
from benchmarks.jobs import run_by_workers
from benchmarks.turns import Turns, take_turns
from tests.engine.pictures import encode, photo
from tests.nginx import Nginx


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made."""
    monkeypatch.setattr(web, "CACHE", tmp_path)
    return tmp_path


def test_ratios_are_of_neighbours_in_time() -> None:
    turns = Turns(
        {
            "ours": [Run(100, 1.0, 2.0), Run(100, 10.0, 20.0), Run(100, 1.0, 4.0)],
            "theirs": [Run(100, 2.0, 8.0), Run(100, 40.0, 50.0), Run(100, 3.0, 4.0)],
            "floor": [Run(100, 0.5), Run(100, 5.0), Run(100, 1.0)],
        }
    )
    assert turns.compared("ours", "ours") == ("ours", "25", "5 to 50", "1.00", "100", "10 to 100", "1.00")
    assert turns.compared("ours", "theirs") == ("theirs", "12", "2 to 25", "2.50", "33", "2 to 50", "3.00")
    assert turns.compared("ours", "floor") == ("floor", "", "", "", "100", "20 to 200", "0.50")


def test_folders_of_earlier_runs_stay_until_the_end(folder: Path) -> None:
    met: list[int] = []

    def contestant(own: Path) -> Run:
        (own / "file").touch()
        met.append(len(list(folder.glob("run-*/file"))))
        return Run(1, 1.0)

    take_turns({"one": contestant, "other": contestant}, 2)
    assert met == [1, 2, 3, 4]
    web.remove_scratch()
    assert list(folder.iterdir()) == []


def test_a_worker_crawls_into_a_job_that_has_grown(folder: Path) -> None:
    served, urls = folder / "served", folder / "list.txt"
    served.mkdir()
    for width in range(200, 230):
        (served / f"{width}.jpg").write_bytes(encode(photo("china").resize((width, 150)), "jpeg"))
    with Nginx(served) as server, web.scratch() as own:
        web.write_list(urls, server.base_url, [path.name for path in served.iterdir()], 30)
        run = run_by_workers(own, urls, rows_per_chunk=5, rows_before=1_000)
    blobs = list((own / "home" / "images").rglob("*.jpg"))
    assert run.images == len(blobs) == 30
    assert run.seconds is None
    assert 0 < run.own_seconds < 60
    assert not list(own.rglob("postmaster.pid"))
    web.remove_scratch()
