"""What all tables share: constraint names, timestamps, defaults, and the state of a job."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, DateTime, MetaData, String, Text, event, func, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column

from backend.models.enums import JobStatus

EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_ARRAY = text("'[]'::jsonb")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True), str: Text()}
    # RETURNING brings server-made values back with the statement: an async session cannot load them later on access.
    __mapper_args__: Any = MappingProxyType({"eager_defaults": True})


@event.listens_for(Base, "init", propagate=True)
def _set_defaults(target: Base, _args: tuple[Any, ...], values: dict[str, Any]) -> None:
    """Give a new object its column defaults at once, not only when it is flushed."""
    mapper: Mapper[Base] = inspect(type(target))
    for column in mapper.columns:
        default: Any = column.default
        if default is None:
            continue
        key = mapper.get_property_by_column(column).key
        if key not in values:
            values[key] = default.arg(None) if default.is_callable else default.arg


class TimestampMixin:
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=101)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now(), sort_order=102)


class JobMixin(TimestampMixin):
    """How far a job has come. `services` own the moves from one status to the next."""

    status: Mapped[str] = mapped_column(String(20), default=JobStatus.PENDING.value, server_default="pending")
    progress: Mapped[int] = mapped_column(default=0, server_default="0")
    started_at: Mapped[datetime | None] = mapped_column(sort_order=90)
    completed_at: Mapped[datetime | None] = mapped_column(sort_order=91)
    error_message: Mapped[str | None] = mapped_column(sort_order=92)


def counter() -> Mapped[int]:
    """An integer column that counts from 0; `not_negative` belongs to it."""
    return mapped_column(default=0, server_default="0")


def not_negative(*columns: str) -> tuple[CheckConstraint, ...]:
    """A CHECK for each column that it is not below 0."""
    return tuple(CheckConstraint(f"{column} >= 0", name=column) for column in columns)


def percentage(column: str) -> CheckConstraint:
    """A CHECK that the column lies within 0 and 100."""
    return CheckConstraint(f"{column} BETWEEN 0 AND 100", name=column)
