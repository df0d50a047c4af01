"""Rules: the sets that come along, and what rules would find."""

from __future__ import annotations

from fastapi import APIRouter

from backend.http.access import Reader
from backend.http.paging import Id
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob
from backend.schemas.jobs import ValidationSummary
from backend.schemas.rules import RuleSetResponse, RulesPreview, presets
from backend.services.access import seen
from backend.services.foretelling import foretell
from gleanset.rules import Rules

router = APIRouter(tags=["rules"])


@router.get("/rules/presets")
async def list_presets(_actor: Reader) -> list[RuleSetResponse]:
    """Sets of rules to begin with. Their names go under `preset` wherever rules are asked for."""
    return presets()


@router.post("/crawl-jobs/{crawl_job_id}/rules/preview")
async def preview_rules(
    session: Session, service: CurrentService, actor: Reader, crawl_job_id: Id, body: RulesPreview
) -> ValidationSummary:
    """What a validation by these rules would find among the images as they are now. Nothing is written."""
    await seen(session, actor, CrawlJob, crawl_job_id)
    foretold = await foretell(session, crawl_job_id, Rules.parse(body.rules), service.settings.indexes)
    return ValidationSummary.model_validate(foretold)
