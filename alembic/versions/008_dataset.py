"""What datasets need: more measures of images, and the name and hash of the rules that judged them.

Revises: 007
"""

from alembic import op

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None

COLUMNS = {
    "images": {
        "uniformity": "real",
        "colour": "real",
        "border": "real",
        "alpha": "boolean",
    },
    "validation_jobs": {
        "rules_name": "varchar(100)",
        "rules_version": "smallint",
        "rules_hash": "bytea CONSTRAINT ck_validation_jobs_rules_hash CHECK (octet_length(rules_hash) = 32)",
    },
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in columns.items())
        op.execute(f"ALTER TABLE {table} {added}")


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in columns))
