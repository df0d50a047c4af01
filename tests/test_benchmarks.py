"""The benchmarks' own arithmetic, and a small crawl as `growth` measures it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import load, web
from benchmarks.contestants import Run
from benchmarks.jobs import run_by_workers
from benchmarks.lists import p95
from benchmarks.load import Plan
from benchmarks.turns import Turns, take_turns
from tests.engine.pictures import encode, photo
from tests.nginx import Nginx
from tests.web import PictureWeb


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


def test_of_a_hundred_answers_five_may_be_later() -> None:
    assert p95([number / 1000 for number in range(100, 0, -1)]) == 95
    assert p95([0.002]) == 2


def test_clients_ask_when_they_are_due_and_count_from_then_on() -> None:
    """Answers take a tenth of a second, and clients are due five times a second, or as soon as they have an answer."""
    site = PictureWeb(pages={"/a": "<p>a", "/b": "<p>b"})
    site.page_delay = 0.1
    with site.served() as url:
        plan = Plan(base_url=url, asked=[("a", "/a"), ("b", "/b")], clients=10, every=0.2, seconds=1.0, settling=0.2)
        paced = load.run(plan)
        closed = load.run(replace(plan, every=None))
        with pytest.raises(SystemExit, match="/c was answered by 404"):
            load.run(replace(plan, asked=[("c", "/c")]))
    assert 30 <= len(paced.all()) <= 50
    assert min(paced.all()) >= 0.1
    assert set(paced.times) == {"a", "b"}
    assert paced.rate() < closed.rate() <= 100


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
