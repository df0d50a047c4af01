"""REST, thin: every endpoint finds its object, calls a service, and returns what the schema shows."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from backend.api import (
    activity,
    crawl_jobs,
    decisions,
    deleted_projects,
    export_jobs,
    images,
    keys,
    lists,
    operation,
    profile,
    progress,
    projects,
    rules,
    sources,
    takedowns,
    users,
    validation_jobs,
)
from backend.http.queries import only_known


def mount(app: FastAPI) -> None:
    """Add the endpoints, those first that are asked most: routes are tried in their order. Each router is the
    application's own, since one within another is gone through once more for every level."""
    known = [Depends(only_known)]
    for noun in (projects, crawl_jobs, images, progress, validation_jobs, export_jobs, decisions):
        app.include_router(noun.router, prefix="/api/v1", dependencies=known)
    for noun in (rules, sources, activity, takedowns, lists, profile, keys, users, deleted_projects):
        app.include_router(noun.router, prefix="/api/v1", dependencies=known)
    app.include_router(operation.router)
