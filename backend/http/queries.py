"""Parameters of a query that no endpoint knows: refused, so that a misspelt filter does not let everything through."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from backend.errors import BadInput
from backend.http.access import actor_of
from backend.services.access import Actor


async def only_known(request: Request, actor: Annotated[Actor | None, Depends(actor_of)]) -> None:
    """Raises BadInput for a parameter that the route does not declare. Who is nobody hears that first, by its rule."""
    if actor is None or not request.query_params:
        return
    known = known_of(request.scope["route"])
    for name in request.query_params:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Those known here are: {', '.join(sorted(known))}."
            told = f"There is no parameter {name!r}. {hint if known else 'None is known here.'}"
            raise BadInput(told, field=f"query.{name}")


def known_of(route: APIRoute) -> frozenset[str]:
    """The names of the parameters that the route, or what runs before it, takes from the query."""
    return frozenset(_names(route.dependant))


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):  # its fields are the parameters
            yield from kind.model_fields
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
