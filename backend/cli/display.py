"""How a run looks on a terminal, and in lines when nobody looks on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.models.enums import Delivery, ImageChange, JobStatus
from backend.services import deliveries
from backend.services.reports import Report
from gleanset.rules import CUSTOM
from gleanset.types import Reason

_LINE_EVERY = 5.0
_PHASES = ("gather", "judge", "pack")
_CHANGES = {
    ImageChange.NEW: "The job did not have it.",
    ImageChange.UNCHANGED: "The same bytes; where the server could say so, they were not sent again.",
    ImageChange.CHANGED: "Other bytes under the same URL.",
    ImageChange.DEAD: "The server has no such file any more.",
    ImageChange.OPTED_OUT: "robots.txt or an opt-out keeps it out now.",
    ImageChange.LOST: "It could not be had for another reason.",
}


class Display:
    """Progress of a run, on standard error: bars for a person, a line now and then for a log, nothing when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<7}"),
                BarColumn(bar_width=28),
                TaskProgressColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def show(self, now: Report) -> None:
        """The run as it stands."""
        if self._bars is not None:
            for phase, job in zip(_PHASES, (now.crawl, now.validation, now.export), strict=True):
                if job is not None:
                    self._bar(phase, job, now)
        elif not self._quiet and (now.settled or time.monotonic() - self._last_line > _LINE_EVERY):
            self._last_line = time.monotonic()
            self._console.print(_line(now), soft_wrap=True)

    def _bar(self, phase: str, job: CrawlJob | ValidationJob | ExportJob, now: Report) -> None:
        assert self._bars is not None
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=100, facts="")
        self._bars.update(self._tasks[phase], completed=job.progress, facts=_facts(job, now))


def _facts(job: CrawlJob | ValidationJob | ExportJob, now: Report) -> str:
    match job:
        case CrawlJob():
            refused = ", ".join(f"{reason} {count}" for reason, count in list(now.failures.items())[:3])
            rate = f"{job.downloaded_images:,} images, {now.images_per_second:.0f}/s, {decimal(now.bytes)}"
            facts = f"{rate}; not had: {refused}" if refused else rate
            return f"{facts}; {now.waiting[0].lower()}{now.waiting[1:]}" if now.waiting else facts
        case ValidationJob():
            return f"{job.validated_images - job.invalid_images:,} valid, {job.invalid_images:,} invalid"
        case ExportJob():
            packed = f"{job.exported_images:,} of {job.total_images:,} packed"
            if job.delivery == Delivery.BEGUN and job.file_size:
                return f"{packed}, {decimal(job.file_size)} on the way to {deliveries.destination(job)}"
            return packed


def _line(now: Report) -> str:
    job = now.export or now.validation or now.crawl
    phase = _PHASES[0 if now.validation is None else 1 if now.export is None else 2]
    return f"job {now.crawl.id}: {phase} {job.progress} %: {_facts(job, now)}"


def as_json(now: Report, export_path: str | None, more: Mapping[str, Any] | None = None) -> str:
    """The run as one JSON object on one line, with `more` behind it."""
    crawl, validation, export = now.crawl, now.validation, now.export
    return json.dumps(
        {
            "project_id": crawl.project_id,
            "crawl_job_id": crawl.id,
            "validation_job_id": validation.id if validation else None,
            "export_job_id": export.id if export else None,
            "status": now.status,
            "total_images": crawl.total_images,
            "downloaded_images": crawl.downloaded_images,
            "valid_images": crawl.valid_images,
            "failures": now.failures,
            "invalid": now.invalid,
            "seconds": round(now.seconds_asked, 3),
            "images_per_second": round(now.images_per_second, 1),
            "export_path": export_path,
            "file_size": export.file_size if export else None,
        }
        | ({} if now.plan.refresh_of is None else {"refresh_of": now.plan.refresh_of, "changes": now.changes})
        | ({"splits": export.splits, "left_out_images": export.left_out_images} if export and export.splits else {})
        | ({"error": now.error} if now.error else {})
        | dict(more or {})
    )


def print_summary(now: Report, export_path: str | None) -> None:
    """What a person wants to know at the end of a run."""
    console = Console(highlight=False)
    crawl = now.crawl
    name = f"Crawl job {crawl.id}"
    if now.plan.refresh_of is not None:
        name += f", a refresh of job {now.plan.refresh_of},"
    status = crawl.status if crawl.status == JobStatus.COMPLETED else now.status
    console.print(
        f"{name} is {status}: {crawl.total_images:,} images met, {crawl.downloaded_images:,} gathered"
        f" ({decimal(now.bytes)}, {now.images_per_second:.0f}/s), "
        + (f"{crawl.valid_images:,} valid." if now.validation else "not validated yet."),
        soft_wrap=True,
    )
    for noun, job in (("validation", now.validation), ("export", now.export)):
        if job is not None and job.status != JobStatus.COMPLETED:
            console.print(f"Its {noun} {job.id} is {job.status}.")
    judged = now.validation
    if now.asked and judged is not None and judged not in now.run and judged.status == JobStatus.COMPLETED:
        console.print(Text(f"Judged by validation {judged.id}, rules {judged.rules_name or CUSTOM}."), soft_wrap=True)
    words = {change.value: sentence for change, sentence in _CHANGES.items()}
    print_counts(console, f"Since job {now.plan.refresh_of}", now.changes, words)
    print_counts(console, "Not had, and why", now.failures, {reason.value: reason.sentence for reason in Reason})
    if Reason.PRIVATE_ADDRESS in now.failures and not now.plan.allow_private:
        console.print("Are these servers your own? The option --allow-private lets them in.")
    print_counts(console, "Gathered but not valid, by broken rule", now.invalid, {})
    if now.error:
        console.print(Text(f"Error: {now.error}"), soft_wrap=True)
    if export_path and now.export and now.export.file_size:
        size = decimal(now.export.file_size)
        console.print(f"\nDataset: {now.export.exported_images:,} images, {size}, in", soft_wrap=True)
        console.print(Text(export_path), soft_wrap=True)
        for line in _division(now.export):
            console.print(line, soft_wrap=True)
    for line in (*taken_down(now.export), *undelivered(now.export)):
        console.print(Text(line), soft_wrap=True)


def is_taken_down(export: ExportJob) -> bool:
    """Whether images in its file were taken down since, so that nobody is given it."""
    return export.status == JobStatus.COMPLETED and export.taken_down_images > 0


def taken_down(export: ExportJob | None) -> Iterator[str]:
    """That a dataset is not given out any more, and how it comes again without what was taken down."""
    if export is not None and is_taken_down(export):
        were = f"{export.taken_down_images:,} of its images {'was' if export.taken_down_images == 1 else 'were'}"
        yield (
            f"{were} taken down since, so its file is not given out any more;"
            f" export again: gleanset export {export.crawl_job_id}"
        )


def undelivered(export: ExportJob | None) -> Iterator[str]:
    """That a dataset does not lie where it was asked for, and how it comes there."""
    if export is None or (out := deliveries.destination(export)) is None or export.delivery == Delivery.DONE:
        return
    if is_taken_down(export):
        return
    if export.status not in {JobStatus.PENDING, JobStatus.RUNNING}:
        yield f"It does not lie in {out} yet: gleanset exports retry {export.id}"
    elif export.delivery == Delivery.BEGUN:
        yield f"It is on its way to {out}."


def _division(export: ExportJob) -> Iterator[str]:
    """How the images were divided, and what that did to some of them."""
    if export.splits:
        counts = sorted(export.splits.items(), key=lambda split: (-split[1], split[0]))
        yield "Divided: " + ", ".join(f"{name} {count:,}" for name, count in counts)
    if export.left_out_images:
        yield f"Left out, because they would leak out of the fixed test set: {export.left_out_images:,}"
    if export.moved_images:
        yield f"Moved, because a new image ties what belongs together across splits: {export.moved_images:,}"


def print_counts(console: Console, title: str, counts: Mapping[str, int], sentences: Mapping[str, str]) -> None:
    """A table of reasons; nothing when there are none."""
    if not counts:
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for reason, count in counts.items():
        table.add_row(f"{count:>6,}", reason, sentences.get(reason, ""))
    console.print(f"\n{title}:", style="bold")
    console.print(table)


def complain(message: str) -> None:
    """One clear sentence on standard error."""
    Console(stderr=True, highlight=False).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def note(message: str) -> None:
    """A word to the person, which is not the command's output."""
    sys.stderr.write(message + "\n")
