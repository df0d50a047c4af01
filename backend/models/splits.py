from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base

if TYPE_CHECKING:
    from backend.models.jobs import ExportJob


class ExportSplit(Base):
    """The images of one split of an export, by the SHA-256 of their original bytes, 32 bytes each, in order.

    `given`: the hashes that were sent along as its fixed test set. Others are what the split became, so that later
    exports can keep it.
    """

    __tablename__ = "export_splits"

    export_job_id: Mapped[int] = mapped_column(ForeignKey("export_jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(30), primary_key=True)
    given: Mapped[bool] = mapped_column(primary_key=True)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)

    export_job: Mapped[ExportJob] = relationship(back_populates="split_hashes")

    __table_args__ = (CheckConstraint("octet_length(hashes) % 32 = 0", name="hashes"),)
