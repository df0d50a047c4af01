"""What a job's row and the log say of a failure."""

from __future__ import annotations

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from backend.tasks.errors import sentence, told
from gleanset.errors import SourceError

CAUSE = psycopg.errors.NumericValueOutOfRange("integer out of range\nLINE 1")
OF_THE_DATABASE = [
    CAUSE,
    DBAPIError.instance("SELECT secret", {}, CAUSE, psycopg.Error),
    NoneFree("QueuePool limit of size 5"),
    ConnectorException("connection to 10.0.0.1"),
]


@pytest.mark.parametrize("error", OF_THE_DATABASE, ids=lambda error: type(error).__name__)
def test_what_the_database_says_is_for_the_log(error: Exception) -> None:
    assert sentence(error).startswith("The database could not do its part. Try the job again")
    assert str(error).splitlines()[0] in told(error)["cause"]


def test_a_failure_is_its_first_line() -> None:
    assert sentence(SourceError("The service is away.\nmore")) == "The service is away."
    assert sentence(ValueError()) == "ValueError"
