"""Downloads that bring no new bytes are counted; pictures may be kept resized, instead of or beside the original.

Revises: 004
"""

from alembic import op

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None

DUPLICATES = "integer DEFAULT 0 NOT NULL CONSTRAINT ck_{table}_duplicate_images CHECK (duplicate_images >= 0)"
RESIZED = {
    "resized_sha256": "bytea CONSTRAINT ck_images_resized_sha256 CHECK (octet_length(resized_sha256) = 32)",
    "resized_width": "integer",
    "resized_height": "integer",
    "resized_size": "bigint",
}
INDEX = (
    "CREATE INDEX IF NOT EXISTS ix_images_resized_sha256 ON images (resized_sha256) WHERE resized_sha256 IS NOT NULL"
)


def upgrade() -> None:
    for table in ("crawl_jobs", "crawl_chunks"):
        definition = DUPLICATES.format(table=table)
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS duplicate_images {definition}")
    columns = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in RESIZED.items())
    op.execute(f"ALTER TABLE images {columns}")
    op.execute(INDEX)


def downgrade() -> None:
    op.execute("ALTER TABLE images " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in RESIZED))
    for table in ("crawl_chunks", "crawl_jobs"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS duplicate_images")
