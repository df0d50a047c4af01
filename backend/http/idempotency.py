"""Requests that may be sent twice: a caller who heard no answer sends the same again, under the same key."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A word of your own for this request. Sent again with the same body, it makes nothing new and gets"
        " what it made the first time; with another body it is a conflict.",
    ),
]
