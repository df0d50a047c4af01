"""Validators of downloads, for asking whether they have changed, and what a refresh found.

Revises: 005
"""

from alembic import op

revision = "006"
down_revision = "005"
branch_labels = None
depends_on = None

IMAGE_COLUMNS = {
    "etag": "text",
    "last_modified": "text",
    "change": "varchar(20) CONSTRAINT ck_images_change"
    " CHECK (change IN ('new', 'unchanged', 'changed', 'dead', 'opted_out', 'lost'))",
}


def upgrade() -> None:
    columns = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in IMAGE_COLUMNS.items())
    op.execute(f"ALTER TABLE images {columns}")
    op.execute("ALTER TABLE crawl_chunks ADD COLUMN IF NOT EXISTS changes jsonb DEFAULT '{}'::jsonb NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE crawl_chunks DROP COLUMN IF EXISTS changes")
    op.execute("ALTER TABLE images " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in IMAGE_COLUMNS))
