from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import DDL, BigInteger, Index, Text, event, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base

if TYPE_CHECKING:
    from backend.models.images import Image
    from backend.models.jobs import ValidationJob


class Verdict(Base):
    """What one validation job found about one image: valid, or every reason why not.

    `duplicate_of`: the image of the same job, or of an earlier one of the project, that stands for it. There are no
    foreign keys, which would ask for a million rows one by one: verdicts go with their image or validation by triggers
    of whole statements. Nor is there an index by image alone, into which every verdict would go at another place: ask
    by the validations of the image's job.
    """

    __tablename__ = "verdicts"

    validation_job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    valid: Mapped[bool]
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'::text[]"))
    duplicate_of: Mapped[int | None] = mapped_column(BigInteger)

    validation_job: Mapped[ValidationJob] = relationship(
        back_populates="verdicts", primaryjoin="foreign(Verdict.validation_job_id) == ValidationJob.id"
    )
    image: Mapped[Image] = relationship(back_populates="verdicts", primaryjoin="foreign(Verdict.image_id) == Image.id")

    __table_args__ = (
        Index("ix_verdicts_invalid", "validation_job_id", "image_id", postgresql_where=text("NOT valid")),
        Index(
            "ix_verdicts_duplicates",
            "validation_job_id",
            "duplicate_of",
            postgresql_where=text("duplicate_of IS NOT NULL"),
        ),
    )


# What deletes images or validations takes their verdicts along, in one statement more (docs/SCHEMA_DECISIONS.md).
_FOLLOW = {
    "images": """
        DELETE FROM verdicts USING gone, validation_jobs AS job
        WHERE job.crawl_job_id = gone.crawl_job_id AND verdicts.validation_job_id = job.id
            AND verdicts.image_id = gone.id
    """,
    "validation_jobs": "DELETE FROM verdicts USING gone WHERE verdicts.validation_job_id = gone.id",
}
for _table, _delete in _FOLLOW.items():
    for _statement in (
        f"CREATE OR REPLACE FUNCTION verdicts_follow_{_table}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_delete}; RETURN NULL; END $$",
        f"CREATE OR REPLACE TRIGGER verdicts_follow AFTER DELETE ON {_table} REFERENCING OLD TABLE AS gone"
        f" FOR EACH STATEMENT EXECUTE FUNCTION verdicts_follow_{_table}()",
    ):
        event.listen(Base.metadata, "after_create", DDL(_statement))
