"""What the OpenAPI document says beside what FastAPI finds out by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

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
    """Put the examples into the document, and tell that problems are JSON where the good answer is not."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for operations in document["paths"].values():
            for operation in operations.values():
                _complete(operation)
        return document

    app.openapi = openapi


def _complete(operation: dict[str, Any]) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and operation["operationId"] in EXAMPLES:
        body["example"] = EXAMPLES[operation["operationId"]]
    for status, answer in operation["responses"].items():
        if status == "200" and _EVENTS in answer.get("content", {}):
            answer["content"][_EVENTS]["schema"] = _EVENT
        if status.startswith("4") and "content" in answer:
            [content] = answer["content"].values()
            answer["content"] = {"application/json": content}
