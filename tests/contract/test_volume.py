"""At volume each of the contract's common queries goes through an index, and through the one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from backend.db import libpq_url
from tests.postgres import Server

# 100 active people, most with their share; person 1 with a tenth of everything, person 100 with next to nothing.
PEOPLE, PROJECTS, JOBS, IMAGES, LOGS, EXPORTS = 100, 4_000, 20_000, 200_000, 200_000, 20_000

FILL = f"""
CREATE FUNCTION pg_temp.person(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$ SELECT lpad((CASE WHEN n % 10 = 0 THEN 1 WHEN n % 4000 = 9 THEN {PEOPLE} ELSE n % ({PEOPLE} - 1) + 1 END)::text,
        32, '0')::uuid $$;
INSERT INTO profiles (id, email)
    SELECT lpad(n::text, 32, '0')::uuid, n || '@example.org' FROM generate_series(1, 50 * {PEOPLE}) n;
INSERT INTO projects (name, user_id, created_at)
    SELECT 'p' || n, pg_temp.person(n), now() - n * interval '1 minute' FROM generate_series(1, {PROJECTS}) n;
INSERT INTO crawl_jobs (project_id, name, keywords, status)
    SELECT n % {PROJECTS} + 1, 'c' || n, '["cat"]', (ARRAY['completed', 'running', 'failed', 'pending'])[n / 7 % 4 + 1]
    FROM generate_series(1, {JOBS}) n;
INSERT INTO images (crawl_job_id, original_url, final_url, label, outcome, sha256)
    SELECT CASE WHEN n % 10 = 0 THEN 1 ELSE n / 20 + 1 END, 'https://example.org/images/' || n,
        CASE WHEN n % 100 = 0 THEN 'https://example.org/images/' || n + 1 END, 'label ' || n / 20000,
        CASE WHEN n % 7 = 0 THEN 'failed' ELSE 'downloaded' END, sha256(int8send(n))
    FROM generate_series(1, {IMAGES}) n;
INSERT INTO activity_logs (user_id, action, timestamp)
    SELECT pg_temp.person(n), 'did', now() - ({LOGS} - n) * interval '1 second' FROM generate_series(1, {LOGS}) n;
INSERT INTO export_jobs (crawl_job_id, user_id, name, status)
    SELECT n, pg_temp.person(n), 'e', (ARRAY['completed', 'failed'])[n / 10 % 2 + 1]
    FROM generate_series(1, {EXPORTS}) n;
INSERT INTO validation_jobs (id, crawl_job_id, name) SELECT n, n, 'v' FROM generate_series(1, 100) n;
INSERT INTO verdicts (validation_job_id, image_id, valid) SELECT id % 100 + 1, id, true FROM images;
"""

BUSY, USUAL, QUIET = (f"{n:032}" for n in (1, 3, PEOPLE))

QUERIES = [
    ("SELECT * FROM projects WHERE user_id = '{user}' ORDER BY created_at DESC", "ix_project_user_id"),
    (
        "SELECT * FROM crawl_jobs WHERE project_id = 17 AND status = 'running' ORDER BY created_at DESC",
        "ix_crawl_job_project_status",
    ),
    ("SELECT * FROM images WHERE crawl_job_id = 1 LIMIT 100", "ix_image_crawl_job_id"),
    ("SELECT * FROM images WHERE crawl_job_id = 5000 LIMIT 100", "ix_image_crawl_job_id"),
    (
        "SELECT * FROM export_jobs WHERE user_id = '{user}' AND status = 'completed' ORDER BY created_at DESC",
        "ix_export_job_user_id",
    ),
]


@pytest.fixture(scope="module", params=["embedded", "debian15"])
def filled(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[TupleRow]]:
    server: Server = request.getfixturevalue(request.param)
    with server.migrated() as url, psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection


def plan(connection: psycopg.Connection[TupleRow], query: str) -> tuple[set[str], set[str]]:
    """The kinds of nodes in a query's plan, and the indexes it goes through."""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone()
    assert row is not None
    nodes, todo = list[dict[str, Any]](), [row[0][0]["Plan"]]
    while todo:
        nodes.append(todo.pop())
        todo += nodes[-1].get("Plans", [])
    return {str(node["Node Type"]) for node in nodes}, {node["Index Name"] for node in nodes if "Index Name" in node}


@pytest.mark.parametrize("user", [BUSY, USUAL, QUIET])
@pytest.mark.parametrize(("query", "index"), QUERIES)
def test_common_queries(filled: psycopg.Connection[TupleRow], query: str, index: str, user: str) -> None:
    kinds, indexes = plan(filled, query.format(user=user))
    assert "Seq Scan" not in kinds
    assert indexes == {index}


@pytest.mark.parametrize(
    ("user", "index"),
    [
        (BUSY, "ix_activity_log_timestamp"),
        (USUAL, "ix_activity_log_timestamp"),
        (QUIET, "ix_activity_log_user_id"),  # who has fewer than 50 entries makes the other read the whole log
    ],
)
def test_recent_activity(filled: psycopg.Connection[TupleRow], user: str, index: str) -> None:
    query = f"SELECT * FROM activity_logs WHERE user_id = '{user}' ORDER BY timestamp DESC LIMIT 50"
    kinds, indexes = plan(filled, query)
    assert "Seq Scan" not in kinds
    assert indexes == {index}


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (
            "SELECT * FROM images WHERE crawl_job_id = 1 AND outcome = 'downloaded' AND id > 5000"
            " ORDER BY id LIMIT 100",
            "ix_images_downloaded",
        ),
        (
            "SELECT * FROM images WHERE outcome <> 'downloaded' AND crawl_job_id = ANY('{1}'::int[]) AND id > 500"
            " ORDER BY crawl_job_id, id LIMIT 100",
            "ix_images_not_downloaded",
        ),
        (
            "SELECT * FROM images WHERE outcome = 'downloaded' AND md5(label)::uuid = md5('label 7')::uuid"
            " AND crawl_job_id = ANY('{1}'::int[]) AND id > 500 ORDER BY crawl_job_id, id LIMIT 100",
            "ix_images_label",
        ),
        (
            "SELECT * FROM images WHERE md5(original_url)::uuid = md5('https://example.org/images/77')::uuid"
            " AND crawl_job_id = 4",
            "uq_images_original_url_crawl_job_id",
        ),
        (
            "SELECT * FROM images WHERE md5(final_url)::uuid = md5('https://example.org/images/77')::uuid"
            " AND final_url != original_url",
            "ix_images_final_url",
        ),
        (
            "SELECT * FROM images WHERE sha256 = sha256(int8send(77)) AND crawl_job_id = 4",
            "ix_images_sha256_crawl_job_id",
        ),
        ("SELECT * FROM verdicts WHERE validation_job_id IN (3, 5) AND image_id = 77", "pk_verdicts"),
        ("SELECT * FROM profiles WHERE lower(email) = lower('77@Example.org')", "uq_profiles_lower_email"),
    ],
)
def test_our_own_indexes_are_of_use(filled: psycopg.Connection[TupleRow], query: str, index: str) -> None:
    _, indexes = plan(filled, query)
    assert indexes == {index}
