"""REST, thin: every endpoint finds its object, calls a service, and returns what the schema shows."""

from fastapi import APIRouter

from backend.api import progress, projects

router = APIRouter(prefix="/api/v1")
for noun in (progress, projects):
    router.include_router(noun.router)
