"""Jobs of people whom the API serves, made as a worker would leave them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.db import Database
from backend.models import Project
from tests.services.helpers import Place
from tests.serving import Served


@dataclass
class Jobs:
    """Somebody's project; what `Place` does with it, done in the web process."""

    served: Served
    place: Place

    @classmethod
    def of(cls, served: Served, user_id: UUID, folder: Path) -> Jobs:
        async def project(session: Any) -> int:
            found = await session.scalar(select(Project).filter_by(user_id=user_id).limit(1))
            if found is None:
                session.add(found := Project(name="Tests", user_id=user_id))
                await session.flush()
            return found.id

        return cls(served, Place(served.database, user_id, served.run(project), folder))

    def do(self, work: Any) -> Any:
        """What a coroutine of the place gives."""
        return asyncio.run_coroutine_threadsafe(work, self.served.loop).result(30)

    @property
    def database(self) -> Database:
        return self.served.database
