"""The calls about jobs: asked for, started, waited for, stopped, taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from gleanset.client import events
from gleanset.client.calls import create, pages
from gleanset.client.http import Http
from gleanset.client.values import (
    Change,
    Comparison,
    CrawlJob,
    ExportJob,
    FollowUp,
    Job,
    Link,
    Progress,
    Project,
    Summary,
    ValidationJob,
    Verdict,
    number,
)
from gleanset.errors import ClientError, JobFailed

AnyJob = TypeVar("AnyJob", bound=Job)
AnyFollowUp = TypeVar("AnyFollowUp", bound=FollowUp)
Keywords = list[str] | dict[str, list[str]]
Told = Callable[[Progress], object]
"""Is given every state of a run that is waited for."""


class _Jobs(Generic[AnyJob]):
    """What can be done with every kind of job."""

    _path: ClassVar[str]
    _kind: type[AnyJob]

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, job: AnyJob | int) -> AnyJob:
        """The job as it stands now."""
        return self._kind.model_validate_json(self._http.get(f"{self._path}/{number(job)}"))

    def cancel(self, job: AnyJob | int) -> AnyJob:
        """Stop it. Raises Conflicting when it has ended."""
        return self._act(job, "cancel")

    def retry(self, job: AnyJob | int) -> AnyJob:
        """Go on with a failed or cancelled job. Raises Conflicting for any other."""
        return self._act(job, "retry")

    def _act(self, job: AnyJob | int, verb: str) -> AnyJob:
        return self._kind.model_validate_json(self._http.send("POST", f"{self._path}/{number(job)}/{verb}"))

    def _delete(self, job: AnyJob | int) -> None:
        self._http.send("DELETE", f"{self._path}/{number(job)}")


class CrawlJobs(_Jobs[CrawlJob]):
    _path, _kind = "/crawl-jobs", CrawlJob

    def create(
        self,
        project: Project | int,
        name: str,
        keywords: Keywords | None = None,
        max_images: int = 1000,
        **options: Any,
    ) -> CrawlJob:
        """A new job, which `start` puts into the queue.

        In a plain list of keywords each is its own label; a dict has the keywords of each label. `options` are those of
        the API: sources, lists, websites, licences, resize, keep_original, rules, export.
        """
        if isinstance(options.get("export"), str):
            options["export"] = {"format": options["export"]}
        body = {"project_id": number(project), "name": name, "keywords": keywords or [], "max_images": max_images}
        return create(self._http, self._path, CrawlJob, body | {"options": options})

    def list(self, project: Project | int | None = None, status: str | None = None) -> Iterator[CrawlJob]:
        """All that you may see, the newest first."""
        project_id = None if project is None else number(project)
        return pages(self._http, self._path, CrawlJob, project_id=project_id, status=status)

    def start(self, job: CrawlJob | int) -> CrawlJob:
        """Put it into the queue."""
        return self._act(job, "start")

    def refresh(self, job: CrawlJob | int, **changes: Any) -> CrawlJob:
        """A new job, started at once, that visits this one's images again and looks for new ones."""
        return create(self._http, f"{self._path}/{number(job)}/refresh", CrawlJob, changes)

    def delete(self, job: CrawlJob | int) -> None:
        """Remove a job that is not under way, with its images, validations and exports."""
        self._delete(job)

    def progress(self, job: CrawlJob | int) -> Progress:
        """Where its run stands."""
        return Progress.model_validate_json(self._http.get(f"{self._path}/{number(job)}/progress"))

    def follow(self, job: CrawlJob | int, timeout: float | None = None) -> Iterator[Progress]:
        """The state of its run at once and after every change, until it is settled."""
        return events.follow(self._http, number(job), timeout)

    def wait(self, job: CrawlJob | int, told: Told | None = None, timeout: float | None = None) -> Progress:
        """How its run ended: the crawl, and the validation and export that belong to it.

        Raises JobFailed when one of them failed or was cancelled, WaitedTooLong after `timeout` seconds, and
        ClientError when nobody has started the job.
        """
        if not self.get(job).is_started:
            raise ClientError(f"The crawl job {number(job)} is not started, so it does not end.")
        latest: Progress | None = None
        for latest in self.follow(job, timeout):
            if told is not None:
                told(latest)
        latest = latest or self.progress(job)
        for part in (latest.crawl_job, latest.validation_job, latest.export_job):
            if part is not None:
                _completed(part)
        return latest


class _FollowUps(_Jobs[AnyFollowUp]):
    """Jobs about the images of a crawl job, whose events tell of them."""

    def wait(self, job: AnyFollowUp | int, told: Told | None = None, timeout: float | None = None) -> AnyFollowUp:
        """The job when it is completed. Raises JobFailed when it failed or was cancelled, WaitedTooLong."""
        until = None if timeout is None else time.monotonic() + timeout
        now = self.get(job)
        while not now.has_ended:
            left = None if until is None else max(0.0, until - time.monotonic())
            for state in events.follow(self._http, now.crawl_job_id, left):
                if told is not None:
                    told(state)
                now = self._in(state, now.id) or self.get(now.id)
                if now.has_ended:
                    break
            else:
                time.sleep(1.0)  # a later one has ended before it, and with that the events
                now = self.get(now.id)
        return _completed(now)

    def _in(self, state: Progress, job_id: int) -> AnyFollowUp | None:
        for part in (state.validation_job, state.export_job):
            if isinstance(part, self._kind) and part.id == job_id:
                return part
        return None


class ValidationJobs(_FollowUps[ValidationJob]):
    _path, _kind = "/validation-jobs", ValidationJob

    def list(self, job: CrawlJob | int | None = None, status: str | None = None) -> Iterator[ValidationJob]:
        """All that you may see, or those of one crawl job; the newest first."""
        crawl_job_id = None if job is None else number(job)
        return pages(self._http, self._path, ValidationJob, crawl_job_id=crawl_job_id, status=status)

    def create(
        self, job: CrawlJob | int, rules: Mapping[str, Any] | None = None, name: str | None = None
    ) -> ValidationJob:
        """Judge all images of a crawl job that has ended; the latest validation that is completed decides."""
        body = {"crawl_job_id": number(job), "name": name, "validation_rules": dict(rules or {})}
        return create(self._http, self._path, ValidationJob, body)

    def preview(self, job: CrawlJob | int, rules: Mapping[str, Any]) -> Summary:
        """What a validation by these rules would find. Nothing is written."""
        path = f"/crawl-jobs/{number(job)}/rules/preview"
        return Summary.model_validate_json(self._http.send("POST", path, body={"rules": dict(rules)}, again=True))

    def summary(self, job: ValidationJob | int) -> Summary:
        """How many images broke each rule."""
        return Summary.model_validate_json(self._http.get(f"{self._path}/{number(job)}/summary"))

    def verdicts(
        self, job: ValidationJob | int, valid: bool | None = None, reason: str | None = None
    ) -> Iterator[Verdict]:
        """What was found about each image, in the order of the images."""
        return pages(self._http, f"{self._path}/{number(job)}/verdicts", Verdict, valid=valid, reason=reason)

    def compare(self, job: ValidationJob | int, since: ValidationJob | int) -> Comparison:
        """How its verdicts differ from those of `since`, an earlier one of the same crawl job, and why."""
        answer = self._http.get(f"{self._path}/{number(job)}/changes", {"since": number(since)})
        return Comparison.model_validate_json(answer)

    def changes(
        self, job: ValidationJob | int, since: ValidationJob | int, change: str | None = None
    ) -> Iterator[Change]:
        """The images about which the two do not say the same, in the order of the images; only those whose verdict
        changed so, when `change` is became_valid, became_invalid or other_reasons."""
        path = f"{self._path}/{number(job)}/changes/images"
        return pages(self._http, path, Change, since=number(since), change=change)


class ExportJobs(_FollowUps[ExportJob]):
    _path, _kind = "/export-jobs", ExportJob

    def list(
        self,
        job: CrawlJob | int | None = None,
        project: Project | int | None = None,
        name: str | None = None,
        status: str | None = None,
    ) -> Iterator[ExportJob]:
        """All that you may see, or those of one crawl job, one project, one name; the newest first."""
        wanted = {"crawl_job_id": job, "project_id": project}
        numbers = {field: None if thing is None else number(thing) for field, thing in wanted.items()}
        return pages(self._http, self._path, ExportJob, **numbers, name=name, status=status)

    def create(self, job: CrawlJob | int, name: str, format: str = "zip", **options: Any) -> ExportJob:  # noqa: A002
        """Pack the valid images of a crawl job that has ended. `options` are the API's `export_options`."""
        body = {"crawl_job_id": number(job), "name": name, "format": format, "export_options": options}
        return create(self._http, self._path, ExportJob, body)

    def delete(self, job: ExportJob | int) -> None:
        """Remove an export that has ended, and its file."""
        self._delete(job)

    def link(self, job: ExportJob | int) -> Link:
        """A link that downloads the file without a login, for an hour."""
        answer = self._http.send("POST", f"{self._path}/{number(job)}/link", again=True)
        link = Link.model_validate_json(answer)
        return link.model_copy(update={"url": f"{self._http.url}{link.url}"})


def _completed(job: AnyJob) -> AnyJob:
    """The job, when it went well. Raises JobFailed."""
    if job.status != "completed":
        noun = "export" if isinstance(job, ExportJob) else "validation" if isinstance(job, ValidationJob) else "crawl"
        why = f": {job.error_message}" if job.error_message else "."
        raise JobFailed(f"The {noun} job {job.id}, {job.name!r}, is {job.status}{why}", job)
    return job
