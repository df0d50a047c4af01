"""Indexes of near-duplicates whose project is gone."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from sqlalchemy import select

from backend.db import Database
from backend.models import Project
from backend.models.enums import ProjectStatus

_NAME = re.compile(r"(?P<project>\d{1,10})-\d{1,3}")


async def stray_indexes(database: Database, folder: Path, *, dry_run: bool) -> int:
    """Delete them; how many."""
    found = await asyncio.to_thread(_indexes, folder)
    async with database.transaction() as session:
        there = set(await session.scalars(select(Project.id).where(Project.status != ProjectStatus.DELETED.value)))
    stray = [path for path, project_id in found if project_id not in there]
    if not dry_run:
        for path in stray:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    return len(stray)


def _indexes(folder: Path) -> list[tuple[Path, int]]:
    named = ((path, _NAME.fullmatch(path.name)) for path in (folder.iterdir() if folder.is_dir() else ()))
    return [(path, int(name["project"])) for path, name in named if name and path.is_dir()]
