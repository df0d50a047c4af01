"""Pages, rendered here, thin: a context dataclass and a template each."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from backend.web import account

_STATIC = Path(__file__).parent / "static"


def mount(app: FastAPI) -> None:
    """Add the pages and what they load."""
    router = APIRouter(include_in_schema=False)
    for page in (account,):
        router.include_router(page.router)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
