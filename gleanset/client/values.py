"""What the API gives, as frozen values. Fields that a newer server adds are passed over."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gleanset.export import FORMATS

Item = TypeVar("Item")


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Numbered(Protocol):
    """What has a number on the server."""

    @property
    def id(self) -> int: ...


def number(thing: Numbered | int) -> int:
    """The number of a thing, or the number itself."""
    return thing if isinstance(thing, int) else thing.id


class Page(Value, Generic[Item]):
    items: list[Item]
    next: str | None = None


class Project(Value):
    id: int
    name: str
    description: str | None = None
    status: str
    created_at: datetime
    updated_at: datetime


class Job(Value):
    """What crawl, validation and export jobs have in common. `progress` is percent."""

    id: int
    name: str
    status: str
    progress: int = 0
    total_images: int = 0
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def has_ended(self) -> bool:
        return self.status in {"completed", "failed", "cancelled"}


class CrawlJob(Job):
    project_id: int
    keywords: list[str] | dict[str, list[str]] = []
    max_images: int
    downloaded_images: int = 0
    valid_images: int = 0
    total_chunks: int = 0
    completed_chunks: int = 0
    failed_chunks: int = 0
    task_ids: list[Any] = []
    options: dict[str, Any] = {}

    @property
    def is_started(self) -> bool:
        """Whether it runs, has run, or is in the queue."""
        return self.status != "pending" or bool(self.task_ids)


class FollowUp(Job):
    """A job about the images of a crawl job."""

    crawl_job_id: int


class ValidationJob(FollowUp):
    validated_images: int = 0
    invalid_images: int = 0
    validation_rules: dict[str, Any] = {}


class ExportJob(FollowUp):
    """`sha256` is that of its manifest, `file_size` that of the file. `there`: as long as it can be downloaded."""

    format: str
    exported_images: int = 0
    file_size: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # it names a folder of the cache
    download_url: str | None = None
    export_options: dict[str, Any] = {}
    expires_at: datetime | None = None
    is_expired: bool = False
    taken_down_images: int = 0

    @property
    def has_images(self) -> bool:
        """Whether it holds more than a table."""
        return self.format not in {"csv", "jsonl"}

    @property
    def container(self) -> str:
        """What its files are in: zip, tar, tar.gz, tar.zst, or folder."""
        return self.export_options.get("container") or FORMATS.get(self.format, ("", "zip"))[1]

    @property
    def is_read_while_it_comes(self) -> bool:
        """Whether images can be found before all of it is there: by the list of files of a zip, and a table."""
        return self.container == "zip" and self.format not in {"webdataset", "parquet"}

    @property
    def there(self) -> bool:
        whole = self.status == "completed" and self.download_url is not None
        return whole and not self.is_expired and not self.taken_down_images


class Link(Value):
    """A way to the file without a login, until it expires."""

    url: str
    expires_at: datetime


class Summary(Value):
    """How many images broke each rule, most frequent first; an image counts with each of its reasons.

    `not_judged`: what takes longer to tell than a preview may, such as reading files again; fewer may be valid yet.
    """

    total: int
    valid: int
    invalid: dict[str, int]
    not_judged: list[str] = []


class Part(Value):
    """What one source, or one label, has given. `wanted` is None when nobody knows how many it has."""

    name: str
    wanted: int | None = None
    downloaded: int


class Progress(Value):
    """Where a run stands: a crawl job with its latest validation and export.

    `status` is the first on the way that is not `completed`; once `settled`, nothing more happens by itself.
    """

    crawl_job: CrawlJob
    validation_job: ValidationJob | None = None
    export_job: ExportJob | None = None
    status: str
    settled: bool
    failures: dict[str, int] = {}
    invalid: dict[str, int] = {}
    bytes: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    seconds_left: float | None = None
    sources: list[Part] = []
    labels: list[Part] = []


class Image(Value):
    """An image with its provenance and measures. `sha256` and `pdq` are hex; most are None for what was not had."""

    id: int
    crawl_job_id: int
    original_url: str
    outcome: str
    reason: str | None = None
    detail: str | None = None
    label: str | None = None
    source: str | None = None
    keyword: str | None = None
    width: int | None = None
    height: int | None = None
    file_size: int | None = None
    format: str | None = None
    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence: str | None = None
    licence_version: str | None = None
    licence_url: str | None = None
    attribution: str | None = None
    metadata: dict[str, Any] | None = Field(default=None, validation_alias="metadata_")
    sha256: str | None = None
    pdq: str | None = None
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    entropy: float | None = None
    fetched_at: datetime | None = None
    valid: bool | None = None
    verdict_reasons: list[str] | None = None


class Verdict(Value):
    """What a validation found about an image: valid, or the code of every rule that it breaks. `duplicate_of` is the
    image that stands for it, of this job or an earlier one."""

    image_id: int
    valid: bool
    reasons: list[str]
    duplicate_of: int | None = None


class RuleChange(Value):
    """What a rule asked in the one validation and asks in the other; None where it asks nothing."""

    before: Any = None
    after: Any = None


class Comparison(Value):
    """How the verdicts of a validation differ from those of an earlier one of the same crawl job, in images.

    `became_invalid_by` is by the reasons that images have now, `became_valid_by` by those that they had; an image
    counts with each. `other_reasons`: invalid in both, for other reasons. `only_before`, `only_after`: judged by one
    alone. `rules`: those that differ, by their names.
    """

    rules: dict[str, RuleChange] = {}
    same: int
    became_valid: int
    became_invalid: int
    other_reasons: int
    only_before: int
    only_after: int
    became_valid_by: dict[str, int] = {}
    became_invalid_by: dict[str, int] = {}


class Change(Value):
    """Two verdicts about one image that are not the same; `duplicate_of` is not told here."""

    image_id: int
    before: Verdict
    after: Verdict


class Decision(Value):
    """What a person decided about a picture, by its bytes, in all jobs of a project."""

    project_id: int
    sha256: str
    choice: str
    note: str | None = None
    decided_at: datetime


class Decided(Value):
    """How many different pictures, and how many images of the project's jobs, decisions concern."""

    pictures: int
    images: int
