from __future__ import annotations

from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, computed_field

from backend.models.enums import JobStatus
from backend.schemas.base import JobResponse, Json, Name, Request, Response, percent, storable

Keywords = list[str] | dict[str, list[str]]
"""`["cat", "dog"]`, or label -> keywords; `{"keywords": [...]}` is the list in another dress."""

LONGEST_KEYWORD = 200


def labelled(keywords: Keywords) -> dict[str, list[str]]:
    """Each label with its keywords, stripped and without repeats. In a plain list each keyword is its own label."""
    if isinstance(keywords, dict) and keywords.keys() == {"keywords"}:
        keywords = keywords["keywords"]
    pairs = keywords.items() if isinstance(keywords, dict) else [(keyword, [keyword]) for keyword in keywords]
    labels: dict[str, list[str]] = {}
    for label, words in pairs:
        merged = [*labels.get(label.strip(), []), *(word.strip() for word in words)]
        labels[label.strip()] = list(dict.fromkeys(merged))
    return labels


def check_keywords(keywords: Keywords) -> Keywords:
    """The keywords. Raises ValueError when there is none, or one that cannot be."""
    labels = labelled(keywords)
    if not labels or not all(labels.values()):
        raise ValueError("Give at least one keyword, and at least one for each label.")
    for word in (*labels, *(word for words in labels.values() for word in words)):
        if not 1 <= len(word) <= LONGEST_KEYWORD:
            raise ValueError(f"A keyword or label has 1 to {LONGEST_KEYWORD} characters.")
    return storable(keywords)


def without_places(options: dict[str, Any]) -> dict[str, Any]:
    """A plan without where things lie on a server's disks: of lists and folders the name, of an export nothing."""
    told = dict(options)
    for kind in ("lists", "folders"):
        if given := cast("list[dict[str, Any]]", told.get(kind) or []):
            told[kind] = [each | {"path": _name(each)} if "path" in each else each for each in given]
    if export := cast("dict[str, Any] | None", told.get("export")):
        told["export"] = {name: value for name, value in export.items() if name != "out"}
    return told


def _name(given: dict[str, Any]) -> str:
    """Of a file its name; addresses and keys of uploaded lists stay."""
    path = str(given["path"])
    return path if "://" in path or path == given.get("key") else PurePath(path).name


MaxImages = Annotated[int, Field(ge=1, le=2**31 - 1)]


class CrawlJobCreate(Request):
    """`options` choose and tune the sources; `keywords` are kept as given."""

    project_id: int
    name: Name
    keywords: Annotated[Keywords, AfterValidator(check_keywords)]
    max_images: MaxImages = 1000
    options: Json = Field(default_factory=dict)


class CrawlJobUpdate(Request):
    """A field that is left out stays as it is."""

    name: Name | None = None
    max_images: MaxImages | None = None


class ChunkResponse(Response):
    """The part of a crawl job that one task runs: one keyword of one source, one slice of a list, one website.

    `reasons` counts what was not had, `changes` what a refresh found. `exhausted`: the source has no more.
    """

    id: int
    position: int
    source: str
    label: str
    keyword: str | None = None
    status: JobStatus
    quota: int | None = None
    exhausted: bool
    attempts: int
    total_images: int
    downloaded_images: int
    duplicate_images: int
    bytes: int
    reasons: dict[str, int]
    changes: dict[str, int]
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


class CrawlJobResponse(JobResponse):
    """`task_ids` of a pending job are empty until it is started."""

    project_id: int
    keywords: Keywords
    max_images: int = 1000
    downloaded_images: int = 0
    valid_images: int = 0
    total_chunks: int = 0
    active_chunks: int = 0
    completed_chunks: int = 0
    failed_chunks: int = 0
    task_ids: list[Any] = Field(default_factory=list)
    options: Annotated[dict[str, Any], AfterValidator(without_places)] = Field(default_factory=dict)

    @computed_field
    @property
    def success_rate(self) -> float:
        """Percent of the images met that were downloaded."""
        return percent(self.downloaded_images, self.total_images)
