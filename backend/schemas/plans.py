"""What a crawl job was asked to do, kept with it as JSON, so that any worker can go on with it at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

OWN_HOST = r"^(\*\.)?[\w-]+(\.[\w-]+)*$|^[0-9a-fA-F:.]+$"
"""A host name, `*.` and one, or an address; without scheme and port."""


class UrlList(BaseModel):
    """A file of image URLs. `path` is absolute; columns are guessed by their usual names when not given."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    url_column: str | None = None
    label_column: str | None = None
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
    interval: float | None = None


class CrawlPlan(BaseModel):
    """Sources to ask for the job's keywords, lists to fetch, and what follows when the crawl is done.

    `own_hosts`: names or patterns (`*.example.org`) of hosts that belong to whoever asked for the job; robots.txt,
    opt-outs and pacing do not concern them. `licences`: codes of those wanted, as
    `gleanset.sources.licence.parse_licences` gives them; all when None.
    `resize`: pixels of the shorter side of the copies that are stored, instead of the originals unless `keep_original`.
    `refresh_of`: the job whose images are visited again.
    """

    model_config = ConfigDict(extra="forbid")

    sources: list[str] = []
    lists: list[UrlList] = []
    licences: list[str] | None = None
    resize: int | None = None
    keep_original: bool = False
    allow_private: bool = False
    own_hosts: list[Annotated[str, StringConstraints(pattern=OWN_HOST)]] = []
    overrides: Overrides = Overrides()
    rules: dict[str, Any] | None = None
    export: ExportPlan | None = None
    refresh_of: int | None = None
