from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, counter, not_negative


class Host(Base):
    """A host (with its port) that crawls visit: whose turn it is, how it is paced, what its own files say.

    `services.hosts` moves it from worker to worker; all times are the database's.
    """

    __tablename__ = "hosts"

    authority: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(50))
    lease_until: Mapped[datetime | None]
    wanted: Mapped[bool] = mapped_column(default=False, server_default="false")
    ready_at: Mapped[datetime | None]
    quiet_until: Mapped[datetime | None]
    failures: Mapped[int] = counter()
    failure: Mapped[str | None] = mapped_column(String(40))
    down_until: Mapped[datetime | None]
    files_version: Mapped[int] = counter()
    files_until: Mapped[datetime | None]
    robots_status: Mapped[int | None] = mapped_column(SmallInteger)
    robots: Mapped[str | None]
    tdm: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        *not_negative("failures", "files_version"),
        Index("ix_hosts_wanted", "authority", postgresql_where=text("wanted")),
    )
