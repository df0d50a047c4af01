"""People and one of everything, made anew for each request of the authorization matrix, which may destroy them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import uuid4

from PIL import Image as Picture
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import (
    ApiKey,
    CrawlChunk,
    CrawlJob,
    Credential,
    ExportJob,
    Image,
    Profile,
    Project,
    Takedown,
    ValidationJob,
    Verdict,
)
from backend.models.enums import Role
from backend.services import identity
from backend.services.access import Scope
from backend.services.secrets import new_token, token_hash
from gleanset.store import blob_key
from tests.api.team import cheap_hash
from tests.serving import Served


class Kind(StrEnum):
    """Whose an object is, and with that who may have it."""

    THING = "thing"
    """In a project: its owner changes it, moderators see it, admins may do both. For others it is not there."""
    OWN = "own"
    """Somebody's alone, such as an API key: not there even for an admin."""
    PERSON = "person"
    """What is there for everybody whom the route lets in: a user or a deleted project, for admins."""
    ANY = "any"
    """No object: a name, a format."""


KINDS: Mapping[str, Kind] = {
    "project_id": Kind.THING,
    "crawl_job_id": Kind.THING,
    "job_id": Kind.THING,
    "chunk_id": Kind.THING,
    "image_id": Kind.THING,
    "image_ids": Kind.THING,
    "validation_job_id": Kind.THING,
    "since": Kind.THING,
    "export_job_id": Kind.THING,
    "key_id": Kind.OWN,
    "session_id": Kind.OWN,
    "user_id": Kind.PERSON,
    "takedown_id": Kind.PERSON,
    "deleted_id": Kind.PERSON,
    "token": Kind.ANY,
    "action": Kind.ANY,
}
"""What a parameter of this name is, in a path, a query or a body. A new one has to be entered here, and in `World`."""


@dataclass
class World:
    """`people` by the column of the matrix, `values` by the parameter's name."""

    people: dict[str, Profile]
    values: dict[str, Any]


@cache
def picture() -> tuple[bytes, str]:
    """A JPEG and its hash."""
    file = io.BytesIO()
    Picture.new("RGB", (64, 48), (200, 120, 40)).save(file, "JPEG")
    return file.getvalue(), hashlib.sha256(file.getvalue()).hexdigest()


def keep_picture(served: Served) -> None:
    """Put the picture of every world's image into the store."""
    data, sha256 = picture()
    path = served.settings.home / "images" / blob_key(sha256, "jpeg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


async def make_world(session: AsyncSession) -> World:
    """The owner of everything, an other user, a moderator and an admin."""
    roles = {"owner": Role.USER, "other": Role.USER, "moderator": Role.MODERATOR, "admin": Role.ADMIN}
    people = {name: _person(role) for name, role in roles.items()}
    target = _person(Role.USER)
    session.add_all([*people.values(), target])
    await session.flush()
    values = await _things(session, people["owner"])
    key, _ = _key(people["owner"], [Scope.READ])
    session.add(key)
    await session.flush()
    session.add(taken := Takedown(url=f"https://example.org/{uuid4().hex}"))
    await session.flush()
    values["takedown_id"] = taken.id
    token = await identity.open_session(session, people["owner"].id, "another browser")
    values |= {"key_id": key.id, "user_id": target.id, "session_id": token_hash(token).hex()}
    session.add_all(
        Credential(user_id=person.id, password_hash=cheap_hash(PASSWORD)) for person in (target, *people.values())
    )
    values |= {"email": target.email, "password": PASSWORD}
    values["token"] = await identity.new_link(session, target.id)
    values["action"] = "cancel"
    values |= {
        "name": "Somebody",
        "new_email": f"{uuid4().hex}@example.org",
        "new_password": "four other unlikely words",
    }
    values |= {"scope": "read", "role": "moderator", "disabled": "true"}
    return World(people, values)


def _person(role: Role) -> Profile:
    user_id = uuid4()
    return Profile(id=user_id, email=f"{user_id.hex[:12]}@example.org", role=role.value)


async def _things(session: AsyncSession, owner: Profile) -> dict[str, Any]:
    """A project with a finished job, its one image judged and packed."""
    data, sha256 = picture()
    now = datetime.now(UTC)
    done = {"status": "completed", "progress": 100, "total_images": 1, "started_at": now, "completed_at": now}
    project = Project(name="Project", user_id=owner.id)
    job = CrawlJob(name="Job", project=project, keywords=["cat"], downloaded_images=1, total_chunks=1, **done)
    chunk = CrawlChunk(crawl_job=job, position=0, source="openverse", label="cat", keyword="cat", status="completed")
    image = Image(
        crawl_job=job, original_url="https://example.org/1.jpg", outcome="downloaded", label="cat", source="openverse",
        filename=f"{sha256}.jpg", storage_url=blob_key(sha256, "jpeg"), width=64, height=48, file_size=len(data),
        format="jpeg", sha256=bytes.fromhex(sha256), fetched_at=now,
    )  # fmt: skip
    deleted = Project(name="Deleted", user_id=owner.id, status="deleted", deleted_at=now)
    check = ValidationJob(name="Check", crawl_job=job, validated_images=1, **done)
    export = ExportJob(name="Export", crawl_job=job, user_id=owner.id, exported_images=1, **done)
    session.add_all([project, deleted, job, chunk, image, check, export])
    await session.flush()
    session.add(Verdict(validation_job_id=check.id, image_id=image.id, valid=True))
    return {
        "project_id": project.id, "crawl_job_id": job.id, "job_id": job.id, "chunk_id": chunk.id,
        "image_id": image.id, "image_ids": [image.id], "validation_job_id": check.id, "since": check.id,
        "export_job_id": export.id, "deleted_id": deleted.id,
    }  # fmt: skip


def _key(person: Profile, scopes: list[Scope], **fields: Any) -> tuple[ApiKey, str]:
    secret = new_token(identity.KEY_PREFIX)
    scopes_ = [scope.value for scope in scopes]
    key = ApiKey(user_id=person.id, name="k", prefix=secret[:12], secret_hash=token_hash(secret), scopes=scopes_)
    for name, value in fields.items():
        setattr(key, name, value)
    return key, secret


async def give_key(session: AsyncSession, person: Profile, scope: Scope, **fields: Any) -> str:
    """The secret of a key of this scope."""
    key, secret = _key(person, [scope], **fields)
    session.add(key)
    await session.flush()
    return secret


PASSWORD = "three unlikely words"
PAST = timedelta(minutes=-5)
