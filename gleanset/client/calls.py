"""The calls about projects, images and decisions, and what all calls share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from itertools import islice
from typing import Any, TypeVar

from PIL import Image as Pictures

from gleanset.client.http import Http
from gleanset.client.values import CrawlJob, Decided, Decision, Image, Numbered, Page, Project, Value, number
from gleanset.errors import DatasetError

AnyValue = TypeVar("AnyValue", bound=Value)

_PAGE = 200
_DECISIONS_AT_ONCE = 1000


def pages(http: Http, path: str, kind: type[AnyValue], **asked: str | int | bool | None) -> Iterator[AnyValue]:
    """All items of a list, fetched page by page as they are asked for."""
    cursor: str | None = None
    while True:
        page = Page[kind].model_validate_json(http.get(path, {**asked, "limit": _PAGE, "cursor": cursor}))
        yield from page.items
        cursor = page.next
        if cursor is None:
            return


def create(http: Http, path: str, kind: type[AnyValue], body: Mapping[str, Any]) -> AnyValue:
    """Make a job once, however often the request has to be sent."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return kind.model_validate_json(http.send("POST", path, body=body, headers=headers, again=True))


class Projects:
    """Containers of crawl jobs."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(self, name: str, description: str | None = None) -> Project:
        """A new project of your own."""
        body = {"name": name, "description": description}
        return Project.model_validate_json(self._http.send("POST", "/projects", body=body))

    def list(self, name: str | None = None) -> Iterator[Project]:
        """All that you may see, or those of this name; the newest first."""
        found = pages(self._http, "/projects", Project, name=name)
        return (project for project in found if name is None or project.name == name)

    def get(self, project: Project | int) -> Project:
        """The project as it is now."""
        return Project.model_validate_json(self._http.get(f"/projects/{number(project)}"))

    def update(self, project: Project | int, **changes: str | None) -> Project:
        """Change `name`, `description` or `status`; what is left out stays."""
        path = f"/projects/{number(project)}"
        return Project.model_validate_json(self._http.send("PATCH", path, body=changes, again=True))

    def delete(self, project: Project | int) -> None:
        """Hide it and all that is in it; what is under way is cancelled. For some days an admin can restore it."""
        self._http.send("DELETE", f"/projects/{number(project)}")


class Images:
    """Images of crawl jobs, and their files."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, job: CrawlJob | int, **wanted: str | int | bool | None) -> Iterator[Image]:
        """A crawl job's images in the order in which they were met.

        `wanted` is what the API filters by: outcome, reason, label, source, licence, min_width, max_width, min_height,
        max_height, min_file_size, max_file_size, text, validation_job_id, valid, verdict, decision.
        """
        return pages(self._http, f"/crawl-jobs/{number(job)}/images", Image, **wanted)

    def get(self, image: Image | int) -> Image:
        """The image as it is known now."""
        return Image.model_validate_json(self._http.get(f"/images/{number(image)}"))

    def read(self, image: Image | int) -> bytes:
        """The file's bytes, as they were gathered."""
        return self._http.get(f"/images/{number(image)}/file")

    def open(self, image: Image | int) -> Pictures.Image:
        """The picture. Raises DatasetError when it cannot be decoded."""
        return decoded(self.read(image), f"image {number(image)}")

    def thumbnail(self, image: Image | int) -> Pictures.Image:
        """The picture, upright, with at most 320 pixels on a side."""
        return decoded(self._http.get(f"/images/{number(image)}/thumbnail"), f"image {number(image)}")


def decoded(data: bytes, name: str) -> Pictures.Image:
    """The picture whose file this is. Raises DatasetError."""
    try:
        picture = Pictures.open(BytesIO(data))
        picture.load()
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise DatasetError(f"{name} cannot be decoded: {error}.") from error
    return picture


class Decisions:
    """What a person keeps or rejects, whatever the rules say. It holds for these bytes in all jobs of a project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, project: Project | int) -> Iterator[Decision]:
        """The latest first."""
        return pages(self._http, f"/projects/{number(project)}/decisions", Decision)

    def keep(self, project: Project | int, images: Iterable[Image | int], note: str | None = None) -> Decided:
        """Keep these images, and say why."""
        return self._send("POST", project, images, choice="keep", note=note)

    def reject(self, project: Project | int, images: Iterable[Image | int], note: str | None = None) -> Decided:
        """Leave these images out of everything that is packed, and say why."""
        return self._send("POST", project, images, choice="reject", note=note)

    def undo(self, project: Project | int, images: Iterable[Image | int]) -> Decided:
        """Forget what was decided about them; the rules count again."""
        return self._send("DELETE", project, images)

    def _send(self, method: str, project: Project | int, images: Iterable[Numbered | int], **what: Any) -> Decided:
        """A request for every thousand of them."""
        path, ids = f"/projects/{number(project)}/decisions", map(number, images)
        done = Decided(pictures=0, images=0)
        while some := list(islice(ids, _DECISIONS_AT_ONCE)):
            answer = self._http.send(method, path, body={"image_ids": some, **what}, again=True)
            more = Decided.model_validate_json(answer)
            done = Decided(pictures=done.pictures + more.pictures, images=done.images + more.images)
        return done
