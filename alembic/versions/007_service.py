"""What the service needs: credentials, sessions, API keys, decisions, takedowns, and keys of requests sent twice.

Revises: 006
"""

from alembic import op

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None

CREDENTIALS = """
CREATE TABLE IF NOT EXISTS credentials (
    user_id uuid CONSTRAINT pk_credentials PRIMARY KEY
        CONSTRAINT fk_credentials_user_id REFERENCES profiles (id) ON DELETE CASCADE,
    password_hash text NOT NULL,
    changed_at timestamptz DEFAULT now() NOT NULL
)
"""

SESSIONS = """
CREATE TABLE IF NOT EXISTS sessions (
    token_hash bytea CONSTRAINT pk_sessions PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT fk_sessions_user_id REFERENCES profiles (id) ON DELETE CASCADE,
    user_agent text,
    created_at timestamptz DEFAULT now() NOT NULL,
    last_seen_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL
)
"""

LOGIN_LINKS = """
CREATE TABLE IF NOT EXISTS login_links (
    token_hash bytea CONSTRAINT pk_login_links PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT fk_login_links_user_id REFERENCES profiles (id) ON DELETE CASCADE,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL
)
"""

LOGIN_FAILURES = """
CREATE TABLE IF NOT EXISTS login_failures (
    id bigserial CONSTRAINT pk_login_failures PRIMARY KEY,
    key text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL
)
"""

API_KEYS = """
CREATE TABLE IF NOT EXISTS api_keys (
    id serial CONSTRAINT pk_api_keys PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT fk_api_keys_user_id REFERENCES profiles (id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    prefix varchar(20) NOT NULL,
    secret_hash bytea NOT NULL CONSTRAINT uq_api_keys_secret_hash UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
)
"""

DECISIONS = """
CREATE TABLE IF NOT EXISTS decisions (
    project_id integer NOT NULL CONSTRAINT fk_decisions_project_id REFERENCES projects (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL CONSTRAINT ck_decisions_sha256 CHECK (octet_length(sha256) = 32),
    choice varchar(10) NOT NULL CONSTRAINT ck_decisions_choice CHECK (choice IN ('keep', 'reject')),
    note text,
    user_id uuid CONSTRAINT fk_decisions_user_id REFERENCES profiles (id) ON DELETE SET NULL,
    decided_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_decisions PRIMARY KEY (project_id, sha256)
)
"""

TAKEDOWNS = """
CREATE TABLE IF NOT EXISTS takedowns (
    id serial CONSTRAINT pk_takedowns PRIMARY KEY,
    url text,
    sha256 bytea CONSTRAINT ck_takedowns_sha256 CHECK (octet_length(sha256) = 32),
    note text,
    user_id uuid CONSTRAINT fk_takedowns_user_id REFERENCES profiles (id) ON DELETE SET NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT ck_takedowns_target CHECK (url IS NOT NULL OR sha256 IS NOT NULL)
)
"""

IDEMPOTENCY_KEYS = """
CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id uuid NOT NULL CONSTRAINT fk_idempotency_keys_user_id REFERENCES profiles (id) ON DELETE CASCADE,
    key varchar(200) NOT NULL,
    request_hash bytea NOT NULL,
    resource_type varchar(50) NOT NULL,
    resource_id integer NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, key)
)
"""

INDEXES = (
    "CREATE INDEX IF NOT EXISTS ix_sessions_user_id ON sessions (user_id)",
    "CREATE INDEX IF NOT EXISTS ix_login_links_user_id ON login_links (user_id)",
    "CREATE INDEX IF NOT EXISTS ix_login_failures_key_at ON login_failures (key, at)",
    "CREATE INDEX IF NOT EXISTS ix_api_keys_user_id ON api_keys (user_id)",
    "CREATE INDEX IF NOT EXISTS ix_decisions_user_id ON decisions (user_id)",
    "CREATE INDEX IF NOT EXISTS ix_takedowns_user_id ON takedowns (user_id)",
    # Pages of what a job has, by label, and of what it could not have. md5, as labels of lists have any length.
    "CREATE INDEX IF NOT EXISTS ix_images_label ON images (crawl_job_id, CAST(md5(label) AS uuid), id)"
    " WHERE outcome = 'downloaded'",
    "CREATE INDEX IF NOT EXISTS ix_images_not_downloaded ON images (crawl_job_id, id) WHERE outcome <> 'downloaded'",
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_takedowns_url ON takedowns ((md5(url)::uuid)) WHERE url IS NOT NULL",
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_takedowns_sha256 ON takedowns (sha256) WHERE sha256 IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS ix_activity_log_resource ON activity_logs (resource_type, resource_id)",
    "CREATE INDEX IF NOT EXISTS ix_verdicts_invalid ON verdicts (validation_job_id, image_id) WHERE NOT valid",
)

ON_OLDER_TABLES = (
    "ix_images_label",
    "ix_images_not_downloaded",
    "ix_activity_log_resource",
    "ix_verdicts_invalid",
)

TABLES = (
    "credentials",
    "sessions",
    "login_links",
    "login_failures",
    "api_keys",
    "decisions",
    "takedowns",
    "idempotency_keys",
)

COLUMNS = {
    "profiles": {"disabled_at": "timestamptz"},
    "export_jobs": {
        "sha256": "bytea CONSTRAINT ck_export_jobs_sha256 CHECK (octet_length(sha256) = 32)",
        "taken_down_images": "integer DEFAULT 0 NOT NULL"
        " CONSTRAINT ck_export_jobs_taken_down_images CHECK (taken_down_images >= 0)",
    },
}


def upgrade() -> None:
    for table in (
        CREDENTIALS,
        SESSIONS,
        LOGIN_LINKS,
        LOGIN_FAILURES,
        API_KEYS,
        DECISIONS,
        TAKEDOWNS,
        IDEMPOTENCY_KEYS,
        *INDEXES,
    ):
        op.execute(table)
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in columns.items())
        op.execute(f"ALTER TABLE {table} {added}")


def downgrade() -> None:
    for index in ON_OLDER_TABLES:
        op.execute(f"DROP INDEX IF EXISTS {index}")
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in columns))
    for table in TABLES:
        op.execute(f"DROP TABLE IF EXISTS {table}")
