"""Since when a project is deleted, so that it can be restored for a while, and since when it is being removed for good.

Revises: 008
"""

from alembic import op

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None

COLUMNS = ("deleted_at", "purge_began_at")


def upgrade() -> None:
    op.execute("ALTER TABLE projects " + ", ".join(f"ADD COLUMN IF NOT EXISTS {name} timestamptz" for name in COLUMNS))
    # Those that were deleted before have their days from now on.
    op.execute("UPDATE projects SET deleted_at = now() WHERE status = 'deleted' AND deleted_at IS NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE projects " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in COLUMNS))
