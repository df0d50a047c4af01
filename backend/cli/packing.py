"""The options of `gleanset export`, and of `gleanset crawl --export`, as a person types them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError

from backend.errors import BadInput
from backend.schemas.base import Misplaced
from backend.schemas.exports import MB, RELATIONS, ExportOptions, check_taken
from backend.schemas.plans import ExportPlan
from gleanset.export import TAKEN_BY
from gleanset.export.table_reading import original_sha256

_PANEL = "What is packed, and how"

Split = Annotated[
    str | None,
    typer.Option(
        metavar="SHARES",
        help="Divide the images by label, without leaks: 80/10/10 is train/validation/test, 80/20 train/test (with"
        " --fixed-test, train/validation); or names of your own: train=70,dev=30.",
        rich_help_panel=_PANEL,
    ),
]
Folds = Annotated[
    int | None, typer.Option(metavar="K", help="K equal parts for cross-validation instead.", rich_help_panel=_PANEL)
]
FixedTest = Annotated[
    str | None,
    typer.Option(
        metavar="EXPORT|FILE",
        help="Keep a test set: that of an earlier export, by its number, or the images of a metadata.jsonl,"
        " metadata.csv, MANIFEST.sha256 or list of hashes.",
        rich_help_panel=_PANEL,
    ),
]
Follow = Annotated[
    str | None,
    typer.Option(
        metavar="EXPORT",
        help="The export whose splits are kept: its number, latest (of the project, by the same options;"
        " so when nothing is said), or none.",
        rich_help_panel=_PANEL,
    ),
]
Related = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help=f"What a split must not part: {','.join(RELATIONS)} unless you say otherwise, or none.",
        rich_help_panel=_PANEL,
    ),
]
Seed = Annotated[int | None, typer.Option(help="Another number, another split; 0 otherwise.", rich_help_panel=_PANEL)]
Labels = Annotated[
    list[str] | None,
    typer.Option(metavar="LABELS", help="Only images of these labels: gull,tern. Repeatable.", rich_help_panel=_PANEL),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Copies of another size: 256 (shorter side), longer:512, crop:224, pad:640x480; with ,webp or ,png and"
        " ,quality=80 if you like.",
        rich_help_panel=_PANEL,
    ),
]
ExportResize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Pack copies of another size: 256 (shorter side), longer:512, crop:224, pad:640x480; with ,webp or ,png"
        " and ,quality=80 if you like. What is gathered stays as it is.",
        rich_help_panel=_PANEL,
    ),
]
Rename = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEME",
        help="Name files by sha256 (of their content), number (counted for each label), or original (as where they come"
        " from); sha256 otherwise.",
        rich_help_panel=_PANEL,
    ),
]
MaxShardSize = Annotated[
    str | None,
    typer.Option(
        metavar="BYTES",
        help=f"How large a file becomes at most, for {' and '.join(TAKEN_BY['max_shard_size'])}: 500MB.",
        rich_help_panel=_PANEL,
    ),
]
Metadata = Annotated[
    bool,
    typer.Option(
        "--metadata/--no-metadata",
        help="Pack all that is known of each image, or only what it is, where it belongs and what is owed for it.",
        rich_help_panel=_PANEL,
    ),
]

_UNITS = {"": 1, "kb": 1000, "mb": MB, "gb": 1000 * MB, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_NUMBERED = {1: ("train",), 2: ("train", "test"), 3: ("train", "validation", "test")}
_BESIDE_FIXED = {1: ("train",), 2: ("train", "validation"), 3: ("train", "validation", "test")}


def export_options(
    *,
    split: str | None = None,
    folds: int | None = None,
    fixed_test: str | None = None,
    follow: str | None = None,
    related: str | None = None,
    seed: int | None = None,
    labels: list[str] | None = None,
    resize: str | None = None,
    rename: str | None = None,
    max_shard_size: str | None = None,
    metadata: bool = True,
    validation: int | None = None,
) -> ExportOptions:
    """What the options mean together. Raises BadInput."""
    divided: dict[str, Any] = {
        "ratios": _ratios(split, fixed=fixed_test is not None) if split is not None else None,
        "folds": folds,
        "fixed_test": _fixed(fixed_test) if fixed_test is not None else None,
        "follow": _follow(follow) if follow is not None else None,
        "related": [] if related == "none" else related.split(",") if related is not None else None,
        "seed": seed,
    }
    divided = {name: value for name, value in divided.items() if value is not None}
    if divided.keys() >= {"ratios", "folds"}:
        raise BadInput("--split divides by shares, --folds into equal parts: give either one.")
    if divided and divided.keys().isdisjoint({"ratios", "folds"}):
        option = next(iter(divided)).replace("_", "-")
        raise BadInput(f"--{option} says how to divide the images: give --split SHARES or --folds K too.")
    given: dict[str, Any] = {
        "split": divided or None,
        "labels": list(dict.fromkeys(chain.from_iterable(csv.reader(labels, skipinitialspace=True))))
        if labels
        else None,
        "resize": _resize(resize) if resize is not None else None,
        "rename": rename,
        "max_shard_size": _bytes(max_shard_size) if max_shard_size is not None else None,
        "validation_job_id": validation,
        "include_metadata": metadata,
    }
    try:
        return ExportOptions.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise BadInput(_sentence(error)) from None


def with_options(plan: ExportPlan | None, options: ExportOptions) -> ExportPlan | None:
    """The plan, packed so. Raises BadInput for options of an export that nobody asked for."""
    if plan is None:
        if options.stored():
            raise BadInput("This says how to pack: give --export FORMAT or --out FILE too.")
        return None
    try:
        check_taken(plan.format, options, "options")
    except Misplaced as error:
        what = re.sub("`(.*?)`", lambda option: f"--{option[1].replace('_', '-')}", str(error))
        raise BadInput(what) from None
    return plan.model_copy(update={"options": options})


def _follow(text: str) -> int | str:
    if text.isdecimal():
        return int(text[:20])
    if text not in {"latest", "none"}:
        raise BadInput(f"To follow there is the number of an export, latest or none, not {text!r}.")
    return text


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-"))]
    return f"{' '.join(place) or 'options'}: {first['msg'].removeprefix('Value error, ')}"


def _ratios(text: str, *, fixed: bool) -> dict[str, str]:
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",")]
        shares = {name.strip(): share.strip() for name, _, share in pairs}
        if len(shares) != len(pairs):
            raise BadInput(f"A split is named twice: {text!r}.")
        return shares
    shares_ = text.split("/")
    names = (_BESIDE_FIXED if fixed else _NUMBERED).get(len(shares_))
    if names is None:
        raise BadInput(f"Shares look like 80/10/10, 80/20 or train=70,dev=20,test=10, not {text!r}.")
    return dict(zip(names, shares_, strict=True))


def _resize(text: str) -> dict[str, Any]:
    size, *how = text.lower().split(",")
    found = re.fullmatch(r"(?:(shorter|longer|crop|pad):)?(\d{1,9})(?:x(\d{1,9}))?", size)
    if found is None:
        raise BadInput(f"A size looks like 256, longer:512, crop:224 or pad:640x480, not {size!r}.")
    asked: dict[str, Any] = {"mode": found[1] or "shorter", "size": int(found[2])}
    if found[3]:
        asked["height"] = int(found[3])
    for each in how:
        name, equals, value = each.strip().partition("=")
        if equals and name == "quality":
            asked["quality"] = value
        elif not equals:
            asked["format"] = name.replace("jpg", "jpeg")
        else:
            raise BadInput(f"Behind a size go a format and a quality, such as ,webp,quality=80, not {each!r}.")
    return asked


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})\s*([kmg]i?b)?", text.strip().lower())
    if found is None:
        raise BadInput(f"A number of bytes looks like 500MB, 2GB or 256MiB, not {text!r}.")
    return int(found[1]) * _UNITS[found[2] or ""]


def _fixed(text: str) -> dict[str, Any]:
    if text.isdecimal():
        return {"export_job_id": int(text[:20])}
    path = Path(text)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            hashes = list(dict.fromkeys(_hashes(file)))
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"The test set cannot be read from {text}: {error}.") from error
    if not hashes:
        raise BadInput(f"There is no SHA-256 of an image of a test set in {text}.")
    return {"sha256": hashes}


def _hashes(lines: Iterable[str]) -> Iterator[str]:
    """Of the rows of metadata whose split is test, or that have none; of the images of a manifest; of each line.

    Of an image that was packed resized it is the hash of the original, where the row has it.
    """
    lines = iter(lines)
    first = next(lines, "")
    every = chain([first], lines)
    if first.startswith("{"):
        rows: Iterable[dict[str, Any]] = (_row(line) for line in every if line.strip())
    elif "sha256" in first.split(","):
        rows = csv.DictReader(every)
    else:
        for line in every:
            found = re.match(r"([0-9a-fA-F]{64})(?:\s+\*?(.*))?$", line.strip())
            if found and (not found[2] or "/" in found[2]):  # a manifest's papers lie beside the folder of images
                yield found[1]
        return
    for row in rows:
        if (row.get("split") or "test") == "test":
            yield original_sha256(row) or str(row.get("sha256"))


def _row(line: str) -> dict[str, Any]:
    try:
        row: object = json.loads(line)
    except RecursionError:
        row = None
    if not isinstance(row, dict):
        raise ValueError(f"the line {line[:40].strip()!r} is no JSON object")  # noqa: TRY004 - of what was read
    return cast("dict[str, Any]", row)
