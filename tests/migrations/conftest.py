from __future__ import annotations

import pytest

from tests.postgres import Server


@pytest.fixture(params=["embedded", "debian15"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server
