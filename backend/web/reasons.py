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
from gleanset.rules import EXACT_DUPLICATE
from gleanset.types import Reason

router = APIRouter()


@dataclass(frozen=True, slots=True)
class ReasonsPage:
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]


@router.get("/reasons", dependencies=[Depends(Allow(Scope.READ))])
async def show_reasons(request: Request) -> Response:
    """Every reason and rule with its sentence."""
    not_had = [(reason.value, reason.sentence) for reason in Reason]
    not_valid = [(field.name, field.broken) for field in FIELDS]
    not_valid += [
        ("formats", "Its content has none of the formats asked for."),
        (EXACT_DUPLICATE, "Its bytes are those of another image of the job, which was recorded first."),
    ]
    return page(request, "reasons.html", ReasonsPage((("Not had", not_had), ("Not valid", not_valid))))
