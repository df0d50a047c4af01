"""What the words mean that say why an image was not had or is not valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from backend.http.access import Allow
from backend.services.access import Scope
from backend.web.render import page
from backend.web.rules import FIELDS
from gleanset.types import Reason

router = APIRouter()


@dataclass(frozen=True, slots=True)
class ReasonsPage:
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]


@router.get("/reasons", dependencies=[Depends(Allow(Scope.READ))])
async def show_reasons(request: Request) -> Response:
    """Every reason and rule with its sentence."""
    not_had = [(reason.value, reason.sentence) for reason in Reason]
    not_valid = [(code, field.broken) for field in FIELDS for code in field.codes]
    return page(request, "reasons.html", ReasonsPage((("Not had", not_had), ("Not valid", not_valid))))
