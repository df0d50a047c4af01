"""The CRC-32 of every image's file, from the moment it is stored.

Revises: 012
"""

from alembic import op

revision = "013"
down_revision = "012"
branch_labels = None
depends_on = None


# Rows from before have none: that would take reading every file, and they are held to their SHA-256.
def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN IF NOT EXISTS crc32 bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN IF EXISTS crc32")
