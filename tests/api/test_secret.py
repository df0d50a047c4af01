"""The key that signs links: one for all processes, and never half a key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.config import Settings
from backend.errors import BadInput
from backend.http.service import load_secret


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_secret(settings), range(64)))
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 1
    [file] = (tmp_path / "home").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_half_a_key_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(BadInput, match="not whole"):
        load_secret(Settings(home=tmp_path))


def test_a_key_of_ones_own(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "secret_key": "k" * 40})
    assert load_secret(settings) == b"k" * 40
    assert not list(tmp_path.iterdir())
