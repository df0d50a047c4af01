"""What a crawl job was asked to do, kept with it as JSON, so that any worker can go on with it at any time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from backend.schemas.exports import ExportOptions

OWN_HOST = r"^(\*\.)?[\w-]+(\.[\w-]+)*$|^[0-9a-fA-F:.]+$"
"""A host name, `*.` and one, or an address; without scheme and port."""


class UrlList(BaseModel):
    """A list of image URLs; columns are guessed by their usual names when not given.

    `path` is absolute, or an https:// or s3:// address; with `key`, a copy of the list is in the image store. A list
    that was uploaded is there only, and has its key for a path too.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    key: str | None = None
    url_column: str | None = None
    label_column: str | None = None
    label: str | None = None


class Website(BaseModel):
    """A start page, or a sitemap, and how far to go from it. The label is the site's host when none is given."""

    model_config = ConfigDict(extra="forbid")

    url: str
    depth: int = Field(1, ge=0, le=10)
    max_pages: int = Field(100, ge=1, le=10_000)
    sitemaps: bool = False
    label: str | None = None


class PictureFolder(BaseModel):
    """A folder, or a zip or tar archive, of pictures on the workers' machines; `path` is absolute.

    It opens files of the machine to whoever may name it: the command line does, the API must not.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    label: str | None = None


class ExportPlan(BaseModel):
    """The export that follows a validation. `container`: see `gleanset.export.CONTAINERS`; the format's own when None.

    `out` is where the command line wants it: an absolute path, or an s3:// address.
    """

    model_config = ConfigDict(extra="forbid")

    format: str = "zip"
    options: ExportOptions = ExportOptions()
    container: str | None = None
    out: str | None = None


class Overrides(BaseModel):
    """Settings that hold for this one job, on whichever worker it runs. None leaves the worker's own."""

    model_config = ConfigDict(extra="forbid")

    hosts: dict[str, str] | None = None
    source_urls: dict[str, str] | None = None
    max_bytes: int | None = None
    interval: float | None = None


class CrawlPlan(BaseModel):
    """Sources to ask for the job's keywords; lists, websites and folders to read; and what follows the crawl.

    `own_hosts`: names or patterns (`*.example.org`) of hosts that belong to whoever asked for the job; robots.txt,
    opt-outs and pacing do not concern them. `licences`: codes of those wanted, as
    `gleanset.sources.licence.parse_licences` gives them; all when None.
    `resize`: pixels of the shorter side of the copies that are stored, instead of the originals unless `keep_original`.
    `refresh_of`: the job whose images are visited again.
    """

    model_config = ConfigDict(extra="forbid")

    sources: list[str] = []
    lists: list[UrlList] = []
    websites: list[Website] = []
    folders: list[PictureFolder] = []
    licences: list[str] | None = None
    resize: int | None = None
    keep_original: bool = False
    allow_private: bool = False
    own_hosts: list[Annotated[str, StringConstraints(pattern=OWN_HOST)]] = []
    overrides: Overrides = Overrides()
    rules: dict[str, Any] | None = None
    rules_name: str | None = None
    export: ExportPlan | None = None
    refresh_of: int | None = None
