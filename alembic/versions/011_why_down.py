"""Why a host that is left alone did not answer in the first place, for all workers.

Revises: 010
"""

from alembic import op

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE hosts ADD COLUMN IF NOT EXISTS failure varchar(40)")


def downgrade() -> None:
    op.execute("ALTER TABLE hosts DROP COLUMN IF EXISTS failure")
