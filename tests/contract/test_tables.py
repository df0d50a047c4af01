"""The seven tables as the contract has them: what migration 001 makes, read back from the server's catalogs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from psycopg.rows import TupleRow
from sqlalchemy import create_engine

from backend.db import alembic_config, libpq_url
from tests.postgres import Server

Rows = dict[str, str]

JOB = {
    "status": "character varying(20) NOT NULL DEFAULT 'pending'",
    "progress": "integer NOT NULL DEFAULT 0",
    "started_at": "timestamp with time zone",
    "completed_at": "timestamp with time zone",
}
TIMESTAMPS = {
    "created_at": "timestamp with time zone NOT NULL DEFAULT now()",
    "updated_at": "timestamp with time zone NOT NULL DEFAULT now()",
}


def counters(*names: str) -> Rows:
    return dict.fromkeys(names, "integer NOT NULL DEFAULT 0")


def serial(table: str, kind: str = "integer") -> str:
    return f"{kind} NOT NULL DEFAULT nextval('{table}_id_seq')"


TABLES: dict[str, Rows] = {
    "profiles": {
        "id": "uuid NOT NULL",
        "email": "character varying(255) NOT NULL",
        "full_name": "character varying(100)",
        "avatar_url": "text",
        "role": "character varying(20) NOT NULL DEFAULT 'user'",
        **TIMESTAMPS,
    },
    "projects": {
        "id": serial("projects"),
        "name": "character varying(100) NOT NULL",
        "description": "text",
        "user_id": "uuid NOT NULL",
        "status": "character varying(20) NOT NULL DEFAULT 'active'",
        **TIMESTAMPS,
    },
    "crawl_jobs": {
        "id": serial("crawl_jobs"),
        "project_id": "integer NOT NULL",
        "name": "character varying(100) NOT NULL",
        "keywords": "jsonb NOT NULL",
        "max_images": "integer NOT NULL DEFAULT 1000",
        **JOB,
        **counters("total_images", "downloaded_images", "valid_images"),
        **counters("total_chunks", "active_chunks", "completed_chunks", "failed_chunks"),
        "task_ids": "jsonb NOT NULL DEFAULT '[]'",
        **TIMESTAMPS,
    },
    "images": {
        "id": serial("images", "bigint"),
        "crawl_job_id": "integer NOT NULL",
        "original_url": "text NOT NULL",
        "filename": "character varying(255)",
        "storage_url": "text",
        "width": "integer",
        "height": "integer",
        "file_size": "bigint",
        "format": "character varying(10)",
    },
    "activity_logs": {
        "id": serial("activity_logs", "bigint"),
        "user_id": "uuid",
        "action": "text NOT NULL",
        "resource_type": "character varying(50)",
        "resource_id": "character varying(50)",
        "metadata_": "jsonb",
        "timestamp": "timestamp with time zone NOT NULL DEFAULT now()",
    },
    "validation_jobs": {
        "id": serial("validation_jobs"),
        "crawl_job_id": "integer NOT NULL",
        "name": "character varying(100) NOT NULL",
        **JOB,
        **counters("total_images", "validated_images", "invalid_images"),
        "validation_rules": "jsonb NOT NULL DEFAULT '{}'",
        "error_message": "text",
        **TIMESTAMPS,
    },
    "export_jobs": {
        "id": serial("export_jobs"),
        "crawl_job_id": "integer NOT NULL",
        "user_id": "uuid NOT NULL",
        "name": "character varying(100) NOT NULL",
        **JOB,
        "format": "character varying(20) NOT NULL DEFAULT 'zip'",
        **counters("total_images", "exported_images"),
        "file_size": "bigint",
        "download_url": "text",
        "export_options": "jsonb NOT NULL DEFAULT '{}'",
        "expires_at": "timestamp with time zone",
        "error_message": "text",
        **TIMESTAMPS,
    },
}

FOREIGN_KEYS = {
    "fk_projects_user_id": "projects: FOREIGN KEY (user_id) REFERENCES profiles(id) ON DELETE CASCADE",
    "fk_crawl_jobs_project_id": "crawl_jobs: FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE",
    "fk_images_crawl_job_id": "images: FOREIGN KEY (crawl_job_id) REFERENCES crawl_jobs(id) ON DELETE CASCADE",
    "fk_activity_logs_user_id": "activity_logs: FOREIGN KEY (user_id) REFERENCES profiles(id) ON DELETE SET NULL",
    "fk_validation_jobs_crawl_job_id": (
        "validation_jobs: FOREIGN KEY (crawl_job_id) REFERENCES crawl_jobs(id) ON DELETE CASCADE"
    ),
    "fk_export_jobs_crawl_job_id": (
        "export_jobs: FOREIGN KEY (crawl_job_id) REFERENCES crawl_jobs(id) ON DELETE CASCADE"
    ),
    "fk_export_jobs_user_id": "export_jobs: FOREIGN KEY (user_id) REFERENCES profiles(id) ON DELETE CASCADE",
}

INDEXES = {
    "ix_profiles_email": "INDEX ON profiles (email)",
    "uq_profiles_lower_email": "UNIQUE INDEX ON profiles (lower((email)::text))",
    "ix_project_user_id": "INDEX ON projects (user_id)",
    "ix_crawl_job_status": "INDEX ON crawl_jobs (status)",
    "ix_crawl_jobs_project_id": "INDEX ON crawl_jobs (project_id)",
    "ix_crawl_job_project_status": "INDEX ON crawl_jobs (project_id, status)",
    "ix_image_crawl_job_id": "INDEX ON images (crawl_job_id)",
    "ix_activity_log_user_id": "INDEX ON activity_logs (user_id)",
    "ix_activity_log_timestamp": 'INDEX ON activity_logs ("timestamp")',
    "ix_validation_job_status": "INDEX ON validation_jobs (status)",
    "ix_validation_job_crawl_job_id": "INDEX ON validation_jobs (crawl_job_id)",
    "ix_export_job_status": "INDEX ON export_jobs (status)",
    "ix_export_job_user_id": "INDEX ON export_jobs (user_id)",
    "ix_export_job_crawl_job_id": "INDEX ON export_jobs (crawl_job_id)",
}

COLUMNS_SQL = """
SELECT c.relname, attname, concat(format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' NOT NULL' END,
    regexp_replace(' DEFAULT ' || pg_get_expr(adbin, adrelid), '::(jsonb|regclass|character varying)', '', 'g'))
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE c.relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
AND c.relname <> 'alembic_version'
"""
FOREIGN_KEYS_SQL = """
SELECT conname, conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'
"""
INDEXES_SQL = """
SELECT indexname, regexp_replace(indexdef, '^CREATE (.*INDEX) \\w+ ON public\\.(\\w+) USING btree', '\\1 ON \\2')
FROM pg_indexes WHERE schemaname = 'public' AND indexname !~ '(^pk_|_pkc$)'
"""


@pytest.fixture
def first(server: Server) -> Iterator[psycopg.Connection[TupleRow]]:
    """A database at migration 001."""
    with server.empty() as url:
        config = alembic_config()
        engine = create_engine(url)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "001")
        engine.dispose()
        with psycopg.connect(libpq_url(url)) as connection:
            yield connection


def test_columns(first: psycopg.Connection[TupleRow]) -> None:
    found: dict[str, Rows] = {}
    for table, column, definition in first.execute(COLUMNS_SQL):
        found.setdefault(table, {})[column] = definition
    assert found == TABLES


def test_foreign_keys(first: psycopg.Connection[TupleRow]) -> None:
    assert dict(first.execute(FOREIGN_KEYS_SQL).fetchall()) == FOREIGN_KEYS


def test_indexes(first: psycopg.Connection[TupleRow]) -> None:
    assert dict(first.execute(INDEXES_SQL).fetchall()) == INDEXES


def test_the_contract_still_holds_at_head(database_url: str) -> None:
    with psycopg.connect(libpq_url(database_url)) as connection:
        columns = {(table, column): definition for table, column, definition in connection.execute(COLUMNS_SQL)}
        keys = dict(connection.execute(FOREIGN_KEYS_SQL).fetchall())
        indexes = dict(connection.execute(INDEXES_SQL).fetchall())
    for table, expected in TABLES.items():
        assert {column: columns[table, column] for column in expected} == expected
    assert FOREIGN_KEYS.items() <= keys.items()
    assert INDEXES.items() <= indexes.items()


def test_every_foreign_key_has_an_index(database_url: str) -> None:
    """Without one, each deleted parent costs a scan of the whole child table."""
    with psycopg.connect(libpq_url(database_url)) as connection:
        bare = connection.execute(
            """SELECT conname FROM pg_constraint WHERE contype = 'f' AND NOT EXISTS (
                SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1] AND indpred IS NULL)
            AND conrelid::regclass::text !~ '^procrastinate_'"""
        ).fetchall()
    assert bare == []
