"""Pages, rendered here, thin: a context dataclass and a template each."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from backend.web import (
    account,
    activity,
    comparison,
    copies,
    crawls,
    deleted_projects,
    exports,
    gallery,
    jobs,
    keys,
    login,
    people,
    projects,
    reasons,
    reference,
    takedowns,
    theme,
    validation,
)
from backend.web.errors import error_page
from backend.web.render import STATIC


def mount(app: FastAPI) -> None:
    """Add the pages and what they load."""
    for page in (login, theme, account, keys, people, projects, crawls, jobs, gallery, validation, copies):
        app.include_router(page.router, include_in_schema=False)
    for page in (comparison, exports, activity, deleted_projects, takedowns, reasons, reference):
        app.include_router(page.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.state.error_page = error_page
