"""Chunks of crawl jobs, where images come from and what they measure, verdicts.

Revises: 001

Plain SQL, because `ADD COLUMN IF NOT EXISTS` takes its CHECK along: both are there, or both are made.
"""

from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None

IMAGE_COLUMNS = {
    "label": "text",
    "source": "varchar(50)",
    "keyword": "text",
    "outcome": "varchar(20) DEFAULT 'pending' NOT NULL CONSTRAINT ck_images_outcome"
    " CHECK (outcome IN ('pending', 'downloaded', 'refused', 'failed'))",
    "reason": "varchar(50)",
    "detail": "text",
    "final_url": "text",
    "page_url": "text",
    "title": "text",
    "creator": "text",
    "creator_url": "text",
    "licence": "varchar(50)",
    "licence_version": "varchar(20)",
    "licence_url": "text",
    "attribution": "text",
    "metadata_": "jsonb",
    "sha256": "bytea CONSTRAINT ck_images_sha256 CHECK (octet_length(sha256) = 32)",
    "pdq": "bytea CONSTRAINT ck_images_pdq CHECK (octet_length(pdq) = 32)",
    "pdq_quality": "smallint",
    "brightness": "real",
    "contrast": "real",
    "sharpness": "real",
    "entropy": "real",
    "orientation": "smallint",
    "animated": "boolean",
    "fetched_at": "timestamptz",
}

JOB_COLUMNS = {"options": "jsonb DEFAULT '{}'::jsonb NOT NULL", "error_message": "text"}

EXPORT_COLUMNS = {"attempts": "integer DEFAULT 0 NOT NULL CONSTRAINT ck_export_jobs_attempts CHECK (attempts >= 0)"}

CHUNKS = """
CREATE TABLE IF NOT EXISTS crawl_chunks (
    id bigserial CONSTRAINT pk_crawl_chunks PRIMARY KEY,
    crawl_job_id integer NOT NULL
        CONSTRAINT fk_crawl_chunks_crawl_job_id REFERENCES crawl_jobs (id) ON DELETE CASCADE,
    position integer NOT NULL CONSTRAINT ck_crawl_chunks_position CHECK (position >= 0),
    source varchar(50) NOT NULL,
    label text NOT NULL,
    keyword text,
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    status varchar(20) DEFAULT 'pending' NOT NULL CONSTRAINT ck_crawl_chunks_status
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    quota integer CONSTRAINT ck_crawl_chunks_quota CHECK (quota >= 0),
    cursor text,
    exhausted boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL CONSTRAINT ck_crawl_chunks_attempts CHECK (attempts >= 0),
    total_images integer DEFAULT 0 NOT NULL CONSTRAINT ck_crawl_chunks_total_images CHECK (total_images >= 0),
    downloaded_images integer DEFAULT 0 NOT NULL
        CONSTRAINT ck_crawl_chunks_downloaded_images CHECK (downloaded_images >= 0),
    bytes bigint DEFAULT 0 NOT NULL CONSTRAINT ck_crawl_chunks_bytes CHECK (bytes >= 0),
    reasons jsonb DEFAULT '{}'::jsonb NOT NULL,
    error_message text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT uq_crawl_chunks_crawl_job_id_position UNIQUE (crawl_job_id, position)
)
"""

VERDICTS = """
CREATE TABLE IF NOT EXISTS verdicts (
    validation_job_id integer NOT NULL
        CONSTRAINT fk_verdicts_validation_job_id REFERENCES validation_jobs (id) ON DELETE CASCADE,
    image_id bigint NOT NULL CONSTRAINT fk_verdicts_image_id REFERENCES images (id) ON DELETE CASCADE,
    valid boolean NOT NULL,
    reasons text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT pk_verdicts PRIMARY KEY (validation_job_id, image_id)
)
"""

# md5, because a row of a btree index holds at most about 2.7 kB and URLs can be longer. URL first, so that the planner
# does not prefer this index to ix_image_crawl_job_id.
INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_images_original_url_crawl_job_id"
    " ON images (CAST(md5(original_url) AS uuid), crawl_job_id)",
    "CREATE INDEX IF NOT EXISTS ix_images_sha256_crawl_job_id ON images (sha256, crawl_job_id)",
    "CREATE INDEX IF NOT EXISTS ix_images_downloaded ON images (crawl_job_id, id) WHERE outcome = 'downloaded'",
    "CREATE INDEX IF NOT EXISTS ix_verdicts_image_id ON verdicts (image_id)",
)


def upgrade() -> None:
    add_columns("crawl_jobs", JOB_COLUMNS)
    add_columns("export_jobs", EXPORT_COLUMNS)
    add_columns("images", IMAGE_COLUMNS)
    op.execute(CHUNKS)
    op.execute(VERDICTS)
    for statement in INDEXES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS verdicts")
    op.execute("DROP TABLE IF EXISTS crawl_chunks")
    # The columns' indexes and checks go with them, except this index: its columns are older.
    op.execute("DROP INDEX IF EXISTS uq_images_original_url_crawl_job_id")
    drop_columns("images", IMAGE_COLUMNS)
    drop_columns("export_jobs", EXPORT_COLUMNS)
    drop_columns("crawl_jobs", JOB_COLUMNS)


def add_columns(table: str, columns: dict[str, str]) -> None:
    """All in one statement: the table is locked and looked through once."""
    clauses = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in columns.items())
    op.execute(f"ALTER TABLE {table} {clauses}")


def drop_columns(table: str, columns: dict[str, str]) -> None:
    op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in columns))
