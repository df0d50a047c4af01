"""Deleted projects whose time is over: removed for good, some thousand images in one transaction.

Whoever begins marks the project first, so that nobody restores the half of one. What a killed process left is gone on
with by the next sweep.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text, update

from backend.db import Database
from backend.errors import NotFound
from backend.models import CrawlJob, ExportJob, Project
from backend.models.enums import ProjectStatus
from backend.services.activity import note
from backend.services.deleted_projects import held
from backend.services.erasing import erase_unused
from backend.services.exports import discard
from gleanset.errors import StoreError
from gleanset.store import Store, blob_key

_DELETED = Project.status == ProjectStatus.DELETED.value
_SOME = "DELETE FROM {} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {} WHERE {} = :key LIMIT :at_once)) RETURNING {}"
_IMAGES = text(_SOME.format("images", "images", "crawl_job_id", "outcome, sha256, format, resized_sha256"))
_DECISIONS = text(_SOME.format("decisions", "decisions", "project_id", "1"))


@dataclass(slots=True)
class Purging:
    """Where what belongs to projects lies.

    `at_once`: images or decisions in one transaction; `trouble`: why a project is still there.
    """

    database: Database
    store: Store
    exports: Path
    at_once: int = 5_000
    trouble: str = field(default="", init=False)

    async def overdue(self, days: int, *, dry_run: bool) -> int:
        """Remove the projects that have been deleted for so many days, and those that were begun with; how many."""
        async with self.database.transaction() as session:
            # Whoever deleted it otherwise, by SQL, has not said when: its days begin now.
            unknown = update(Project).where(_DELETED, Project.deleted_at.is_(None)).values(deleted_at=func.now())
            if not dry_run:
                await session.execute(unknown.values(updated_at=Project.updated_at))
            found = (await session.scalars(select(Project.id).where(_DELETED, _due(days)).order_by(Project.id))).all()
        if dry_run:
            return len(found)
        removed = 0
        for project_id in found:
            removed += await self.one(project_id, _due(days))
            if self.trouble:  # what the store does not let go stays with its project, until the next sweep
                break
        return removed

    async def one(self, project_id: int, when: ColumnElement[bool]) -> bool:
        """Remove it; false when it is not there, is not to go any more, or the store does not answer."""
        if not await self._begin(project_id, when):
            return False
        try:
            await self._remove(project_id)
        except StoreError as error:
            self.trouble = f"the project {project_id} is gone on with by the next sweep: {error}"
            return False
        return True

    async def _remove(self, project_id: int) -> None:
        async with self.database.transaction() as session:
            jobs = (await session.scalars(select(CrawlJob.id).filter_by(project_id=project_id))).all()
        for job_id in jobs:
            await self._remove_job(job_id)
        while await self._some(_DECISIONS, project_id):
            pass
        async with self.database.transaction() as session:
            project = await session.get(Project, project_id, with_for_update=True)
            if project is not None:
                told = {"name": project.name, "owner": str(project.user_id)}
                note(session, None, "project.purged", project, (project.status, None), **told)
                await session.flush()
                await session.execute(delete(Project).where(Project.id == project_id))

    async def _begin(self, project_id: int, when: ColumnElement[bool]) -> bool:
        try:
            async with self.database.transaction() as session:
                project = await held(session, project_id)
                if not await session.scalar(select(Project.id).where(Project.id == project_id, when)):
                    return False
                project.purge_began_at = project.purge_began_at or datetime.now(UTC)
                return True
        except NotFound:
            return False

    async def _remove_job(self, job_id: int) -> None:
        while rows := await self._some(_IMAGES, job_id, of_job=True):
            await self._erase(rows)
        async with self.database.transaction() as session:
            exports = (await session.scalars(select(ExportJob.id).filter_by(crawl_job_id=job_id))).all()
            await session.execute(delete(CrawlJob).where(CrawlJob.id == job_id))
        for number in exports:  # behind the commit: a file without its row is removed by the sweep
            await asyncio.to_thread(self._discard, number)

    async def _some(self, deleting: Any, key: int, *, of_job: bool = False) -> list[Any]:
        async with self.database.transaction() as session:
            # Jobs before images, as everywhere.
            if of_job and await session.get(CrawlJob, key, with_for_update=True) is None:
                return []
            return list(await session.execute(deleting, {"key": key, "at_once": self.at_once}))

    async def _erase(self, rows: list[Any]) -> None:
        """Their files, where no other image has them. Raises StoreError; these few are left to the store's sweep."""
        keys = {blob_key(row.sha256.hex(), row.format) for row in rows if row.outcome == "downloaded" and row.sha256}
        keys |= {blob_key(row.resized_sha256.hex(), "jpeg") for row in rows if row.resized_sha256}
        await erase_unused(self.database, self.store, keys)

    def _discard(self, export: int) -> None:
        for path in self.exports.glob(f"export-{export}.*"):
            discard(path)


def _due(days: int) -> ColumnElement[bool]:
    over = Project.deleted_at < func.now() - func.make_interval(0, 0, 0, days)
    return Project.purge_began_at.is_not(None) | over


GIVEN_UP = Project.purge_began_at.is_not(None)
"""When a project goes before its days are over: an admin said so."""
