"""The least that answers with a page of images: FastAPI, psycopg and one SELECT. `python -m benchmarks.bare FILE`

No log-in, no question whose job it is, no cursor, no log: the rows go out as psycopg has them. What a service adds to
that is the difference between this and Gleanset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool


def create(database: str, statement: str, values: dict[str, Any], place: str) -> FastAPI:
    """The application. `place`: which of the statement's values is the id behind which the page begins."""
    pool = AsyncConnectionPool(database, min_size=10, max_size=30, open=False, kwargs={"row_factory": dict_row})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/images")
    async def images(after: int = 0) -> Response:
        async with pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), values | {place: after})
            rows = await cursor.fetchall()
        return Response(json.dumps({"items": rows}, default=_plain), media_type="application/json")

    return app


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    port = given.pop("port")
    uvicorn.run(create(**given), port=port, log_level="warning", access_log=False)
