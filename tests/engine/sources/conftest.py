from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gleanset.fetch import Fetcher, FetchOptions


@pytest.fixture
async def http() -> AsyncIterator[Fetcher]:
    """The real client, which retries quickly and may speak to loopback."""
    async with Fetcher(FetchOptions(allow_private=True, own_hosts=frozenset({"127.0.0.1"}), back_off=0.01)) as fetcher:
        yield fetcher
