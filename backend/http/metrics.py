"""Figures for Prometheus: the requests that this process answered, and what the database counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

from fastapi.routing import APIRoute, RouteContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.services.figures import Figures

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """One an application; several in one process have figures of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        by_route = ["method", "route"]
        self.requests = Counter("gleanset_requests", "Answers.", [*by_route, "status"], registry=registry)
        self.seconds = Histogram(
            "gleanset_request_seconds", "Time until an answer began.", by_route, buckets=_BUCKETS, registry=registry
        )
        self._followers = Gauge("gleanset_followers", "Streams of live progress that are open.", registry=registry)
        self._jobs = Gauge("gleanset_jobs", "Jobs by kind and state.", ["kind", "status"], registry=registry)
        self._tasks = Gauge("gleanset_queue_tasks", "Tasks that wait, or are worked on.", ["status"], registry=registry)
        self._workers = Gauge("gleanset_workers", "Worker processes that are alive.", registry=registry)
        self._images = Gauge("gleanset_images", "Images downloaded by all jobs there are.", registry=registry)
        self._bytes = Gauge("gleanset_image_bytes", "Bytes of these downloads.", registry=registry)

        self.routes: dict[Any, str] = {}

    def name_routes(self, routes: Iterable[RouteContext]) -> None:
        """Learn the whole paths of the routes: what a request knows of its own lacks the prefixes of its routers."""
        self.routes = {cast("APIRoute", route.original_route).endpoint: str(route.path) for route in routes}

    def exposition(self, figures: Figures, followers: int) -> bytes:
        """All of it in Prometheus's text format."""
        self._followers.set(followers)
        self._workers.set(figures.workers)
        self._images.set(figures.images)
        self._bytes.set(figures.bytes)
        _fill(self._jobs, figures.jobs)
        _fill(self._tasks, {(status,): count for status, count in figures.tasks.items()})
        return generate_latest(self._registry)


def _fill(gauge: Gauge, counts: Mapping[tuple[str, ...], int]) -> None:
    gauge.clear()
    for labels, count in counts.items():
        gauge.labels(*labels).set(count)


class Measured:
    """Counts requests by the template of their route, of which there are few, and not by their path."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":  # a stream may go on for hours behind it
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = self._metrics.routes.get(scope.get("endpoint"), "none")
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, send_measured)
