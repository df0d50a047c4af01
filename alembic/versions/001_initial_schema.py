"""The seven tables of the data contract.

Revises: nothing

Everything is created "if not exists": after `alembic stamp base` the upgrade passes over what is there.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("profiles", "projects", "crawl_jobs", "images", "activity_logs", "validation_jobs", "export_jobs")

INDEXES = (
    ("ix_profiles_email", "profiles", ["email"]),
    ("ix_project_user_id", "projects", ["user_id"]),
    ("ix_crawl_job_status", "crawl_jobs", ["status"]),
    ("ix_crawl_jobs_project_id", "crawl_jobs", ["project_id"]),
    ("ix_crawl_job_project_status", "crawl_jobs", ["project_id", "status"]),
    ("ix_image_crawl_job_id", "images", ["crawl_job_id"]),
    ("ix_activity_log_user_id", "activity_logs", ["user_id"]),
    ("ix_activity_log_timestamp", "activity_logs", ["timestamp"]),
    ("ix_validation_job_status", "validation_jobs", ["status"]),
    ("ix_validation_job_crawl_job_id", "validation_jobs", ["crawl_job_id"]),
    ("ix_export_job_status", "export_jobs", ["status"]),
    ("ix_export_job_user_id", "export_jobs", ["user_id"]),
    ("ix_export_job_crawl_job_id", "export_jobs", ["crawl_job_id"]),
)

JOB_STATUSES = "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')"


def upgrade() -> None:
    create_profiles()
    create_projects()
    create_crawl_jobs()
    create_images()
    create_activity_logs()
    create_validation_jobs()
    create_export_jobs()
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns, if_not_exists=True)
    # Two spellings of one address are one person.
    op.create_index("uq_profiles_lower_email", "profiles", [sa.text("lower(email)")], unique=True, if_not_exists=True)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, if_exists=True)


def create_profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("full_name", sa.String(100)),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("role", sa.String(20), server_default="user", nullable=False),
        *timestamps(),
        primary_key("profiles", "id"),
        check("profiles", "role", "role IN ('user', 'moderator', 'admin')"),
        if_not_exists=True,
    )


def create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(20), server_default="active", nullable=False),
        *timestamps(),
        primary_key("projects", "id"),
        check("projects", "status", "status IN ('active', 'archived', 'deleted')"),
        foreign_key("projects", "user_id", "profiles", "CASCADE"),
        if_not_exists=True,
    )


def create_crawl_jobs() -> None:
    counters = (
        "total_images",
        "downloaded_images",
        "valid_images",
        "total_chunks",
        "active_chunks",
        "completed_chunks",
        "failed_chunks",
    )
    op.create_table(
        "crawl_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("keywords", postgresql.JSONB(), nullable=False),
        sa.Column("max_images", sa.Integer(), server_default="1000", nullable=False),
        *status_and_progress(),
        *(integer(counter) for counter in counters),
        json("task_ids", "[]"),
        *times(),
        *timestamps(),
        primary_key("crawl_jobs", "id"),
        *job_checks("crawl_jobs"),
        *not_negative("crawl_jobs", "max_images", *counters),
        foreign_key("crawl_jobs", "project_id", "projects", "CASCADE"),
        if_not_exists=True,
    )


def create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("original_url", sa.Text(), nullable=False),
        sa.Column("filename", sa.String(255)),
        sa.Column("storage_url", sa.Text()),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("file_size", sa.BigInteger()),
        sa.Column("format", sa.String(10)),
        primary_key("images", "id"),
        *not_negative("images", "width", "height", "file_size"),
        foreign_key("images", "crawl_job_id", "crawl_jobs", "CASCADE"),
        if_not_exists=True,
    )


def create_activity_logs() -> None:
    op.create_table(
        "activity_logs",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.String(50)),
        sa.Column("resource_id", sa.String(50)),
        sa.Column("metadata_", postgresql.JSONB()),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        primary_key("activity_logs", "id"),
        foreign_key("activity_logs", "user_id", "profiles", "SET NULL"),
        if_not_exists=True,
    )


def create_validation_jobs() -> None:
    counters = ("total_images", "validated_images", "invalid_images")
    op.create_table(
        "validation_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        *status_and_progress(),
        *(integer(counter) for counter in counters),
        json("validation_rules", "{}"),
        *times(),
        sa.Column("error_message", sa.Text()),
        *timestamps(),
        primary_key("validation_jobs", "id"),
        *job_checks("validation_jobs"),
        *not_negative("validation_jobs", *counters),
        foreign_key("validation_jobs", "crawl_job_id", "crawl_jobs", "CASCADE"),
        if_not_exists=True,
    )


def create_export_jobs() -> None:
    counters = ("total_images", "exported_images")
    op.create_table(
        "export_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        *status_and_progress(),
        sa.Column("format", sa.String(20), server_default="zip", nullable=False),
        *(integer(counter) for counter in counters),
        sa.Column("file_size", sa.BigInteger()),
        sa.Column("download_url", sa.Text()),
        json("export_options", "{}"),
        *times(),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("error_message", sa.Text()),
        *timestamps(),
        primary_key("export_jobs", "id"),
        *job_checks("export_jobs"),
        *not_negative("export_jobs", *counters, "file_size"),
        foreign_key("export_jobs", "crawl_job_id", "crawl_jobs", "CASCADE"),
        foreign_key("export_jobs", "user_id", "profiles", "CASCADE"),
        if_not_exists=True,
    )


def timestamps() -> list[sa.Column]:
    return [
        sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
        for name in ("created_at", "updated_at")
    ]


def times() -> list[sa.Column]:
    return [sa.Column(name, sa.DateTime(timezone=True)) for name in ("started_at", "completed_at")]


def status_and_progress() -> list[sa.Column]:
    return [sa.Column("status", sa.String(20), server_default="pending", nullable=False), integer("progress")]


def integer(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def json(name: str, default: str) -> sa.Column:
    return sa.Column(name, postgresql.JSONB(), server_default=sa.text(f"'{default}'::jsonb"), nullable=False)


def primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def foreign_key(table: str, column: str, parent: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


def check(table: str, column: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{column}"))


def not_negative(table: str, *columns: str) -> list[sa.CheckConstraint]:
    return [check(table, column, f"{column} >= 0") for column in columns]


def job_checks(table: str) -> list[sa.CheckConstraint]:
    return [check(table, "status", JOB_STATUSES), check(table, "progress", "progress BETWEEN 0 AND 100")]
