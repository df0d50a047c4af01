"""What the doctor has to say: sections of findings, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from backend.models import Base

EXAMPLES = 3
DIALECT = postgresql.dialect()

Connection = AsyncConnection[tuple[Any, ...]]
"""Must be in autocommit mode: a check that fails leaves nothing behind for the next one."""


class Severity(StrEnum):
    """Of a finding: something is wrong, or could be better."""

    ERROR = "error"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`code` is for machines, `what` a sentence for a person, `command` what to type into a shell."""

    code: str
    what: str
    count: int
    command: str | None
    examples: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One check. `note` tells what was looked at; `skipped` why it could not be looked at."""

    title: str
    findings: tuple[Finding, ...] = ()
    note: str = ""
    skipped: str | None = None

    @property
    def state(self) -> str:
        """error, advice, skipped or well: the worst of its findings."""
        found = {finding.severity for finding in self.findings}
        for severity in Severity:
            if severity in found:
                return severity.value
        return "skipped" if self.skipped else "well"


def psql(*statements: str) -> str:
    """The shell command that runs the statements, each in a transaction of its own."""
    return 'psql "$(gleanset db url)"' + "".join(f' -c "{_in_double_quotes(sql)}"' for sql in statements)


def _in_double_quotes(text: str) -> str:
    for character in '\\"$`':
        text = text.replace(character, "\\" + character)
    return text


def our_tables() -> Sequence[Table]:
    """The models' tables, parents before children."""
    return Base.metadata.sorted_tables


def names() -> list[str]:
    """Their names, for `= ANY(%s::regclass[])`."""
    return [table.name for table in our_tables()]


async def query(connection: Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """All rows of a statement that gives few."""
    return await (await connection.execute(sql.encode(), values or None)).fetchall()
