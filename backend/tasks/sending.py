"""The last step of an export that is to lie in an object store: the job is completed when it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC

from backend.models import ExportJob
from backend.models.enums import Delivery
from backend.services import deliveries, exports
from backend.tasks.runtime import Runtime
from gleanset.errors import NotDelivered
from gleanset.export import ObjectPlace, Packed

_TELL = 0.5
"""Seconds between two words of progress."""


class Sending:
    """For exports that stay where they are packed, all of this does nothing. Raises NotDelivered."""

    def __init__(self, runtime: Runtime, job: ExportJob) -> None:
        self._runtime, self._job = runtime, job
        out = deliveries.destination(job)
        folder = exports.container_of(job) == "folder"
        mark = f"gleanset export {job.id} {job.created_at.astimezone(UTC).isoformat()}"
        self._place = ObjectPlace(out, folder=folder, mark=mark) if out and deliveries.remote(job) else None

    async def check(self) -> None:
        """Whether the place is good; not for an attempt that goes on with what one before has sent."""
        if self._place is not None and self._job.delivery != Delivery.BEGUN:
            await asyncio.to_thread(self._place.check)

    async def send(self, packed: Packed, lost: Callable[[], Exception]) -> None:
        """`lost`: what to raise when the job is cancelled, or was given to another task."""
        if self._place is None:
            return
        runtime, job, place = self._runtime, self._job, self._place
        begun = job.delivery == Delivery.BEGUN
        whole = packed.sha256 if job.sha256 == bytes.fromhex(packed.sha256) else None
        claimed = await asyncio.to_thread(place.claim, begun=begun, sha256=whole)
        async with runtime.database.transaction() as session:
            same = await deliveries.begin(session, job.id, job.attempts, packed)
        if same is None:
            raise lost()
        if not claimed:
            return
        if not same:
            if begun:
                await asyncio.to_thread(place.clear)
            async with runtime.database.transaction() as session:
                if not await deliveries.bring(session, job.id, job.attempts, packed):
                    raise lost()
        await place.send(packed.path, self._progress(lost))

    async def end(self) -> None:
        """In the transaction that completes the job: from now on the place is nobody's to write to."""
        if self._place is not None:
            await asyncio.to_thread(self._place.release)

    async def withdraw(self) -> None:
        """Images were taken down: nothing of what was sent stays there until the export is tried again."""
        if self._place is not None:
            with suppress(NotDelivered):  # not ours any more, or away; who tries again clears first
                await asyncio.to_thread(self._place.clear)

    def _progress(self, lost: Callable[[], Exception]) -> Callable[[int], Awaitable[None]]:
        told = time.monotonic()

        async def progress(sent: int) -> None:
            nonlocal told
            self._runtime.give_back_when_stopping()
            if time.monotonic() - told < _TELL:
                return
            told = time.monotonic()
            async with self._runtime.database.transaction() as session:
                if not await deliveries.progress(session, self._job.id, self._job.attempts, sent):
                    raise lost()

        return progress
