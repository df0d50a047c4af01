"""REST, thin: every endpoint finds its object, calls a service, and returns what the schema shows."""

from fastapi import APIRouter

from backend.api import (
    crawl_jobs,
    progress,
    projects,
)

router = APIRouter(prefix="/api/v1")
for noun in (
    projects,
    crawl_jobs,
    progress,
):
    router.include_router(noun.router)
