"""The doctor against real damage; the commands it prints are run, and afterwards it finds nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from backend.config import Settings
from backend.db import libpq_url
from backend.errors import DatabaseUnavailable
from backend.models import Project
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan, UrlList
from backend.services import crawl_jobs
from backend.services.doctor import Finding, Mending, Section, Severity, examine
from gleanset.store import blob_key, list_key
from tests import postgres
from tests.postgres import Server
from tests.services.helpers import Place, downloaded

SHOP = """
INSERT INTO profiles (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'a@example.org');
INSERT INTO projects (name, user_id) SELECT 'p' || n, id FROM profiles, generate_series(1, 5) n;
INSERT INTO crawl_jobs (project_id, name, keywords) SELECT id, 'c', '["cat"]' FROM projects;
INSERT INTO activity_logs (user_id, action) SELECT id, 'created' FROM profiles;
"""
HOUR_AND_MORE = timedelta(hours=1, minutes=5).total_seconds()


def execute(url: str, sql: str) -> None:
    with psycopg.connect(libpq_url(url)) as connection:
        connection.execute(sql.encode())


def value(url: str, sql: str) -> object:
    with psycopg.connect(libpq_url(url)) as connection:
        row = connection.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]


def settings(folder: Path) -> Settings:
    return Settings(home=folder / "home", database_url=None, store_url=str(folder / "images"))


def shell(command: str, url: str, folder: Path) -> str:
    """Run what the doctor printed, in a shell in which `gleanset` is the real one."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": libpq_url(url),
        "GLEANSET_HOME": str(folder / "home"),
        "GLEANSET_STORE_URL": str(folder / "images"),
    }
    # A start of the command line for each address would be most of the time that these tests take.
    command = command.replace("$(gleanset db url)", "$DATABASE_URL")
    done = subprocess.run(["bash", "-ec", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert "ERROR" not in done.stderr, (command, done.stderr)
    return done.stdout


def findings(sections: Sequence[Section]) -> list[Finding]:
    return [finding for section in sections for finding in section.findings]


def codes(sections: Sequence[Section]) -> list[str]:
    return [finding.code for finding in findings(sections)]


async def test_nothing_is_wrong_with_a_fresh_database(database_url: str, tmp_path: Path) -> None:
    sections = await examine(settings(tmp_path), database_url)
    assert [section.state for section in sections] == ["well"] * 9, sections


NO_TRIGGERS = "SET session_replication_role = replica;"
STRANGER = "00000000-0000-0000-0000-00000000000f"

DAMAGE = {
    "a dropped index": ("DROP INDEX ix_project_user_id", ["missing_index"]),
    "a dropped unique index": ("DROP INDEX uq_images_original_url_crawl_job_id", ["missing_index"]),
    "an index on another column": (
        "DROP INDEX ix_image_crawl_job_id; CREATE INDEX ix_image_crawl_job_id ON images (format)",
        ["wrong_index"],
    ),
    "an index of another part of the rows": (
        "DROP INDEX ix_images_downloaded;"
        "CREATE INDEX ix_images_downloaded ON images (crawl_job_id, id) WHERE outcome = 'failed'",
        ["wrong_index"],
    ),
    "an index that lost its uniqueness": (
        "DROP INDEX uq_profiles_lower_email; CREATE INDEX uq_profiles_lower_email ON profiles (lower(email))",
        ["wrong_index"],
    ),
    "an invalid index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_profiles_email'::regclass",
        ["invalid_index"],
    ),
    "an invalid primary key": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pk_images'::regclass",
        ["invalid_index"],
    ),
    "an index that was never finished": (
        "CREATE INDEX by_hand ON images (width);"
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_hand'::regclass",
        ["invalid_index"],
    ),
    "a dropped foreign key": ("ALTER TABLE images DROP CONSTRAINT fk_images_crawl_job_id", ["missing_constraint"]),
    "a dropped check": ("ALTER TABLE projects DROP CONSTRAINT ck_projects_status", ["missing_constraint"]),
    "a foreign key that does not cascade": (
        "ALTER TABLE projects DROP CONSTRAINT fk_projects_user_id;"
        "ALTER TABLE projects ADD CONSTRAINT fk_projects_user_id FOREIGN KEY (user_id) REFERENCES profiles (id)",
        ["wrong_constraint"],
    ),
    "a foreign key that was never checked": (
        "ALTER TABLE projects DROP CONSTRAINT fk_projects_user_id;"
        "ALTER TABLE projects ADD CONSTRAINT fk_projects_user_id FOREIGN KEY (user_id) REFERENCES profiles (id)"
        " ON DELETE CASCADE NOT VALID",
        ["unchecked_constraint"],
    ),
    "disabled triggers and what came of it": (
        f"ALTER TABLE projects DISABLE TRIGGER ALL; UPDATE projects SET user_id = '{STRANGER}' WHERE name <= 'p2'",
        ["disabled_trigger", "orphaned_rows"],
    ),
    "orphans behind a constraint that is there": (
        f"{NO_TRIGGERS} DELETE FROM projects WHERE name = 'p3'",
        ["orphaned_rows"],
    ),
    "orphans and no constraint": (
        "ALTER TABLE crawl_jobs DROP CONSTRAINT fk_crawl_jobs_project_id; DELETE FROM projects WHERE name = 'p1'",
        ["orphaned_rows", "missing_constraint"],
    ),
    "a lost column": ("ALTER TABLE images DROP COLUMN page_url", ["missing_column"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_and_the_command_mends_it(damage: str, database_url: str, tmp_path: Path) -> None:
    sql, expected = DAMAGE[damage]
    execute(database_url, SHOP)
    execute(database_url, sql)
    sections = await examine(settings(tmp_path), database_url)
    assert codes(sections) == expected
    for finding in findings(sections):
        assert finding.severity is Severity.ERROR
        assert finding.command is not None
        shell(finding.command, database_url, tmp_path)
    assert codes(await examine(settings(tmp_path), database_url)) == []


async def test_orphans_are_counted_and_named_and_only_they_go(database_url: str, tmp_path: Path) -> None:
    execute(database_url, SHOP)
    execute(database_url, f"{NO_TRIGGERS} UPDATE projects SET user_id = '{STRANGER}' WHERE name <= 'p4'")
    execute(database_url, f"{NO_TRIGGERS} UPDATE activity_logs SET user_id = '{STRANGER}'")
    logs, projects = findings(await examine(settings(tmp_path), database_url))
    assert (logs.count, projects.count) == (1, 4)
    assert len(projects.examples) == 3
    assert set(projects.examples) < {f"projects {n}" for n in range(1, 5)}
    assert "user_id" in projects.what
    for finding in (logs, projects):
        assert finding.command is not None
        shell(finding.command, database_url, tmp_path)
    assert value(database_url, "SELECT count(*) FROM projects") == 1
    assert value(database_url, "SELECT count(*) FROM crawl_jobs") == 1  # the cascade went along
    assert value(database_url, "SELECT count(*) FROM activity_logs WHERE user_id IS NULL") == 1  # the log stays


@pytest.mark.parametrize(
    ("sql", "code", "word"),
    [
        ("DROP SCHEMA public CASCADE; CREATE SCHEMA public", "migration", "no Gleanset tables"),
        ("UPDATE alembic_version SET version_num = '002'", "migration", "at migration 002"),
        ("DROP TABLE verdicts", "missing_table", "verdicts"),
    ],
)
async def test_migrations(database_url: str, tmp_path: Path, sql: str, code: str, word: str) -> None:
    execute(database_url, sql)
    sections = await examine(settings(tmp_path), database_url)
    assert codes(sections) == [code]
    (finding,) = findings(sections)
    assert word in finding.what
    assert all(section.skipped for section in sections[2:])
    assert finding.command is not None
    shell(finding.command, database_url, tmp_path)
    assert [section.state for section in await examine(settings(tmp_path), database_url)] == ["well"] * 9


async def test_a_lost_note_and_a_newer_database(database_url: str, tmp_path: Path) -> None:
    execute(database_url, "DELETE FROM alembic_version")
    (finding,) = findings(await examine(settings(tmp_path), database_url))
    assert ("no migration is noted" in finding.what, finding.command) == (True, "gleanset db upgrade")
    execute(database_url, "INSERT INTO alembic_version VALUES ('999')")
    (finding,) = findings(await examine(settings(tmp_path), database_url))
    assert finding.command == "pip install --upgrade gleanset"


async def test_no_rights_skip_checks(database_url: str, server: Server, tmp_path: Path) -> None:
    execute(database_url, "REVOKE TEMPORARY ON DATABASE " + str(make_url(database_url).database) + " FROM public")
    server.execute("CREATE ROLE stranger LOGIN")
    try:
        sections = await examine(settings(tmp_path), _as("stranger", database_url))
        states = {section.title: section.state for section in sections}
        assert {title for title, state in states.items() if state == "skipped"} == {
            "Migration", "Orphaned rows", "Work queue", "Image store",
        }  # fmt: skip
        assert states["Indexes"] == states["Constraints"] == "well"
        assert "permission denied" in str(sections[0].skipped)

        # Whoever may read sees all that can be seen; to compare the store takes a temporary table.
        execute(database_url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO stranger")
        sections = await examine(settings(tmp_path), _as("stranger", database_url))
        assert [section.title for section in sections if section.state == "skipped"] == ["Image store"]
        assert "temporary" in str(sections[-1].skipped)
    finally:
        execute(database_url, "DROP OWNED BY stranger")
        server.execute("DROP ROLE stranger")


def _as(user: str, url: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)


async def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        await examine(settings(tmp_path), "postgresql+psycopg://nobody@127.0.0.1:1/nothing")


async def test_unused_indexes_are_advice(database_url: str, tmp_path: Path) -> None:
    execute(database_url, "INSERT INTO activity_logs (action) SELECT 'x' FROM generate_series(1, 12000)")
    execute(database_url, "CREATE INDEX by_hand ON activity_logs (action); CREATE INDEX small ON projects (name)")
    execute(database_url, "ANALYZE activity_logs")
    found = findings(await examine(settings(tmp_path), database_url))
    assert {finding.severity for finding in found} == {Severity.ADVICE}
    by_hand, ours = found
    assert "by_hand" in by_hand.what
    names = ("user_id", "timestamp", "resource", "owner_id", "elsewhere")
    unused = {f"ix_activity_log_{name}" for name in names}
    assert unused <= set(ours.what.replace(",", "").split())
    assert ours.count == 5  # not the primary key
    for finding in found:
        assert finding.command is not None
        shell(finding.command, database_url, tmp_path)
    execute(
        database_url,
        "SET enable_seqscan = off; SELECT FROM activity_logs WHERE user_id = gen_random_uuid();"
        "SELECT FROM activity_logs WHERE timestamp > now();"
        "SELECT FROM activity_logs WHERE owner_id = gen_random_uuid();"
        "SELECT FROM activity_logs WHERE user_id = gen_random_uuid() AND owner_id IS DISTINCT FROM user_id"
        " ORDER BY id DESC LIMIT 1;"
        "SELECT FROM activity_logs WHERE resource_type = 'x' AND resource_id = '1'",
    )
    assert codes(await examine(settings(tmp_path), database_url)) == []


async def test_slow_queries_on_postgresql_15(tmp_path: Path) -> None:
    with postgres.debian_server() as server:
        with server.migrated() as url:
            execute(url, "CREATE EXTENSION pg_stat_statements")
            sections = await examine(settings(tmp_path), url)
            assert [section.state for section in sections] == ["well"] * 9, sections
            assert "shared_preload_libraries" in next(s.note for s in sections if s.title == "Slow queries")
        server.execute("ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements")
        folder = str(value(server.url("postgres"), "SHOW data_directory"))
        postgres._run("pg_ctl", "-D", folder, "-w", "-m", "fast", "-l", f"{folder}/../log", "restart")
        with server.migrated() as url:
            execute(url, "CREATE EXTENSION pg_stat_statements")
            with psycopg.connect(libpq_url(url), autocommit=True) as connection:
                for _ in range(10):
                    connection.execute("SELECT pg_sleep(0.21)")
                    connection.execute("SELECT 1")
            (finding,) = findings(await examine(settings(tmp_path), url))
            assert (finding.code, finding.count, finding.severity) == ("slow_query", 10, Severity.ADVICE)
            assert "pg_sleep" in finding.what
            assert finding.command is not None
            shell(finding.command, url, tmp_path)
            assert codes(await examine(settings(tmp_path), url)) == []


def put_blob(folder: Path, name: str, *, age: float = HOUR_AND_MORE) -> Path:
    """The file of `downloaded(name)`."""
    file = folder / "images" / blob_key(hashlib.sha256(name.encode()).hexdigest(), "jpeg")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"pixels")
    os.utime(file, (time.time() - age,) * 2)
    return file


async def test_blobs_and_rows(place: Place) -> None:
    """More of each than one page of the listing or one batch of the deletion holds."""
    url = place.database.url
    kept, lost, stray = ([f"{kind}{n}.jpg" for n in range(count)] for kind, count in (("k", 600), ("l", 5), ("s", 650)))
    _, (chunk,) = await place.started(max_images=1000)
    held = await place.claim(chunk)
    await place.record(held, [downloaded(name) for name in kept + lost])
    for name in kept + stray:
        put_blob(place.folder, name)
    young = put_blob(place.folder, "young.jpg", age=3000)
    stranger = place.folder / "images" / "notes.txt"
    stranger.write_text("mine")
    # The same bytes under another extension are another blob, which nobody looks for.
    twin = put_blob(place.folder, "k0.jpg").with_suffix(".png")
    put_blob(place.folder, "k0.jpg").with_suffix(".png").write_bytes(b"")
    os.utime(twin, (time.time() - HOUR_AND_MORE,) * 2)

    orphaned, missing, other = findings(await examine(settings(place.folder), url))
    assert (orphaned.code, orphaned.count, len(orphaned.examples)) == ("blob_without_row", 651, 3)
    assert (missing.code, missing.count, len(missing.examples)) == ("row_without_blob", 5, 3)
    assert "https://example.org/l0.jpg" in missing.examples[0]
    assert (other.code, other.count, other.severity) == ("stranger_in_store", 1, Severity.ADVICE)
    assert len(list((place.folder / "images").rglob("*.*"))) == 600 + 650 + 3  # looking changes nothing

    sections = await examine(settings(place.folder), url, Mending(delete_orphans=True))
    assert "deleted 651 blobs" in sections[-1].note
    left = {file.name for file in (place.folder / "images").rglob("*.*")}
    assert left == {blob_key(hashlib.sha256(n.encode()).hexdigest(), "jpeg")[3:] for n in kept} | {
        young.name,
        stranger.name,
    }
    assert codes(sections) == ["row_without_blob", "stranger_in_store"]

    await examine(settings(place.folder), url, Mending(fail_missing=True))
    assert codes(await examine(settings(place.folder), url)) == ["stranger_in_store"]
    failed = await place.rows(
        "SELECT original_url, reason, storage_url FROM images WHERE outcome = 'failed' ORDER BY 1"
    )
    assert failed == [(f"https://example.org/{name}", "blob_missing", None) for name in lost]
    job = await place.job(chunk.crawl_job_id)
    assert (job.total_images, job.downloaded_images) == (605, 600)


async def test_valid_images_follow_when_a_blob_is_lost(place: Place) -> None:
    _, (chunk,) = await place.started()
    await place.record(await place.claim(chunk), [downloaded(f"{n}.jpg") for n in range(4)])
    for n in range(2):
        put_blob(place.folder, f"{n}.jpg")
    execute(
        place.database.url,
        "UPDATE crawl_jobs SET valid_images = 3;"
        "INSERT INTO validation_jobs (crawl_job_id, name, status) SELECT id, 'v', 'completed' FROM crawl_jobs;"
        "INSERT INTO verdicts (validation_job_id, image_id, valid)"
        " SELECT v.id, i.id, i.title <> '3.jpg' FROM validation_jobs v, images i",
    )
    await examine(settings(place.folder), place.database.url, Mending(fail_missing=True))
    job = await place.job(chunk.crawl_job_id)
    assert (job.downloaded_images, job.valid_images) == (2, 2)  # 2.jpg was valid, 3.jpg was not


async def test_every_blob_an_orphan_is_worth_a_warning(database_url: str, tmp_path: Path) -> None:
    put_blob(tmp_path, "a.jpg")
    (finding,) = findings(await examine(settings(tmp_path), database_url))
    assert "every blob" in finding.what


async def test_a_crawl_goes_on_during_the_comparison(place: Place) -> None:
    """Rows written meanwhile may have blobs that the listing has passed; a blob written anew is in use again."""
    url = place.database.url
    _, (chunk,) = await place.started()
    held = await place.claim(chunk)
    await place.record(held, [downloaded("a.jpg")])
    put_blob(place.folder, "a.jpg")
    stray = put_blob(place.folder, "stray.jpg")

    def meanwhile(_: int) -> None:
        os.utime(stray)
        execute(
            url,
            "INSERT INTO images (crawl_job_id, original_url, outcome, sha256, format)"
            f" SELECT id, 'late', 'downloaded', '\\x{'ab' * 32}', 'jpeg' FROM crawl_jobs",
        )

    sections = await examine(settings(place.folder), url, Mending(delete_orphans=True), meanwhile)
    assert codes(sections) == []
    assert "deleted 0 blobs" in sections[-1].note
    assert stray.exists()
    assert codes(await examine(settings(place.folder), url)) == ["row_without_blob"]


async def test_a_store_that_does_not_open(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where a folder should be")
    (finding,) = findings(await examine(settings(tmp_path), database_url))
    assert (finding.code, finding.severity) == ("store", Severity.ERROR)


async def test_jobs_that_nobody_works_on(place: Place) -> None:
    url = place.database.url
    abandoned = await start_list(place, "list.txt")
    forgotten = await start_list(place, "list2.txt")
    assert codes(await examine(settings(place.folder), url)) == []  # a waiting task is as it should be

    execute(url, f"DELETE FROM procrastinate_jobs WHERE queue_name = 'job-{forgotten}'")
    execute(
        url,
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour');"
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)",
    )
    found = findings(await examine(settings(place.folder), url))
    assert [(finding.code, finding.examples) for finding in found] == [
        ("abandoned_task", (f"crawl job {abandoned}",)),
        ("job_without_task", (f"crawl job {forgotten}",)),
    ]
    for finding in found:
        assert finding.command is not None
        shell(finding.command, url, place.folder)
    assert codes(await examine(settings(place.folder), url)) == []
    for job in (abandoned, forgotten):
        assert (await place.job(job)).status == JobStatus.COMPLETED


async def start_list(place: Place, name: str) -> int:
    """A running crawl of a list on this disk, whose only URL is refused at once."""
    path = place.folder / name
    path.write_text("http://127.0.0.1:1/refused.jpg\n")
    plan = CrawlPlan(lists=[UrlList(path=str(path))])
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        job = await crawl_jobs.create(session, project, name, [], plan, 10, user_id=project.user_id)
        await crawl_jobs.start(session, job.id, crawl_jobs.plan_queries([], plan, rows_per_chunk=10), user_id=None)
        return job.id


async def test_copies_of_lists_stay_as_long_as_their_jobs(place: Place) -> None:
    keys = [list_key(hashlib.sha256(name.encode()).hexdigest(), ".csv") for name in ("kept", "left", "young")]
    for key in keys:
        file = place.folder / "images" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("url")
        if key != keys[2]:
            os.utime(file, (time.time() - HOUR_AND_MORE,) * 2)
    plan = CrawlPlan(lists=[UrlList(path="https://x.example/list.csv.gz", key=keys[0])])
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        await crawl_jobs.create(session, project, "list", [], plan, 5, user_id=project.user_id)

    url = place.database.url
    [orphaned] = findings(await examine(settings(place.folder), url))
    assert (orphaned.code, orphaned.count, orphaned.examples) == ("blob_without_row", 1, (keys[1],))
    assert "no image or job" in orphaned.what
    sections = await examine(settings(place.folder), url, Mending(delete_orphans=True))
    assert "deleted 1 blobs" in sections[-1].note
    assert {file.name for file in (place.folder / "images" / "lists").iterdir()} == {keys[0][6:], keys[2][6:]}
