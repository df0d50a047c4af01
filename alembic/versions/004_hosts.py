"""Hosts that crawls visit: what all workers know of each, and whose turn it is.

Revises: 003
"""

from alembic import op

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None

HOSTS = """
CREATE TABLE IF NOT EXISTS hosts (
    authority text CONSTRAINT pk_hosts PRIMARY KEY,
    holder varchar(50),
    lease_until timestamptz,
    wanted boolean DEFAULT false NOT NULL,
    ready_at timestamptz,
    quiet_until timestamptz,
    failures integer DEFAULT 0 NOT NULL CONSTRAINT ck_hosts_failures CHECK (failures >= 0),
    down_until timestamptz,
    files_version integer DEFAULT 0 NOT NULL CONSTRAINT ck_hosts_files_version CHECK (files_version >= 0),
    files_until timestamptz,
    robots_status smallint,
    robots text,
    tdm text,
    updated_at timestamptz DEFAULT now() NOT NULL
)
"""

# Its column never changes, so a lease that changes hands rewrites no index.
WANTED = "CREATE INDEX IF NOT EXISTS ix_hosts_wanted ON hosts (authority) WHERE wanted"


def upgrade() -> None:
    op.execute(HOSTS)
    op.execute(WANTED)


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS hosts")
