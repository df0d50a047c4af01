"""`gleanset crawl`, `validate` and `export`."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated

import typer

from backend.cli import packing
from backend.cli.delivery import deliver, export_plan
from backend.cli.display import Display, as_json, note, print_summary
from backend.cli.given import check_given
from backend.cli.preview import preview
from backend.cli.rules import Json, Rule, Rules, dry_run, parse_rules
from backend.cli.run import Interrupted, run_to_end
from backend.config import Settings, get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import LONGEST_KEYWORD
from backend.schemas.plans import OWN_HOST, CrawlPlan, ExportPlan, PictureFolder, UrlList, Website
from backend.services import crawl_jobs, exports, profiles, validation
from backend.services.reports import report
from backend.tasks.lists import copy_lists
from gleanset.export import FORMATS
from gleanset.rules import RuleSet
from gleanset.sources import SOURCES
from gleanset.sources.licence import parse_licences
from gleanset.sources.website import MOST_DEPTH, MOST_PAGES

Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Where to put the dataset: a file such as pets.zip, a folder, or s3://bucket/place. Must not exist yet.",
    ),
]
SEARCHED = [name for name, info in SOURCES.items() if info.searched]
Format = Annotated[str | None, typer.Option("--export", help=f"Pack the valid images: {', '.join(FORMATS)}.")]


def crawl(
    context: typer.Context,
    keywords: Annotated[list[str] | None, typer.Argument(metavar="KEYWORD...", help="What to look for.")] = None,
    *,
    urls: Annotated[
        list[str] | None,
        typer.Option(
            "--urls", metavar="FILE", help="A list of image URLs: txt, csv, tsv, jsonl, parquet, also .gz or https://."
        ),
    ] = None,
    url_column: Annotated[str | None, typer.Option(help="The list's column with the URL; guessed otherwise.")] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="The list's column with the label; else one named label, if there is one."),
    ] = None,
    website: Annotated[
        list[str] | None,
        typer.Option("--website", metavar="URL", help="A site to read from this page or sitemap on. Repeatable."),
    ] = None,
    depth: Annotated[int, typer.Option(min=0, max=MOST_DEPTH, help="Links away from a website's start.")] = 1,
    pages: Annotated[int, typer.Option(min=1, max=MOST_PAGES, help="Pages to read of a website at most.")] = 100,
    sitemaps: Annotated[bool, typer.Option("--sitemaps", help="Read the website's sitemaps too.")] = False,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            "--folder", metavar="PATH", help="Pictures at hand: a folder, a zip or a tar; subfolders name the labels."
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="One label for the whole list, website or folder.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help=f"A source to ask: {', '.join(SEARCHED)}; openverse otherwise. Repeatable; see `gleanset sources`.",
        ),
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(
            "--license",
            metavar="LICENCES",
            help="Licences to keep to: cc0,by and the like, commercial, modification, open, unknown. Repeatable.",
        ),
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(
            "-n", "--max-images", min=1, max=2**31 - 1, help="Images to gather: 1000, or all of a list or folder."
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(min=16, max=16384, help="Keep copies with this shorter side in pixels, not the originals."),
    ] = None,
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="With --resize: keep the originals beside their copies.")
    ] = False,
    rules: Rules = None,
    rule: Rule = None,
    export: Format = None,
    out: Out = None,
    split: packing.Split = None,
    folds: packing.Folds = None,
    fixed_test: packing.FixedTest = None,
    follow: packing.Follow = None,
    related: packing.Related = None,
    seed: packing.Seed = None,
    labels: packing.Labels = None,
    export_resize: packing.ExportResize = None,
    rename: packing.Rename = None,
    max_shard_size: packing.MaxShardSize = None,
    metadata: packing.Metadata = True,
    project: Annotated[str, typer.Option(help="The project the job belongs to; made when missing.")] = "default",
    name: Annotated[
        str | None, typer.Option(help="The job's name; keywords, lists, websites and folders otherwise.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Allow loopback and private addresses: your own servers only.")
    ] = False,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--own",
            metavar="HOST",
            help="A host of yours, or *.example.org: no robots.txt, opt-outs or pauses there. Repeatable.",
        ),
    ] = None,
    refresh: Annotated[
        int | None,
        typer.Option(
            "--refresh",
            metavar="JOB",
            help="Visit a finished job's images again, and look for new ones; all else is taken from that job.",
        ),
    ] = None,
    first_look: Annotated[
        bool,
        typer.Option("--preview", help="Only show what the sources offer first: 12, or -n up to 24. Starts nothing."),
    ] = False,
    json: Json = False,
) -> None:
    """Gather images, judge them, and pack the valid ones.

    For instance: gleanset crawl cat dog -n 200 --rule min_width=256 --export zip --out pets.zip

    Or your own list: gleanset crawl --urls list.csv --label-column class --out mine.zip

    Or the pages of a site: gleanset crawl --website https://example.org/birds/ --depth 2 -n 500

    Or pictures you have, such as an unpacked dataset: gleanset crawl --folder pictures/ --out mine.zip

    A first look, before anything is gathered: gleanset crawl tern --license commercial --preview

    What has changed since, in a job of its own: gleanset crawl --refresh 1

    Divided without leaks: gleanset crawl cat dog --out pets.zip --split 80/10/10

    Ctrl-C loses nothing: `gleanset jobs retry ID` goes on.
    """
    check_given(context)
    options = packing.export_options(
        split=split,
        folds=folds,
        fixed_test=fixed_test,
        follow=follow,
        related=related,
        seed=seed,
        labels=labels,
        resize=export_resize,
        rename=rename,
        max_shard_size=max_shard_size,
        metadata=metadata,
    )
    packed = packing.with_options(export_plan(export, out), options)
    if refresh is not None:
        asyncio.run(_refresh(get_settings(), refresh, max_images, packed, json=json))
        return
    words, urls, website, folder = keywords or [], once(urls), once(website), once(folder)
    for text in (*words, project, *(given for given in (name, label) if given is not None)):
        check_text(text)
    for url in website:
        check_text(url[:LONGEST_KEYWORD])
    named = RuleSet.parse(*parse_rules(rule, rules))
    plan = CrawlPlan(
        sources=once(source) or (["openverse"] if words else []),
        lists=[
            UrlList(path=absolute(given), url_column=url_column, label_column=label_column, label=label)
            for given in urls
        ],
        websites=[Website(url=url, depth=depth, max_pages=pages, sitemaps=sitemaps, label=label) for url in website],
        folders=[PictureFolder(path=absolute(given), label=label) for given in folder],
        licences=sorted(parse_licences(licence)) if licence else None,
        allow_private=allow_private,
        own_hosts=parse_own(own),
        resize=resize,
        keep_original=keep_original,
        rules=named.rules.as_dict(),
        rules_name=named.name,
        export=packed,
    )
    if first_look:
        asyncio.run(preview(get_settings(), words, plan, max_images, json=json))
        return
    title = name or ", ".join([*words, *map(last_part, urls), *website, *map(last_part, folder)])
    asyncio.run(_crawl(get_settings(), words, plan, max_images, (project, title), json=json))


async def _crawl(
    settings: Settings, words: list[str], plan: CrawlPlan, max_images: int | None, names: tuple[str, str], *, json: bool
) -> None:
    plan = await copy_lists(settings, plan, tell=lambda text: None if json else note(text))
    queries = await asyncio.to_thread(
        crawl_jobs.plan_queries, words, plan, rows_per_chunk=settings.rows_per_chunk, options=settings.sources
    )
    async with await asyncio.to_thread(Database.ready, settings) as database:
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
            project = await profiles.project_named(session, owner, names[0][:100])
            wanted = max_images or crawl_jobs.rows_of(queries) or 1000
            job = await crawl_jobs.create(session, project, names[1][:100], words, plan, wanted, user_id=owner.id)
            await crawl_jobs.start(session, job.id, queries, user_id=owner.id)
        await run_and_report(settings, database, job.id, json=json)


async def _refresh(
    settings: Settings, old_id: int, max_images: int | None, packed: ExportPlan | None, *, json: bool
) -> None:
    async with await asyncio.to_thread(Database.ready, settings) as database:
        async with database.transaction() as session:
            old = await crawl_jobs.finished(session, old_id)
        plan = CrawlPlan.model_validate(old.options).model_copy(update={"export": packed})
        if plan.folders:
            raise BadInput(
                f"Crawl job {old_id} took in a folder, which has no addresses to visit again: crawl it anew."
            )
        plan = await copy_lists(settings, plan, tell=lambda text: None if json else note(text))
        size = settings.rows_per_chunk
        queries = await asyncio.to_thread(
            crawl_jobs.plan_queries, old.keywords, plan, rows_per_chunk=size, options=settings.sources
        )
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
            old = await crawl_jobs.finished(session, old_id)
            wanted = max_images or old.max_images
            job = await crawl_jobs.refresh(
                session, old, plan, queries, max_images=wanted, rows_per_chunk=size, user_id=owner.id
            )
        await run_and_report(settings, database, job.id, json=json)


def validate(
    job: Annotated[int, typer.Argument(help="Number of the crawl job.")],
    *,
    rules: Rules = None,
    rule: Rule = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only tell what each rule would refuse.")] = False,
    json: Json = False,
) -> None:
    """Judge a crawl job's images, again or by other rules. Nothing is downloaded or decoded for it."""
    named = RuleSet.parse(*parse_rules(rule, rules))
    if dry:
        asyncio.run(dry_run(job, named, json=json))
        return

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                crawl_job = await crawl_jobs.finished(session, job)
                owner, held = await profiles.local_owner(session), named.rules.as_dict()
                await validation.create(session, crawl_job, held, rules_name=named.name, user_id=owner.id)
            await run_and_report(settings, database, job, json=json, with_export=False)

    asyncio.run(run())


def export(
    job: Annotated[int, typer.Argument(help="Number of the crawl job.")],
    *,
    export_format: Annotated[
        str | None, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}; as --out ends, or zip, otherwise.")
    ] = None,
    validation_job: Annotated[
        int | None, typer.Option("--validation", help="Whose verdicts decide; the latest validation otherwise.")
    ] = None,
    out: Out = None,
    name: Annotated[str | None, typer.Option(help="The dataset's name; that of the crawl job otherwise.")] = None,
    split: packing.Split = None,
    folds: packing.Folds = None,
    fixed_test: packing.FixedTest = None,
    follow: packing.Follow = None,
    related: packing.Related = None,
    seed: packing.Seed = None,
    labels: packing.Labels = None,
    resize: packing.Resize = None,
    rename: packing.Rename = None,
    max_shard_size: packing.MaxShardSize = None,
    metadata: packing.Metadata = True,
    json: Json = False,
) -> None:
    """Pack a crawl job's valid images into a dataset.

    In three parts, without leaks: gleanset export 1 --split 80/10/10 --out birds.zip

    The next version, with the test set of export 3 (`gleanset exports list` tells the number): gleanset export 2
    --split 80/10/10 --fixed-test 3 --out birds-2.zip

    For cross-validation, two labels, small squares: gleanset export 1 --folds 5 --labels gull,tern --resize crop:224
    """
    if name is not None:
        check_text(name)
    options = packing.export_options(
        split=split,
        folds=folds,
        fixed_test=fixed_test,
        follow=follow,
        related=related,
        seed=seed,
        labels=labels,
        resize=resize,
        rename=rename,
        max_shard_size=max_shard_size,
        metadata=metadata,
        validation=validation_job,
    )
    plan = packing.with_options(export_plan(export_format, out) or ExportPlan(), options) or ExportPlan()

    async def run() -> None:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                crawl_job = await crawl_jobs.finished(session, job)
                owner = await profiles.local_owner(session)
                made = await exports.create(session, crawl_job, owner.id, plan.format, exports.options_of(plan), name)
            await run_and_report(settings, database, job, json=json, export_job_id=made.id)

    asyncio.run(run())


async def run_and_report(
    settings: Settings,
    database: Database,
    job_id: int,
    *,
    json: bool,
    with_export: bool = True,
    export_job_id: int | None = None,
) -> None:
    """Run the job, or one export of it, to its end in this process, put the dataset where it was asked for, print what
    came of it, and exit with 1 when it failed."""
    try:
        now = await run_to_end(settings, database, job_id, Display(quiet=json), export_job_id)
    except Interrupted:
        if json:
            async with database.transaction() as session:
                typer.echo(as_json(await report(session, job_id, export_job_id=export_job_id), None))
        raise
    path = await deliver(database, now.export) if with_export else None
    if path is not None:
        async with database.transaction() as session:
            now = await report(session, job_id, export_job_id=export_job_id)
    now = replace(now, asked=True)
    if json:
        typer.echo(as_json(now, path))
    else:
        print_summary(now, path)
    if now.status != JobStatus.COMPLETED:
        raise typer.Exit(1)


def once(given: list[str] | None) -> list[str]:
    """What is named twice is asked once."""
    return list(dict.fromkeys(given or []))


def absolute(given: str) -> str:
    """The path of a list or folder for a worker that runs elsewhere; an address stays as it is."""
    return given if "://" in given else str(Path(given).absolute())


def last_part(given: str) -> str:
    """What a person calls a list or folder."""
    path = given.partition("?")[0] if "://" in given else absolute(given)
    return PurePath(path).name or given


def check_text(text: str) -> None:
    """Refuse what is no name for anything. Raises BadInput."""
    if not text.strip():
        raise BadInput("A keyword, label or name is empty.")
    if len(text) > LONGEST_KEYWORD:
        raise BadInput(f"A keyword, label or name has at most {LONGEST_KEYWORD} characters; one has {len(text)}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"A keyword, label or name is not valid UTF-8: {text!r}.") from None


def parse_own(given: list[str] | None) -> list[str]:
    """Names of hosts as a plan keeps them. Raises BadInput."""
    for name in given or []:
        if not re.fullmatch(OWN_HOST, name):
            raise BadInput(f"A host of yours looks like pictures.example.org or *.example.org, not {name!r}.")
        if name.startswith("*.") and name.count(".") == 1:
            raise BadInput(f"{name} would be all hosts below {name[2:]}: name one such as *.example.{name[2:]}.")
    return given or []
