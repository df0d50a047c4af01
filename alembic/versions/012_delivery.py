"""Whether an export lies where it was asked for.

Revises: 011
"""

from alembic import op

revision = "012"
down_revision = "011"
branch_labels = None
depends_on = None

DELIVERY = """
ALTER TABLE export_jobs ADD COLUMN IF NOT EXISTS delivery varchar(20)
CONSTRAINT ck_export_jobs_delivery CHECK (delivery IN ('wanted', 'begun', 'done'))
"""

# Exports were delivered behind their end until now, and nobody noted whether that came to its own.
KNOWN = """
UPDATE export_jobs SET delivery = CASE status WHEN 'completed' THEN 'done' ELSE 'wanted' END
WHERE export_options ->> 'out' IS NOT NULL AND delivery IS NULL
"""


def upgrade() -> None:
    op.execute(DELIVERY)
    op.execute(KNOWN)


def downgrade() -> None:
    op.execute("ALTER TABLE export_jobs DROP COLUMN IF EXISTS delivery")
