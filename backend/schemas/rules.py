"""Rules as a request brings them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from backend.schemas.base import Misplaced, Name, Request, Response, RowId
from backend.schemas.jobs import VerdictResponse
from gleanset.errors import RuleError
from gleanset.presets import PRESETS
from gleanset.rules import Rules, RuleSet


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    try:
        return Rules.parse(given).as_dict()
    except RuleError as error:
        raise Misplaced(str(error), error.rule) from error


GivenRules = Annotated[
    dict[str, Any],
    AfterValidator(_checked),
    Field(description="Rules by their names, see docs/rules.md; under `preset` the name of a set that they change."),
]
"""Rules that can be, without those that ask nothing, and those of a preset written out."""


def check_name(rules: Mapping[str, Any], name: str | None) -> None:
    """Raises Misplaced where other rules have a preset's name."""
    try:
        RuleSet.parse(rules, name)
    except RuleError as error:
        raise Misplaced(str(error), "rules_name") from error


class ValidationRequest(Request):
    """A validation of all images of a crawl job that has ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"crawl_job_id": 1, "validation_rules": {"preset": "standard", "min_width": 512}}]
        }
    )

    crawl_job_id: RowId
    name: Name | None = None
    validation_rules: GivenRules = Field(default_factory=dict[str, Any])
    rules_name: Name | None = Field(
        default=None, description="What the rules are called; the preset that they are, or `custom`, without it."
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        check_name(self.validation_rules, self.rules_name)
        return self


class RulesPreview(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rules": {"min_width": 256, "formats": ["jpeg"]}}]})

    rules: GivenRules = Field(default_factory=dict[str, Any])


class RuleSetResponse(Response):
    """Rules with their name, the version of their schema, and the hash that a validation by them has."""

    name: str
    version: int
    hash: str
    rules: dict[str, Any]

    @classmethod
    def of(cls, named: RuleSet) -> Self:
        return cls(name=named.name, version=named.version, hash=named.hash, rules=named.rules.as_dict())


def presets() -> list[RuleSetResponse]:
    """The sets that Gleanset brings along, the most lenient first."""
    return [RuleSetResponse.of(RuleSet.parse({"preset": name})) for name in PRESETS]


class RuleChange(Response):
    """What a rule asked in the one validation and asks in the other; null where it asks nothing."""

    before: Any = None
    after: Any = None


class ComparisonResponse(Response):
    """How the verdicts of a validation differ from those of an earlier one about the same images.

    `became_invalid` is by the reasons that images have now, `became_valid` by those that they had; an image counts with
    each. `other_reasons`: invalid in both, for other reasons. `only_before`, `only_after`: judged by one of them alone.
    `rules`: those that differ, by their names.
    """

    rules: dict[str, RuleChange]
    same: int
    became_valid: int
    became_invalid: int
    other_reasons: int
    only_before: int
    only_after: int
    became_valid_by: dict[str, int]
    became_invalid_by: dict[str, int]


class ChangedVerdict(Response):
    """Two verdicts about one image that are not the same."""

    image_id: int
    before: VerdictResponse
    after: VerdictResponse
