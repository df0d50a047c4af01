"""The service's expected failures, each with its HTTP status and a sentence for a person.

ServiceError
├── NotLoggedIn            401
├── NotAllowed             403
├── NotFound               404
├── IllegalMove            409  the state does not allow it; carries the current state
├── Conflict               409
├── Gone                   410  it was there, and is not any more
├── BadInput               422
├── TooMany                429  carries after how many seconds to try again
├── TookTooLong            503  a question to the database that was given up
├── DatabaseUnavailable    503
├── ProviderUnavailable    503  the identity provider cannot be asked
└── SchemaOutdated         503
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """Base of the service's expected failures. `details` are for programs: figures, states, names of fields."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class NotLoggedIn(ServiceError):
    """Nobody is logged in, or the key or token is not good."""

    status = 401
    code = "not_logged_in"


class NotAllowed(ServiceError):
    """Known, but not entitled to this."""

    status = 403
    code = "not_allowed"


class NotFound(ServiceError):
    """There is no such thing, or it is not yours."""

    status = 404
    code = "not_found"


class IllegalMove(ServiceError):
    """A job cannot go from the state it is in to the one asked for."""

    status = 409
    code = "illegal_move"

    def __init__(self, message: str, *, current: str) -> None:
        super().__init__(message, current=current)
        self.current = current


class Conflict(ServiceError):
    """What was asked contradicts what is there."""

    status = 409
    code = "conflict"


class Gone(ServiceError):
    """It was there, and is not any more."""

    status = 410
    code = "gone"


class BadInput(ServiceError):
    """What was asked cannot be done as asked."""

    status = 422
    code = "bad_input"

    def __init__(self, message: str, *, field: str | None = None, **details: Any) -> None:
        """field: the path of what is not right in what was asked, `name` or `options.sources.0`; with `query.` before
        it what is not in the body."""
        if field is not None:
            place = field if field.startswith("query.") else f"body.{field}"
            details = {"fields": {place: message}, **details}
        super().__init__(message, **details)


class TooMany(ServiceError):
    """More than a limit allows just now."""

    status = 429
    code = "too_many"

    def __init__(self, message: str, *, retry_after: int, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)
        self.retry_after = retry_after


class TookTooLong(ServiceError):
    """The database was stopped in the middle of a question that would keep it from others."""

    status = 503
    code = "took_too_long"


class DatabaseUnavailable(ServiceError):
    """No connection to the database could be had."""

    status = 503
    code = "database_unavailable"


class ProviderUnavailable(ServiceError):
    """The identity provider did not tell its keys, so that its tokens cannot be checked."""

    status = 503
    code = "provider_unavailable"


class SchemaOutdated(ServiceError):
    """The database's migrations are behind this version of Gleanset."""

    status = 503
    code = "schema_outdated"
