"""What a crawl job was asked to do, kept with it as JSON, so that any worker can go on with it at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class UrlList(BaseModel):
    """A list of image URLs; columns are guessed by their usual names when not given.

    `path` is absolute, or an https:// or s3:// address; with `key`, a copy of the list is in the image store.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    key: str | None = None
    url_column: str | None = None
    label_column: str | None = None
    label: str | None = None


class PictureFolder(BaseModel):
    """A folder, or a zip or tar archive, of pictures on the workers' machines; `path` is absolute.

    It opens files of the machine to whoever may name it: the command line does, the API must not.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    label: str | None = None


class ExportPlan(BaseModel):
    """The export that follows a validation. `out` is where the command line wants a copy of the file."""

    model_config = ConfigDict(extra="forbid")

    format: str = "zip"
    out: Path | None = None


class Overrides(BaseModel):
    """Settings that hold for this one job, on whichever worker it runs. None leaves the worker's own."""

    model_config = ConfigDict(extra="forbid")

    hosts: dict[str, str] | None = None
    source_urls: dict[str, str] | None = None
    max_bytes: int | None = None


class CrawlPlan(BaseModel):
    """Sources to ask for the job's keywords, lists to fetch, folders to take in, and what follows the crawl.

    `licences`: codes of those wanted, as `gleanset.sources.licence.parse_licences` gives them; all when None.
    """

    model_config = ConfigDict(extra="forbid")

    sources: list[str] = []
    lists: list[UrlList] = []
    folders: list[PictureFolder] = []
    licences: list[str] | None = None
    allow_private: bool = False
    overrides: Overrides = Overrides()
    rules: dict[str, Any] | None = None
    export: ExportPlan | None = None
