"""How a task's end that is not a success is told apart and worded."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from procrastinate import JobContext
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.job_context import AbortReason
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from backend.errors import ServiceError
from gleanset.errors import GleansetError, SourceError


@contextmanager
def aborted_by_user(context: JobContext) -> Generator[None]:
    """A task that is cancelled on request is over; one whose worker stops goes back to the queue."""
    try:
        yield
    except asyncio.CancelledError:
        if context.abort_reason() is AbortReason.USER_REQUEST:
            raise JobAborted from None
        raise


def passing(failure: Exception) -> bool:
    """Whether trying again may help: the source says so, or it is the database."""
    if isinstance(failure, SourceError):
        return failure.retryable
    return isinstance(failure, DBAPIError)


def sentence(error: Exception) -> str:
    """The error as one sentence for the job's row. What the database says is for the log."""
    if isinstance(error, SQLAlchemyError | psycopg.Error | ConnectorException):
        return "The database could not do its part. Try the job again; if that fails too, the worker's log tells why."
    return _first_line(error)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def told(error: Exception) -> dict[str, Any]:
    """What the log says of it: one line with the cause. Where in our code it arose is told of what nobody expected."""
    return {"cause": _first_line(error)} | (
        {} if isinstance(error, GleansetError | ServiceError) else {"exc_info": error}
    )
