"""Every page of the web, by its route: how the tests look at it, and what its picture in docs/images is called."""

from __future__ import annotations

WAYS: dict[str, list[str]] = {
    "/": ["", "?archived=1"],
    "/account": [""],
    "/account/keys": [""],
    "/activity": ["", "?action=decisions.", "?action=takedown."],
    "/admin/projects": [""],
    "/admin/takedowns": [""],
    "/admin/users": ["", "?search=nobody"],
    "/api": [""],
    "/images/{image_id}": [""],
    "/jobs/{job_id}": [""],
    "/jobs/{job_id}/exports": [""],
    "/jobs/{job_id}/images": ["", "?min_width=1", "?outcome=failed", "?text=nothing"],
    "/jobs/{job_id}/validation": ["", "?preset=strict", "?place=900"],
    "/jobs/{job_id}/validation/changes": ["", "?change=other_reasons"],
    "/login": [""],
    "/login/{token}": [""],
    "/projects/new": [""],
    "/projects/{project_id}": [""],
    "/projects/{project_id}/new": [""],
    "/projects/{project_id}/settings": [""],
    "/reasons": [""],
}
"""The ways in which each page is looked at, by its route; a new page has to be entered here."""
PICTURES = {
    "/": "projects",
    "/account": "account",
    "/account/keys": "keys",
    "/activity": "activity",
    "/admin/projects": "deleted",
    "/admin/takedowns": "takedowns",
    "/admin/users": "people",
    "/api": "api",
    "/images/{image_id}": "image",
    "/jobs/{job_id}": "job",
    "/jobs/{job_id}/exports": "exports",
    "/jobs/{job_id}/images": "images",
    "/jobs/{job_id}/validation": "validation",
    "/jobs/{job_id}/validation/changes": "changes",
    "/login": "login",
    "/login/{token}": "link",
    "/projects/new": "new-project",
    "/projects/{project_id}": "project",
    "/projects/{project_id}/new": "new",
    "/projects/{project_id}/settings": "settings",
    "/reasons": "reasons",
}
"""Names of the pictures that `make screenshots` takes of each page, without the theme: web-NAME-light.png."""
UNDER_WAY = "running"
"""The picture of a job's page while the job runs."""
FOR_ANYBODY = {"/login", "/login/{token}"}
