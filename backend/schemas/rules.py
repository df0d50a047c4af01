"""Rules as a request brings them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from backend.schemas.base import Name, Request, RowId
from gleanset.errors import RuleError
from gleanset.rules import Rules


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    try:
        return Rules.parse(given).as_dict()
    except RuleError as error:
        raise ValueError(str(error)) from error


RuleSet = Annotated[dict[str, Any], AfterValidator(_checked)]
"""Rules that can be, without those that ask nothing; see docs/rules.md."""


class ValidationRequest(Request):
    """A validation of all images of a crawl job that has ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"crawl_job_id": 1, "validation_rules": {"min_width": 256, "min_sharpness": 50}}]
        }
    )

    crawl_job_id: RowId
    name: Name | None = None
    validation_rules: RuleSet = Field(default_factory=dict[str, Any])


class RulesPreview(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rules": {"min_width": 256, "formats": ["jpeg"]}}]})

    rules: RuleSet = Field(default_factory=dict[str, Any])
