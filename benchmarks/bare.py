"""The least that answers with a page of images: FastAPI, psycopg and one SELECT. `python -m benchmarks.bare FILE`

No log-in, no question whose job it is, no cursor, no log: the rows go out as psycopg has them, or the JSON as
PostgreSQL has written it. What a service adds to that is the difference between this and Gleanset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool


def create(database: str, statement: str, as_json: str, values: dict[str, Any], place: str) -> FastAPI:
    """The application. `statement` gives rows, `as_json` the same as one JSON text; `place`: which of their values is
    the id behind which the page begins."""
    pool = AsyncConnectionPool(database, min_size=10, max_size=30, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/images")
    async def images(after: int = 0) -> Response:
        async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement.encode(), values | {place: after})
            rows = await cursor.fetchall()
        return Response(json.dumps({"items": rows}), media_type="application/json")

    @app.get("/json")
    async def images_as_json(after: int = 0) -> Response:
        async with pool.connection() as connection:
            cursor = await connection.execute(as_json.encode(), values | {place: after})
            row = await cursor.fetchone()
        assert row is not None
        return Response(f'{{"items": {row[0]}}}', media_type="application/json")

    return app


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    port = given.pop("port")
    uvicorn.run(create(**given), port=port, log_level="warning", access_log=False)
