"""What datasets need: more measures of images, the rules that judged them by name and hash, notes of erased files.

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

ERASED_BLOBS = """
CREATE TABLE IF NOT EXISTS erased_blobs (
    sha256 bytea CONSTRAINT pk_erased_blobs PRIMARY KEY,
    erased_at timestamptz DEFAULT now() NOT NULL
)
"""

TABLES = ("erased_blobs",)


def upgrade() -> None:
    op.execute(ERASED_BLOBS)
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in columns.items())
        op.execute(f"ALTER TABLE {table} {added}")


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in columns))
    for table in TABLES:
        op.execute(f"DROP TABLE IF EXISTS {table}")
