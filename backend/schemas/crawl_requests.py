"""What may be asked for through the service: a plan without what would open the server's files or networks to a user.

Folders, paths, private addresses, hosts of one's own and overrides of settings are for the command line, whose user has
the machine anyway.
"""

from __future__ import annotations

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from backend.schemas.base import Misplaced, Name, Request, RowId, storable
from backend.schemas.crawl_jobs import LONGEST_KEYWORD, Keywords, MaxImages, check_keywords, labelled
from backend.schemas.exports import ExportOptions, Format, check_taken
from backend.schemas.plans import CrawlPlan, ExportPlan, UrlList, Website
from backend.schemas.rules import GivenRules, check_name
from gleanset.errors import GleansetError
from gleanset.sources import source_info, website
from gleanset.sources.licence import parse_licences
from gleanset.sources.lists import SUFFIXES
from gleanset.store import parse_list_key

MOST_KEYWORDS = 1000
DEFAULT_SOURCE = "openverse"


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("Give an address that begins with https:// and holds no password.")
    return url


def _list_key(key: str) -> str:
    found = parse_list_key(key)
    if found is None or f".{found[1]}" not in SUFFIXES:
        raise ValueError("This is not the key of a list. POST /api/v1/lists gives one for a list that you upload.")
    return key


def _source(name: str) -> str:
    try:
        info = source_info(name)
    except GleansetError as error:
        raise ValueError(str(error)) from error
    if not info.searched:
        raise ValueError(f"The source {name} takes no keywords but {info.needs}: see `lists` and `websites`.")
    return name


def _licences(given: list[str]) -> list[str]:
    try:
        return sorted(parse_licences(given))
    except GleansetError as error:
        raise ValueError(str(error)) from error


Address = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[!-~]+$")]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_KEYWORD),
    AfterValidator(storable),
]


class ListChoice(Request):
    """A list of image URLs: at an https:// address, or one that was uploaded, by its key."""

    url: Annotated[Address, AfterValidator(_https)] | None = None
    key: Annotated[str, StringConstraints(max_length=100), AfterValidator(_list_key)] | None = None
    url_column: Label | None = None
    label_column: Label | None = None
    label: Label | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.key is None):
            raise ValueError("Give either the `url` of a list or the `key` of an uploaded one.")
        return self

    def planned(self) -> UrlList:
        """As a plan keeps it; what was uploaded has its key for a path."""
        columns = self.model_dump(include={"url_column", "label_column", "label"})
        return UrlList(path=self.url or self.key or "", key=self.key, **columns)


class WebsiteChoice(Website):
    """A website by its http:// or https:// address."""

    url: Address
    label: Label | None = None

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            website.plan(self.url, depth=self.depth, max_pages=self.max_pages)
        except GleansetError as error:
            raise Misplaced(str(error), "url") from error
        return self


class ExportChoice(Request):
    """The export that follows by itself when the images are judged; its own validation is the one that decides."""

    format: Format = "zip"
    options: ExportOptions = ExportOptions()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.options.validation_job_id is not None:
            what = "The validation that follows the crawl decides: leave out `validation_job_id`."
            raise Misplaced(what, "options.validation_job_id")
        split = self.options.split
        if split is not None and split.fixed_test is not None and split.fixed_test.sha256 is not None:
            what = "Hashes of a test set are given with an export: here name one by `export_job_id`."
            raise Misplaced(what, "options.split.fixed_test.sha256")
        check_taken(self.format, self.options, "options")
        return self


class CrawlOptions(Request):
    """Where to look, what to keep, and what is to follow.

    `rules` judge what was gathered; null leaves it unjudged, and then nothing can be packed by itself. `rules_name`:
    what they are called; without it the preset that they are, or `custom`. `resize`: pixels of the
    shorter side of the copies that are kept instead of the originals, or beside them with `keep_original`.
    """

    sources: Annotated[list[Annotated[str, AfterValidator(_source)]], Field(max_length=50)] = Field(
        default_factory=list[str]
    )
    lists: Annotated[list[ListChoice], Field(max_length=20)] = Field(default_factory=list[ListChoice])
    websites: Annotated[list[WebsiteChoice], Field(max_length=100)] = Field(default_factory=list[WebsiteChoice])
    licences: Annotated[list[str], Field(min_length=1, max_length=100), AfterValidator(_licences)] | None = None
    resize: Annotated[int, Field(ge=16, le=16384)] | None = None
    keep_original: bool = False
    rules: GivenRules | None = Field(default_factory=dict[str, Any])
    rules_name: Name | None = None
    export: ExportChoice | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.keep_original and self.resize is None:
            raise Misplaced("keep_original says what to keep beside resized copies: give `resize` too.", "resize")
        if self.rules is not None:
            check_name(self.rules, self.rules_name)
        if self.export is not None and self.rules is None:
            raise Misplaced("An export follows when the images are judged: give `rules` too, {} at least.", "rules")
        return self

    def plan(self, keywords: Keywords) -> CrawlPlan:
        """The plan, with a source to ask when there are keywords and none is named."""
        return CrawlPlan(
            sources=list(dict.fromkeys(self.sources)) or ([DEFAULT_SOURCE] if labelled(keywords) else []),
            lists=[choice.planned() for choice in self.lists],
            websites=[Website.model_validate(choice.model_dump()) for choice in self.websites],
            licences=self.licences,
            resize=self.resize,
            keep_original=self.keep_original,
            rules=self.rules,
            rules_name=self.rules_name,
            export=ExportPlan(format=self.export.format, options=self.export.options) if self.export else None,
        )


class Wanted(Request):
    """What to look for, and where. Without keywords there have to be lists or websites."""

    keywords: Keywords = Field(default_factory=list[str])
    options: CrawlOptions = CrawlOptions()

    @model_validator(mode="after")
    def _something(self) -> Self:
        labels = labelled(self.keywords)
        if labels or not (self.options.lists or self.options.websites):
            try:
                check_keywords(self.keywords)
            except ValueError as error:
                raise Misplaced(str(error), "keywords") from error
        if sum(map(len, labels.values())) > MOST_KEYWORDS:
            raise Misplaced(f"A job takes {MOST_KEYWORDS} keywords at most. Make several jobs of them.", "keywords")
        return self

    def plan(self) -> CrawlPlan:
        """As a job keeps it."""
        return self.options.plan(self.keywords)


class CrawlRequest(Wanted):
    """A new crawl job. It stays pending until it is started."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": 1,
                    "name": "Sea birds",
                    "keywords": {"tern": ["arctic tern", "common tern"], "gull": ["herring gull"]},
                    "max_images": 600,
                    "options": {
                        "sources": ["openverse", "wikimedia"],
                        "licences": ["cc0", "by"],
                        "rules": {"min_width": 256, "min_height": 256},
                        "export": {"format": "zip"},
                    },
                }
            ]
        }
    )

    project_id: RowId
    name: Name
    max_images: MaxImages = 1000


class RefreshRequest(Request):
    """What may differ from the job that is refreshed; what is left out is as it was there."""

    name: Name | None = None
    max_images: MaxImages | None = None
