"""What the OpenAPI document says beside what FastAPI finds out by itself."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from backend.http.access import COOKIE, endpoints, rule_of

EXAMPLES: dict[str, dict[str, Any]] = {
    "create_project": {"name": "Cats and dogs", "description": "For the classifier of the spring term."},
    "update_project": {"name": "Cats, dogs and foxes"},
    "create_crawl_job": {
        "project_id": 1,
        "name": "Cats",
        "keywords": ["tabby cat", "siamese cat"],
        "max_images": 500,
        "options": {"sources": ["openverse"], "rules": {"min_width": 256}},
    },
    "preview_crawl": {"keywords": ["tabby cat"], "options": {"sources": ["openverse"]}, "limit": 12},
    "update_crawl_job": {"max_images": 1000},
    "refresh_crawl_job": {"max_images": 1000},
    "create_validation_job": {
        "crawl_job_id": 1,
        "name": "Large ones",
        "validation_rules": {"preset": "standard", "min_width": 512},
    },
    "preview_rules": {"rules": {"min_width": 512}},
    "create_export_job": {"crawl_job_id": 1, "name": "For training", "format": "zip", "export_options": {}},
    "decide": {"choice": "reject", "image_ids": [17, 19], "note": "Drawings, not photographs."},
    "undo_decisions": {"image_ids": [17]},
    "update_profile": {"full_name": "Ada Lovelace"},
    "change_password": {"old": "the one until now", "new": "a longer one from now on"},
    "create_key": {"name": "Nightly export", "scopes": ["read"]},
    "invite_user": {"email": "ada@example.org", "role": "user"},
    "update_user": {"role": "moderator"},
    "take_down": {"url": "https://pictures.example.org/7.jpg", "note": "Asked for by the photographer."},
}
"""Bodies by the name of the operation."""

PARAMETERS: dict[str, Any] = {
    "project_id": 1,
    "deleted_id": 2,
    "crawl_job_id": 20,
    "validation_job_id": 3,
    "export_job_id": 5,
    "image_id": 17,
    "takedown_id": 4,
    "key_id": 6,
    "user_id": "6e0f3a4e-1f0c-4d8b-9a57-2f5a1c0b7d31",
    "session_id": "5b0cfe0a2c4d4e61" * 4,
    "name": "Cats and dogs",
    "search": "ada@example.org",
    "cursor": "MTc",
    "limit": 50,
    "status": "running",
    "outcome": "downloaded",
    "reason": "not_found",
    "list_verdicts.reason": "min_width",
    "verdict": "min_width",
    "label": "tabby cat",
    "source": "openverse",
    "licence": "cc0",
    "text": "sunset",
    "valid": True,
    "decision": "keep",
    "min_width": 512,
    "max_width": 4096,
    "min_height": 512,
    "max_height": 4096,
    "min_file_size": 10_000,
    "max_file_size": 5_000_000,
    "within": 31,
    "since": 2,
    "change": "became_invalid",
    "expires": 1_798_761_600,
    "signature": "q1w2e3r4t5y6u7i8o9p0",
    "action": "crawl_job.started",
    "resource_type": "crawl_jobs",
    "resource_id": 20,
    "Idempotency-Key": "cats-2026-11-28",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "last-event-id": "5b0cfe0a2c4d4e615b0c",
}
"""Parameters by their name, or by that of their operation too where one name means two things."""

SECURITY: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token of the identity provider, as `Authorization: Bearer ...`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The cookie of a browser that is logged in (over https its name begins with `__Host-`). What"
        " changes something needs the session's CSRF token too, in the header `X-CSRF-Token`.",
    },
}

_EVENTS = "text/event-stream"
_EVENT = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data", "retry")},
}


def operation_id(route: APIRoute) -> str:
    """The name of the endpoint's function, which is unique and can be read: clients are generated from it."""
    return route.name


def complete_document(app: FastAPI) -> None:
    """Put examples into the document, and what proves who asks; problems are JSON also where the good answer is not."""
    plain = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = SECURITY
        document["security"] = [{name: []} for name in SECURITY]
        ours = [route for route in endpoints(app) if route.path in document["paths"]]  # and not the pages
        public = {str(route.name) for route in ours if rule_of(route) is None}
        answers = json.loads(files("backend.api").joinpath("answers.json").read_text())
        for operations in document["paths"].values():
            for operation in operations.values():
                _complete(operation, answers)
                if operation["operationId"] in public:
                    operation["security"] = []
        return document

    app.openapi = openapi


def _complete(operation: dict[str, Any], answers: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        parameter["example"] = PARAMETERS.get(f"{operation['operationId']}.{name}", PARAMETERS[name])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and operation["operationId"] in EXAMPLES:
        body["example"] = EXAMPLES[operation["operationId"]]
    for status, answer in operation["responses"].items():
        good = answer.get("content", {}).get("application/json") if status.startswith("2") else None
        if good is not None and operation["operationId"] in answers:
            good["example"] = answers[operation["operationId"]]
        if status == "200" and _EVENTS in answer.get("content", {}):
            answer["content"][_EVENTS]["schema"] = _EVENT
        if status.startswith("4") and "content" in answer:
            [content] = answer["content"].values()
            answer["content"] = {"application/json": content}
