"""What datasets need.

More measures of images, the rules that judged them by name and hash, notes of erased files, splits of exports, which
image stands for its copies, verdicts that follow images and validations by triggers.

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
    "verdicts": {
        "duplicate_of": "bigint",
    },
    "export_jobs": {
        "splits": "jsonb DEFAULT '{}'::jsonb NOT NULL",
        "left_out_images": "integer DEFAULT 0 NOT NULL"
        " CONSTRAINT ck_export_jobs_left_out_images CHECK (left_out_images >= 0)",
        "moved_images": "integer DEFAULT 0 NOT NULL CONSTRAINT ck_export_jobs_moved_images CHECK (moved_images >= 0)",
    },
}

ERASED_BLOBS = """
CREATE TABLE IF NOT EXISTS erased_blobs (
    sha256 bytea CONSTRAINT pk_erased_blobs PRIMARY KEY,
    erased_at timestamptz DEFAULT now() NOT NULL
)
"""

EXPORT_SPLITS = """
CREATE TABLE IF NOT EXISTS export_splits (
    export_job_id integer NOT NULL
        CONSTRAINT fk_export_splits_export_job_id REFERENCES export_jobs (id) ON DELETE CASCADE,
    name varchar(30) NOT NULL,
    given boolean NOT NULL,
    hashes bytea NOT NULL CONSTRAINT ck_export_splits_hashes CHECK (octet_length(hashes) % 32 = 0),
    CONSTRAINT pk_export_splits PRIMARY KEY (export_job_id, name, given)
)
"""

DUPLICATES = """
CREATE INDEX IF NOT EXISTS ix_verdicts_duplicates ON verdicts (validation_job_id, duplicate_of)
WHERE duplicate_of IS NOT NULL
"""

TABLES = ("erased_blobs", "export_splits")

# A foreign key asks for every verdict whether its image and its validation are there, and locks both: four fifths of
# what judging a job costs. Verdicts are written by one statement from the images themselves, under the lock of their
# job, so only deleting has to be seen to.
KEYS = {
    "fk_verdicts_validation_job_id": "(validation_job_id) REFERENCES validation_jobs (id) ON DELETE CASCADE",
    "fk_verdicts_image_id": "(image_id) REFERENCES images (id) ON DELETE CASCADE",
}
FOLLOW = {
    "images": """
        DELETE FROM verdicts USING gone, validation_jobs AS job
        WHERE job.crawl_job_id = gone.crawl_job_id AND verdicts.validation_job_id = job.id
            AND verdicts.image_id = gone.id
    """,
    "validation_jobs": "DELETE FROM verdicts USING gone WHERE verdicts.validation_job_id = gone.id",
}
ORPHANS = """
DELETE FROM verdicts WHERE NOT EXISTS (SELECT FROM images WHERE id = image_id)
    OR NOT EXISTS (SELECT FROM validation_jobs WHERE id = validation_job_id)
"""


def upgrade() -> None:
    op.execute(ERASED_BLOBS)
    op.execute(EXPORT_SPLITS)
    for key in KEYS:
        op.execute(f"ALTER TABLE verdicts DROP CONSTRAINT IF EXISTS {key}")
    for table, delete in FOLLOW.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION verdicts_follow_{table}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {delete}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE OR REPLACE TRIGGER verdicts_follow AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone"
            f" FOR EACH STATEMENT EXECUTE FUNCTION verdicts_follow_{table}()"
        )
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in columns.items())
        op.execute(f"ALTER TABLE {table} {added}")
    op.execute(DUPLICATES)
    op.execute("DROP INDEX IF EXISTS ix_verdicts_image_id")


def downgrade() -> None:
    op.execute("CREATE INDEX IF NOT EXISTS ix_verdicts_image_id ON verdicts (image_id)")
    for table in FOLLOW:
        op.execute(f"DROP TRIGGER IF EXISTS verdicts_follow ON {table}")
        op.execute(f"DROP FUNCTION IF EXISTS verdicts_follow_{table}()")
    op.execute(ORPHANS)
    for key, definition in KEYS.items():
        op.execute(f"ALTER TABLE verdicts ADD CONSTRAINT {key} FOREIGN KEY {definition}")
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in columns))
    for table in TABLES:
        op.execute(f"DROP TABLE IF EXISTS {table}")
