"""The web application: API and pages over one service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from backend import api, web
from backend.api.document import complete_document, operation_id
from backend.config import Settings
from backend.db import Database
from backend.http.access import check_routes, endpoints
from backend.http.bodies import BodyLimit
from backend.http.events import open_events
from backend.http.metrics import Measured, Metrics
from backend.http.middleware import RequestLine
from backend.http.oidc import provider_of
from backend.http.problems import PROBLEMS, add_problems
from backend.http.service import Service, load_secret
from backend.services.thumbnails import Thumbnails
from backend.tasks.preview import open_preview
from gleanset.store import Store


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The application. It uses the database, which the caller opens and closes, from start-up to shut-down.

    Raises LookupError when a route does not say who may use it.
    """

    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        store = Store(settings.store_place)
        thumbnails = Thumbnails(store, settings.max_pixels, settings.decoders)
        async with open_events(database) as events, open_preview(settings, database) as preview:
            app.state.service = Service(
                settings=settings,
                database=database,
                store=store,
                secret=load_secret(settings),
                events=events,
                thumbnails=thumbnails,
                metrics=metrics,
                preview=preview,
                provider=provider_of(settings),
            )
            yield

    app = FastAPI(
        title="Gleanset",
        version=version("gleanset"),
        summary="From keywords or URL lists to a clean, licensed, documented image dataset.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
        generate_unique_id_function=operation_id,
    )
    app.add_middleware(BodyLimit, uploads={r"/api/v1/lists|/projects/\d+/new": settings.max_upload_bytes})
    app.add_middleware(RequestLine)
    app.add_middleware(Measured, metrics)
    add_problems(app)
    api.mount(app)
    web.mount(app)
    check_routes(app)
    complete_document(app)
    metrics.name_routes(endpoints(app))
    return app
