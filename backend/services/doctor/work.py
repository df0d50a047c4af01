"""Jobs that nobody works on."""

from __future__ import annotations

from collections.abc import Sequence

from backend.services.doctor.findings import EXAMPLES, Connection, Finding, Section, query

_ABANDONED = """
    SELECT CAST(substr(queue_name, 5) AS bigint) AS job, count(*) FROM procrastinate_jobs AS task
    LEFT JOIN procrastinate_workers AS worker ON worker.id = worker_id
    WHERE status = 'doing' AND queue_name ~ '^job-[0-9]+$'
        AND (worker.id IS NULL OR last_heartbeat < now() - make_interval(secs => %s))
    GROUP BY 1 ORDER BY 1
"""

# A job and the task it needs are written in one transaction, and the last task ends its job in one: never one alone.
_FORGOTTEN = """
    SELECT DISTINCT job FROM (
        SELECT id AS job FROM crawl_jobs WHERE status = 'running'
        UNION ALL SELECT crawl_job_id FROM validation_jobs WHERE status IN ('pending', 'running')
        UNION ALL SELECT crawl_job_id FROM export_jobs WHERE status IN ('pending', 'running')
    ) AS unfinished
    WHERE NOT EXISTS (
        SELECT FROM procrastinate_jobs WHERE queue_name = 'job-' || job AND status IN ('todo', 'doing')
    ) ORDER BY job
"""


async def work(connection: Connection, *, dead_after: float) -> Section:
    """Tasks whose worker is dead, and unfinished jobs without a task. `dead_after`: seconds without a sign of life."""
    found: list[Finding] = []
    abandoned = await query(connection, _ABANDONED, dead_after)
    if abandoned:
        count = sum(tasks for _, tasks in abandoned)
        jobs = [job for job, _ in abandoned]
        found.append(
            Finding(
                code="abandoned_task",
                what=f"{count:,} tasks wait for a worker that is dead; the next worker that runs takes them over.",
                count=count,
                examples=_examples(jobs),
                command=_for_each("gleanset jobs retry", jobs),
            )
        )
    forgotten = [job for (job,) in await query(connection, _FORGOTTEN)]
    if forgotten:
        found.append(
            Finding(
                code="job_without_task",
                what=f"{len(forgotten):,} jobs are under way, but nothing in the queue works on them.",
                count=len(forgotten),
                examples=_examples(forgotten),
                command=" && ".join(_for_each(f"gleanset jobs {verb}", forgotten) for verb in ("cancel", "retry")),
            )
        )
    return Section(title="Work queue", findings=tuple(found), note="every unfinished job has its tasks")


def _examples(jobs: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"crawl job {job}" for job in jobs[:EXAMPLES])


def _for_each(command: str, jobs: Sequence[int]) -> str:
    if len(jobs) == 1:
        return f"{command} {jobs[0]}"
    return f"for job in {' '.join(map(str, jobs))}; do {command} $job; done"
