"""The options of an export as fields of a form."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, ExportJob
from backend.models.enums import JobStatus
from backend.schemas.exports import MB, RELATIONS

EMPTY: Mapping[str, str] = {
    "split": "",
    "ratios": "train=80, validation=10, test=10",
    "folds": "5",
    "follow": "latest",
    "seed": "0",
    "resize": "",
    "size": "256",
    "resize_format": "jpeg",
    "rename": "sha256",
    "include_metadata": "yes",
    **{f"related_{name}": "yes" for name in RELATIONS},
}
"""What the form begins with."""
CHOICES: Mapping[str, Sequence[tuple[str, str]]] = {
    "split": (
        ("", "No: one set of images"),
        ("ratios", "Yes, by shares"),
        ("folds", "Yes, into equal folds"),
    ),
    "resize": (
        ("", "No: the images as they are stored"),
        ("shorter", "Shorter side to a size"),
        ("longer", "Longer side to a size"),
        ("crop", "Width and height, edges cut off"),
        ("pad", "Width and height, edges added"),
    ),
    "resize_format": (("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WebP")),
    "rename": (
        ("sha256", "By their content (SHA-256)"),
        ("number", "By a number for each label"),
        ("original", "As where they come from"),
    ),
}
"""The choices of each field that has some, and what they are called."""
_SHOWN = 50
_FIELDS = {
    "labels": "labels", "rename": "rename", "max_shard_size": "max_shard", "include_metadata": "include_metadata",
    "validation_job_id": "validation",
}  # fmt: skip
_SPLIT_FIELDS = {"fixed_test": "fixed_test", "follow": "follow", "seed": "seed", "folds": "folds"}
_RESIZE_FIELDS = {"height": "height", "quality": "quality", "format": "resize_format", "mode": "resize"}


async def earlier(session: AsyncSession, project_id: int) -> list[tuple[int, str]]:
    """Exports of the project whose splits can be kept."""
    query = select(ExportJob.id, ExportJob.name, ExportJob.created_at).join(CrawlJob)
    query = query.where(CrawlJob.project_id == project_id, ExportJob.status == JobStatus.COMPLETED.value)
    query = query.where(ExportJob.splits != {}).order_by(ExportJob.id.desc()).limit(_SHOWN)
    return [(number, f"{number}: {name}, {at:%Y-%m-%d %H:%M}") for number, name, at in await session.execute(query)]


def options_of(given: Mapping[str, str]) -> dict[str, Any]:
    """The form as the API would take it; what is not asked for is left out."""
    text = {name: value.strip()[:10_000] for name, value in given.items()}
    options: dict[str, Any] = {"include_metadata": bool(text.get("include_metadata"))}
    if validation := _number(text.get("validation", "")):
        options["validation_job_id"] = validation
    if labels := text.get("labels"):
        options["labels"] = list(
            dict.fromkeys(each for line in csv.reader([labels], skipinitialspace=True) for each in line)
        )
    if text.get("split"):
        options["split"] = _split(text)
    if mode := text.get("resize"):
        options["resize"] = {"mode": mode, "size": text.get("size"), "format": text.get("resize_format", "jpeg")}
        options["resize"] |= {name: text[name] for name in ("height", "quality") if text.get(name)}
    if text.get("rename"):
        options["rename"] = text["rename"]
    if shard := text.get("max_shard"):
        options["max_shard_size"] = number * MB if (number := _number(shard)) is not None else shard
    return options


def _split(text: Mapping[str, str]) -> dict[str, Any]:
    split: dict[str, Any] = {"related": [name for name in RELATIONS if text.get(f"related_{name}")]}
    if text["split"] == "folds":
        split["folds"] = text.get("folds")
    else:
        shares = [part.partition("=") for part in text.get("ratios", "").replace(":", "=").split(",") if part.strip()]
        split["ratios"] = {name.strip(): share.strip() for name, _, share in shares}
    if text.get("seed"):
        split["seed"] = text["seed"]
    if follow := text.get("follow"):
        split["follow"] = _number(follow) or follow
    if fixed := text.get("fixed_test"):
        split["fixed_test"] = {"export_job_id": fixed}
    return split


def field_of(place: str) -> str:
    """The field of the form for a place in the request."""
    head, _, rest = place.partition(".")
    if head != "export_options":
        return head if head in {"name", "format"} else "form"
    part, _, rest = rest.partition(".")
    below = rest.partition(".")[0]
    if part == "split":
        return _SPLIT_FIELDS.get(below, "ratios")
    if part == "resize":
        return _RESIZE_FIELDS.get(below, "size")
    return _FIELDS.get(part, "form")


def _number(text: str) -> int | None:
    return int(text[:12]) if text.isdecimal() else None
