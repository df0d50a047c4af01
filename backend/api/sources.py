"""Where pictures can come from."""

from __future__ import annotations

from fastapi import APIRouter

from backend.http.access import Reader
from backend.http.service import CurrentService
from backend.schemas.sources import SourceResponse
from gleanset.sources import SOURCES

router = APIRouter(prefix="/sources", tags=["sources"])


@router.get("")
async def list_sources(service: CurrentService, _actor: Reader) -> list[SourceResponse]:
    """Every source that there is, with what it needs, allows and asks. Keys are never told."""
    options = service.settings.sources
    return [SourceResponse.of(info, options) for info in SOURCES.values()]
