"""The engine's one error tree.

    GleansetError
    ├── SourceError             a source cannot answer: bad query, bad key, service down, list unreadable
    │   └── UnknownSource
    ├── OutcomeError            one image cannot be had; carries a Reason and becomes an outcome
    │   ├── FetchFailed         the world said no: DNS, timeout, 404 ...
    │   └── ImageRefused        we said no: private address, too large, not an image ...
    ├── RuleError               a validation rule is unknown, malformed or contradicts another
    ├── StoreError              a blob cannot be written or read
    ├── DecoderError            no process can be had that decodes images
    ├── ExportError             a dataset cannot be packed
    │   ├── NotAnExport         what was given to be read is no dataset, or cannot be had
    │   ├── NotDelivered        a packed dataset does not get to where it was asked for
    │   └── ExportDamaged       a packed dataset cannot be read to its end
    └── ClientError             the client did not get what it asked for
        ├── Unreachable         no answer from the server, or half of one
        ├── ApiError            the server said no; carries its status, code, details and request id
        │   ├── AccessDenied    401, 403
        │   ├── NotThere        404, 410
        │   ├── Conflicting     409, with the state that things are in
        │   ├── InvalidRequest  413, 422, with what is wrong in which field
        │   ├── Throttled       429, with after how many seconds to try again
        │   └── ServerFault     5xx
        ├── JobFailed           a job that was waited for has failed or was cancelled
        ├── WaitedTooLong       the job goes on, but nobody waits for it any more
        ├── DownloadError       a download does not come to an end, or is not what the server says it has
        └── DatasetError        a file is no dataset that can be read, or is damaged

Foreign exceptions are mapped to these where they arise; nothing else leaves the engine on purpose.
Messages are whole sentences for a person: what happened, and what to do where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gleanset.types import Reason


class GleansetError(Exception):
    """Base of every error the engine raises on purpose."""


class SourceError(GleansetError):
    """A source of candidates cannot answer. `retryable` says whether asking again later may help, and `ready_in` after
    how many seconds its service will answer again, where it says so."""

    def __init__(self, message: str, *, retryable: bool = False, ready_in: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.ready_in = ready_in


class UnknownSource(SourceError):
    """No source has this name."""


class OutcomeError(GleansetError):
    """One image cannot be had, for a known reason. `cause`: why a host that is left alone did not answer at first.
    `quiet`: for how many seconds more it wants to be left alone."""

    def __init__(
        self, reason: Reason, detail: str = "", *, cause: Reason | None = None, quiet: float | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.quiet = quiet
        self.reason = reason
        self.detail = detail
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), cause=self.cause), (self.reason, self.detail)

    @property
    def told(self) -> str:
        """What happened in the first place, for a person."""
        sentence = (self.cause or self.reason).sentence
        return f"{sentence} ({self.detail})" if self.detail else sentence


class FetchFailed(OutcomeError):
    """The other side, or the way to it, did not give the image."""


class ImageRefused(OutcomeError):
    """Gleanset itself declined the image, before or after reading it."""


class RuleError(GleansetError):
    """A validation rule is unknown, malformed or contradicts another. `rule`: which one, of several the last."""

    def __init__(self, message: str, rule: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule


class StoreError(GleansetError):
    """A blob cannot be written or read."""


class DecoderError(GleansetError):
    """The processes that decode images cannot be started, or fail in a way of their own."""


class ExportError(GleansetError):
    """A dataset cannot be packed."""


class NotAnExport(ExportError):
    """What was given to be read is no packed dataset, or cannot be had at all."""


class NotDelivered(ExportError):
    """A packed dataset cannot be put to where it was asked for; it is packed all the same."""


class ExportDamaged(ExportError):
    """A packed dataset cannot be read to its end: cut off, altered, or built to do harm."""


class ClientError(GleansetError):
    """The client did not get what it asked for."""


class Unreachable(ClientError):
    """No answer from the server, or half of one."""


class ApiError(ClientError):
    """The server said no. `code` is a word for programs; its log knows the request by `request_id`."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "error",
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.request_id = status, code, request_id
        self.details = dict(details or {})


class AccessDenied(ApiError):
    """The key is missing, not good, or does not reach that far."""


class NotThere(ApiError):
    """There is no such thing, it is not yours, or it is gone."""


class Conflicting(ApiError):
    """The state of things does not allow it. `current` is that of the job, where a job is meant."""

    @property
    def current(self) -> str | None:
        return self.details.get("current")


class InvalidRequest(ApiError):
    """What was asked is not right. `fields` tells what is wrong with which field."""

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.details.get("fields") or {})


class Throttled(ApiError):
    """More than a limit allows just now. `retry_after`: seconds."""

    @property
    def retry_after(self) -> float | None:
        return self.details.get("retry_after")


class ServerFault(ApiError):
    """The server has a trouble of its own."""


class JobFailed(ClientError):
    """A job that was waited for has failed or was cancelled. `job` is what it ended as."""

    def __init__(self, message: str, job: object) -> None:
        super().__init__(message)
        self.job = job


class WaitedTooLong(ClientError):
    """The time to wait for a job is over; the job itself goes on."""


class DownloadError(ClientError):
    """A download does not come to an end, or its bytes are not what the server says it has."""


class DatasetError(ClientError):
    """A file is no dataset that can be read here, or is damaged."""
