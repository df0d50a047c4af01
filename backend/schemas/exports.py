"""What may be asked of an export; docs/exports.md tells what each option does."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from backend.schemas.base import Misplaced, Name, Request, RowId, storable
from gleanset.errors import ExportError
from gleanset.export import DOWNLOADED, FORMATS, TAKEN_BY
from gleanset.export.split import LEAST_SHARE, MOST_SHARE, MOST_SPLITS, SplitPlan, check_name

MOST_HASHES = 50_000
MOST_LABELS = 1000
MB = 1_000_000


def check_format(name: str) -> str:
    """The name of a format that can be downloaded. Raises ValueError."""
    if name not in DOWNLOADED:
        raise ValueError(f"There is no export format {name!r}. The formats are: {', '.join(DOWNLOADED)}.")
    return name


def _split_name(name: str) -> str:
    try:
        return check_name(name)
    except ExportError as error:
        raise ValueError(str(error)) from error


Format = Annotated[str, StringConstraints(max_length=20), AfterValidator(check_format)]
SplitName = Annotated[str, StringConstraints(max_length=100), AfterValidator(_split_name)]
Share = Annotated[float, Field(ge=LEAST_SHARE, le=MOST_SHARE, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=16, le=16384)]
Sha256 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(storable)]
Relation = Literal["near_duplicates", "series"]
RELATIONS: tuple[Relation, ...] = ("near_duplicates", "series")


def _in_order(related: list[Relation]) -> list[Relation]:
    return [relation for relation in RELATIONS if relation in related]


class FixedTest(Request):
    """A test set that is kept: the `test` of an earlier export, or the images with these hashes.

    Hashes that are sent are kept with the export; its own number then stands in their place.
    """

    export_job_id: RowId | None = None
    sha256: Annotated[list[Sha256], Field(min_length=1, max_length=MOST_HASHES)] | None = None
    name: SplitName = "test"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.export_job_id is None) == (self.sha256 is None):
            raise ValueError("A fixed test set is that of an export, by `export_job_id`, or hashes, as `sha256`.")
        return self


class SplitOptions(Request):
    """Either `ratios`, in any unit and by any names, or so many equal `folds`.

    `follow`: the export whose splits are kept; `latest` is the project's latest with these same options, `none` begins
    anew. `related`: what must not be parted, beside equal bytes.
    """

    ratios: Annotated[dict[SplitName, Share], Field(min_length=1, max_length=MOST_SPLITS)] | None = None
    folds: Annotated[int, Field(ge=2, le=MOST_SPLITS)] | None = None
    fixed_test: FixedTest | None = None
    follow: RowId | Literal["latest", "none"] = "latest"
    related: Annotated[list[Relation], Field(max_length=2), AfterValidator(_in_order)] = Field(
        default_factory=lambda: list(RELATIONS)
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.ratios is None) == (self.folds is None):
            raise ValueError("A split has either `ratios`, such as train 80 and test 20, or `folds`.")
        try:
            self.plan()
        except ExportError as error:
            raise ValueError(str(error)) from error
        return self

    def plan(self) -> SplitPlan:
        """As the engine takes it."""
        options: dict[str, Any] = {
            "seed": self.seed,
            "near_duplicates": "near_duplicates" in self.related,
            "series": "series" in self.related,
            "fixed": self.fixed_test.name if self.fixed_test else None,
        }
        if self.folds is not None:
            return SplitPlan.folds(self.folds, **options)
        return SplitPlan(shares=self.ratios or {}, **options)


class ResizeOptions(Request):
    """Copies instead of the images as they are stored: upright, of this size in pixels, never enlarged.

    `shorter` and `longer` give that side `size`; `crop` and `pad` make all images `size` wide and `height` high (as
    much as wide when it is left out), cutting off the edges or adding some. `quality` is that of jpeg and webp.
    """

    mode: Literal["shorter", "longer", "crop", "pad"] = "shorter"
    size: Pixels
    height: Pixels | None = None
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.height is not None and self.mode not in {"crop", "pad"}:
            raise ValueError(f"The mode {self.mode} has one `size`; `height` belongs to crop and pad.")
        if self.quality is not None and self.format == "png":
            raise ValueError("png loses nothing, so it has no `quality`.")
        return self


class ExportOptions(Request):
    """All of them can be left out.

    `labels`: only images of these. `rename`: file names made of content hashes, of a number for each label, or of the
    names that the images had where they come from. `max_shard_size`: bytes, for formats that come in several files.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"split": {"ratios": {"train": 80, "validation": 10, "test": 10}}},
                {
                    "labels": ["gull", "tern"],
                    "split": {"folds": 5, "fixed_test": {"export_job_id": 7}},
                    "resize": {"mode": "crop", "size": 224},
                },
            ]
        }
    )

    include_metadata: bool = True
    validation_job_id: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)] | None = None
    labels: Annotated[list[Label], Field(min_length=1, max_length=MOST_LABELS)] | None = None
    split: SplitOptions | None = None
    resize: ResizeOptions | None = None
    rename: Literal["sha256", "number", "original"] = "sha256"
    max_shard_size: Annotated[int, Field(ge=MB, le=100_000 * MB)] | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON, without what is as it would be anyway."""
        return self.model_dump(mode="json", exclude_defaults=True)


_MEANS = {
    "max_shard_size": "has no files to be of that size at most. It is for",
    "rename": "has no files to be named. It is for",
}


def check_taken(format_: str, options: ExportOptions, place: str) -> None:
    """Raises Misplaced for an option that the format would ignore; `place` is that of the options."""
    for option, formats in TAKEN_BY.items():
        if option in options.stored() and format_ in FORMATS and format_ not in formats:
            what = f"{format_} {_MEANS[option]} {', '.join(formats)}: leave out `{option}`."
            raise Misplaced(what, f"{place}.{option}")


class StoredOptions(ExportOptions):
    """What is kept with an export: whether it was `planned` with the crawl, and what only the command line may say.

    `container`: see `gleanset.export.CONTAINERS`. `out`: where a copy is wanted, on the disk or in an object store.
    """

    model_config = ConfigDict(extra="ignore")

    container: str | None = None
    out: str | None = None
    planned: bool = False


class ExportRequest(Request):
    """An export of a crawl job that has ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "crawl_job_id": 1,
                    "name": "Sea birds",
                    "format": "zip",
                    "export_options": {"split": {"ratios": {"train": 80, "validation": 10, "test": 10}}},
                }
            ]
        }
    )

    crawl_job_id: RowId
    name: Name
    format: Format = "zip"
    export_options: ExportOptions = ExportOptions()

    @model_validator(mode="after")
    def _taken(self) -> Self:
        check_taken(self.format, self.export_options, "export_options")
        return self
