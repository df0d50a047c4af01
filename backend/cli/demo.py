"""`gleanset demo`: a whole run without internet or key."""

from __future__ import annotations

import asyncio

import typer

from backend.cli.crawl import Json, Out, run_and_report
from backend.cli.delivery import export_plan
from backend.cli.display import note
from backend.cli.run import Interrupted
from backend.config import Settings, get_settings
from backend.db import Database
from backend.schemas.plans import CrawlPlan, Overrides
from backend.services import crawl_jobs, profiles


def demo(*, out: Out = None, json: Json = False) -> None:
    """Gather, judge and pack a few hundred drawn pictures from a small web on this machine.

    The pictures come through the ordinary Openverse source, with all that goes wrong on the real web: missing and
    truncated files, pages named .jpg, copies, a host that asks to slow down. Needs no internet and no key.
    """
    asyncio.run(_demo(get_settings(), out, json=json))


async def _demo(settings: Settings, out: str | None, *, json: bool) -> None:
    from backend.demo.web import DemoWeb  # numpy, Pillow and OpenCV, which no other command needs to begin

    export = export_plan("zip", out)
    async with DemoWeb() as web, await asyncio.to_thread(Database.ready, settings) as database:
        if not json:
            note(f"A small web is up on this machine, with pictures of {', '.join(web.keywords)}.")
        plan = CrawlPlan(
            sources=["openverse"],
            allow_private=True,
            overrides=Overrides(
                hosts=web.hosts,
                source_urls={"openverse": web.openverse_url},
                max_bytes=2_000_000,
                interval=0.01,  # this web is ours and in a hurry; all other manners are as anywhere
            ),
            rules={"min_width": 64, "min_height": 64},
            export=export,
        )
        queries = crawl_jobs.plan_queries(web.keywords, plan, rows_per_chunk=settings.rows_per_chunk)
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
            project = await profiles.project_named(session, owner, "demo")
            job = await crawl_jobs.create(
                session, project, "Demo", web.keywords, plan, web.max_images, user_id=owner.id
            )
            await crawl_jobs.start(session, job.id, queries, user_id=owner.id)
        try:
            await run_and_report(settings, database, job.id, json=json)
        except Interrupted:
            # The web goes with this process, so there is nothing left to go on with.
            async with database.transaction() as session:
                await crawl_jobs.cancel(session, job.id, user_id=owner.id)
            note("\nInterrupted. Start again with: gleanset demo")
            raise typer.Exit(130) from None
