"""A slice of what `make fuzz` tries, and that the fuzzer sees what it looks for."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gleanset.inspect import inspect
from tests.fuzz.mutate import corpus, mutated
from tests.fuzz.run import Bounds, run


def test_a_slice_of_seeds() -> None:
    report = run(0, 500)
    assert report.faults == {}
    assert report.tried == 500
    assert report.outcomes.total() == 500
    # Mutations neither miss everything nor destroy everything.
    assert {"accepted", "damaged", "truncated", "not_an_image", "too_many_pixels"} <= set(report.outcomes)


def test_what_is_mutated_is_sound_and_of_every_format() -> None:
    formats = Counter(inspect(data).format for data in corpus())
    assert set(formats) == {"jpeg", "png", "webp", "gif", "tiff", "avif", "bmp"}
    assert min(formats.values()) >= 3


def test_a_seed_is_the_same_in_every_process(tmp_path: Path) -> None:
    file = tmp_path / "seed"
    subprocess.run([sys.executable, "-m", "tests.fuzz", "--first", "77", "--write", str(file)], check=True)
    assert file.read_bytes() == mutated(77)
    assert len({mutated(seed) for seed in range(50)}) == 50


PATIENT = Bounds(seconds=20, memory=100_000_000, hang=60)


@pytest.mark.parametrize(
    ("name", "bounds", "told"),
    [
        ("crash", PATIENT, "killed the process: SIGSEGV"),
        ("hang", replace(PATIENT, hang=3), "no answer within 3 seconds"),
        ("swell", PATIENT, "took more than 100,000,000 bytes of memory"),
        ("overreach", PATIENT, "MemoryError"),
        ("dawdle", replace(PATIENT, seconds=0.2), "more than 0.2 s"),
        ("raises", PATIENT, "LookupError: not one of ours"),
    ],
)
def test_a_culprit_is_named_and_the_others_are_tried(name: str, bounds: Bounds, told: str) -> None:
    report = run(0, 6, bounds, f"tests.fuzz.culprits:{name}")
    assert list(report.faults) == [3]
    assert told in report.faults[3]
    assert report.tried == 6
    assert report.outcomes == {"fine": 5}
