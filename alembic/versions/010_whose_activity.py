"""Whose the thing is that an entry of the activity log is about: its people read what others and workers did to it.

Revises: 009
"""

from alembic import op

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_activity_log_owner_id": "(owner_id, id)",
    "ix_activity_log_elsewhere": "(user_id, id) WHERE owner_id IS DISTINCT FROM user_id",
}

# Of what is there still; who had what was deleted is not known any more.
OWNERS = {
    "projects": "SELECT id, user_id FROM projects",
    "crawl_jobs": "SELECT job.id, user_id FROM crawl_jobs job JOIN projects ON projects.id = project_id",
    "validation_jobs": """
        SELECT follower.id, projects.user_id FROM validation_jobs follower
        JOIN crawl_jobs ON crawl_jobs.id = crawl_job_id JOIN projects ON projects.id = project_id
    """,
    "export_jobs": """
        SELECT follower.id, projects.user_id FROM export_jobs follower
        JOIN crawl_jobs ON crawl_jobs.id = crawl_job_id JOIN projects ON projects.id = project_id
    """,
    "api_keys": "SELECT id, user_id FROM api_keys",
    "profiles": "SELECT id, id FROM profiles",
}


def upgrade() -> None:
    op.execute("ALTER TABLE activity_logs ADD COLUMN IF NOT EXISTS owner_id uuid")
    for table, owners in OWNERS.items():
        op.execute(
            f"UPDATE activity_logs SET owner_id = owners.user_id FROM ({owners}) AS owners (id, user_id)"  # noqa: S608
            f" WHERE resource_type = '{table}' AND resource_id = CAST(owners.id AS text) AND owner_id IS NULL"
        )
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON activity_logs {columns}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute("ALTER TABLE activity_logs DROP COLUMN IF EXISTS owner_id")
