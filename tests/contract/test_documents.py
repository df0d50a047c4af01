"""The schema's document keeps pace with the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Table

from backend.models import Base

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", (DOCS / "DATABASE_SCHEMA.md").read_text(), re.M | re.S))
TABLES = Base.metadata.sorted_tables


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_described_with_its_table(table: Table) -> None:
    described = re.findall(r"^\| `(\w+)` \|", SECTIONS[table.name], re.M)
    assert set(described) == {column.name for column in table.columns}
    assert len(described) == len(set(described))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_index_and_foreign_key_is_named(table: Table) -> None:
    named = {str(index.name) for index in table.indexes} | {str(key.name) for key in table.foreign_key_constraints}
    assert {name for name in named if f"`{name}`" not in SECTIONS[table.name]} == set()


def test_the_document_describes_no_other_table() -> None:
    assert set(SECTIONS) == {table.name for table in TABLES}
