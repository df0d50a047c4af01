"""`gleanset jobs images`: the images of a job by what is known of them, with the numbers that `decide` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import asked, in_transaction
from backend.cli.display import note
from backend.cli.listing import JsonList, as_api, print_list
from backend.errors import NotFound
from backend.models import CrawlJob, ValidationJob
from backend.models.enums import Choice, ImageOutcome
from backend.schemas.images import ImageFilter, ImageItem
from backend.services import search
from backend.services.access import alive

_PAGE = 200


def images(
    job: Annotated[int, typer.Argument(help="Number of the crawl job.")],
    *,
    label: Annotated[str | None, typer.Option(help="Only those of this label.")] = None,
    source: Annotated[str | None, typer.Option(help="Only those of this source.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="Only those of this licence, or unknown for none.")
    ] = None,
    outcome: Annotated[
        ImageOutcome | None,
        typer.Option(help="What became of it; downloaded, or with --reason whatever else, when it is not given."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why it was not had, as `gleanset jobs show` names it: not_found.")
    ] = None,
    valid: Annotated[bool | None, typer.Option("--valid/--invalid", help="What the rules say of it.")] = None,
    verdict: Annotated[str | None, typer.Option(metavar="RULE", help="A rule that it breaks: min_width.")] = None,
    validation: Annotated[
        int | None, typer.Option(help="The number of the validation whose verdicts count; the latest otherwise.")
    ] = None,
    decision: Annotated[Choice | None, typer.Option(help="What a person decided about it.")] = None,
    text: Annotated[str | None, typer.Option(help="In the title, the creator or the URL.")] = None,
    min_width: Annotated[int | None, typer.Option(help="At least so many pixels wide.")] = None,
    max_width: Annotated[int | None, typer.Option(help="At most so many pixels wide.")] = None,
    min_height: Annotated[int | None, typer.Option(help="At least so many pixels high.")] = None,
    max_height: Annotated[int | None, typer.Option(help="At most so many pixels high.")] = None,
    min_file_size: Annotated[int | None, typer.Option(help="At least so many bytes.")] = None,
    max_file_size: Annotated[int | None, typer.Option(help="At most so many bytes.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, in the order they were met.")
    ] = 50,
    after: Annotated[
        int, typer.Option("--after", metavar="IMAGE", min=0, max=2**63 - 1, help="Go on behind this image.")
    ] = 0,
    json: JsonList = False,
) -> None:
    """The images of a job, with the numbers by which `gleanset decide` keeps and rejects them.

    What a rule refuses, to look again: gleanset jobs images 1 --verdict min_sharpness --label tern

    What was not had, and why: gleanset jobs images 1 --outcome failed
    """
    wanted = asked(
        ImageFilter,
        label=label,
        source=source,
        licence=licence,
        outcome=outcome,
        reason=reason,
        valid=valid,
        verdict=verdict,
        validation_job_id=validation,
        decision=decision,
        text=text,
        min_width=min_width,
        max_width=max_width,
        min_height=min_height,
        max_height=max_height,
        min_file_size=min_file_size,
        max_file_size=max_file_size,
    )
    found, more = in_transaction(lambda session: _found(session, job, wanted, after, limit))
    nothing = f"Job {job} has no such image{' behind that one' if after else ''}."
    print_list(found, _table, nothing, as_api if json else None)
    if found and more is not None:
        note(f"There may be more: the same with --after {more}")


async def _found(
    session: AsyncSession, number: int, wanted: ImageFilter, after: int, limit: int
) -> tuple[list[ImageItem], int | None]:
    """As many as are wanted, if there are, and the image to go on behind."""
    job = await alive(session, CrawlJob, number)
    if wanted.validation_job_id is not None:
        its = select(ValidationJob.id).filter_by(id=wanted.validation_job_id, crawl_job_id=job.id)
        if await session.scalar(its) is None:
            raise NotFound(f"There is no validation {wanted.validation_job_id} of crawl job {job.id}.")
    found: list[ImageItem] = []
    place: int | None = after
    while place is not None and len(found) < limit:
        items, place = await search.page(session, job, wanted, place, min(_PAGE, limit - len(found)))
        found += items
    return found, place


def _table(found: Sequence[ImageItem]) -> Table:
    table = Table(
        Column("image", no_wrap=True),
        "label",
        Column("size", no_wrap=True),
        "licence",
        "verdict",
        "decision",
        Column("url", overflow="fold"),
        box=None,
        pad_edge=False,
    )
    for each in found:
        size = f"{each.width}x{each.height}" if each.width else ""
        licence = " ".join(filter(None, (each.licence, each.licence_version)))
        texts = (each.label or "", size, licence, _verdict(each), each.decision or "", each.original_url)
        table.add_row(str(each.id), *map(Text, texts))
    return table


def _verdict(image: ImageItem) -> str:
    """What the rules say, or why there is nothing to judge; empty when it was not judged."""
    if image.outcome is not ImageOutcome.DOWNLOADED:
        return f"{image.outcome}: {image.reason}" if image.reason else image.outcome
    if image.valid is None:
        return ""
    return ", ".join(image.verdict_reasons or ()) or "valid"
