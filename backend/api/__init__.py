"""REST, thin: every endpoint finds its object, calls a service, and returns what the schema shows."""

from fastapi import APIRouter

from backend.api import (
    activity,
    crawl_jobs,
    decisions,
    deleted_projects,
    export_jobs,
    images,
    keys,
    lists,
    profile,
    progress,
    projects,
    rules,
    sources,
    takedowns,
    users,
    validation_jobs,
)

router = APIRouter(prefix="/api/v1")
for noun in (
    projects,
    validation_jobs,
    rules,
    sources,
    takedowns,
    activity,
    crawl_jobs,
    images,
    decisions,
    lists,
    progress,
    export_jobs,
    profile,
    keys,
    users,
    deleted_projects,
):
    router.include_router(noun.router)
