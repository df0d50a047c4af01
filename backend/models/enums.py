"""Closed sets of words. Columns hold them as plain strings, and a CHECK keeps other words out."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint


class Role(StrEnum):
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


class Scope(StrEnum):
    """What an API key is good for. Each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class ProjectStatus(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class JobStatus(StrEnum):
    """Also the status of a chunk."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Delivery(StrEnum):
    """Of an export that is to lie at a place of the person's own."""

    WANTED = "wanted"
    BEGUN = "begun"
    DONE = "done"


class ImageOutcome(StrEnum):
    PENDING = "pending"
    DOWNLOADED = "downloaded"
    REFUSED = "refused"
    FAILED = "failed"


class ImageChange(StrEnum):
    """What a refresh found of an image, held to the job that it refreshes."""

    NEW = "new"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    DEAD = "dead"
    OPTED_OUT = "opted_out"
    LOST = "lost"


class Choice(StrEnum):
    """What a person decided about an image."""

    KEEP = "keep"
    REJECT = "reject"


def allowed(column: str, words: type[StrEnum]) -> CheckConstraint:
    """A CHECK that `column` holds one of the words."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
