"""Stored images written into other files: checked on their way, and never counted before they are there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from isal.isal_zlib import crc32  # pyright: ignore[reportUnknownVariableType]

from gleanset.copying import Copies, Copy, Stored, write_at
from gleanset.decoders import Decoders
from gleanset.errors import ExportError, StoreError
from gleanset.export import Workspace, export, form_of
from gleanset.store import Store
from tests.engine import exporting

DATA = bytes(range(256)) * 10_000
"""Of more than two blocks."""


def stored(folder: Path, data: bytes, *, known: bool = True) -> Stored:
    (folder / "ab").mkdir(exist_ok=True)
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / "ab" / sha256).write_bytes(data)
    return Stored(str(folder), f"ab/{sha256}", len(data), sha256, crc32(data) if known else None)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("data", [b"", b"x", DATA[: 1 << 20], DATA])
def test_parts_come_one_behind_the_other(tmp_path: Path, data: bytes, known: bool) -> None:
    image = stored(tmp_path, data, known=known)
    (tmp_path / "out").write_bytes(b"before, and what is written over")
    Copy(str(tmp_path / "out"), 6, [b"<", image, b">", b"<", image, b"."])()
    written = (tmp_path / "out").read_bytes()
    expected = b"before<" + data + b"><" + data + b"."
    assert written[: len(expected)] == expected
    assert image.bytes() == data
    Copy(str(tmp_path / "out"), 0, [image], new=True)()
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("there", [DATA[:-1], DATA + b"x", b"", b"x" + DATA[1:], DATA[:-1] + b"x"])
def test_other_bytes_are_found(tmp_path: Path, there: bytes, known: bool) -> None:
    image = stored(tmp_path, DATA, known=known)
    (tmp_path / image.key).write_bytes(there)
    for read in (image.bytes, Copy(str(tmp_path / "out"), 0, [image], new=True)):
        with pytest.raises(ExportError, match=f"{image.key} is damaged"):
            read()


async def test_what_a_process_finds_is_said_here(tmp_path: Path) -> None:
    image = stored(tmp_path, DATA)
    with closing(Decoders(1, prepare=None)) as processes:
        await processes.run(Copies([Copy(str(tmp_path / "out"), 0, [image], new=True)]), b"")
        assert (tmp_path / "out").read_bytes() == DATA
        other = replace(image, crc32=1)
        with pytest.raises(ExportError, match="is damaged"):
            await processes.run(Copies([Copy(str(tmp_path / "out"), 0, [other])]), b"")
        gone = replace(image, key="ab/none")
        with pytest.raises(StoreError, match=r"ab/none cannot be read: No such file"):
            await processes.run(Copies([Copy(str(tmp_path / "out"), 0, [gone])]), b"")
        with pytest.raises(IsADirectoryError):
            await processes.run(Copies([Copy(str(tmp_path), 0, [image])]), b"")


def test_many_parts_and_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More parts than one call takes, by a system that writes less than it was given."""
    real = os.pwritev
    monkeypatch.setattr("os.pwritev", lambda file, parts, at: real(file, [parts[0][:2]], at))
    with (tmp_path / "out").open("wb") as file:
        assert write_at(file.fileno(), [b"%05d" % n for n in range(1_200)], 0) == 6_000
    assert (tmp_path / "out").read_bytes() == b"".join(b"%05d" % n for n in range(1_200))


class Slow:
    """Somebody who copies, when he is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Copies, Future[None]]] = []

    def __call__(self, copies: Copies) -> Future[None]:
        self.given.append((copies, Future()))
        return self.given[-1][1]

    def do(self, number: int, error: Exception | None = None) -> None:
        copies, done = self.given[number]
        if error is None:
            copies()
            done.set_result(None)
        else:
            done.set_exception(error)


def noted(folder: Path) -> int | None:
    note = folder / "checkpoint.json"
    return json.loads(note.read_text())["state"]["n"] if note.exists() else None


def three_checkpoints(folder: Path) -> tuple[Workspace, Slow]:
    """Noted behind an image each, which nobody has copied yet."""
    image, slow = stored(folder, DATA), Slow()
    place = Workspace(folder / "work")
    place.copy_by(slow)
    file = place.growing("dataset")
    for n in range(3):
        file.write(image)
        place.checkpoint({"n": n})
    return place, slow


def test_a_checkpoint_counts_when_all_before_it_is_there(tmp_path: Path) -> None:
    place, slow = three_checkpoints(tmp_path)
    assert len(slow.given) == 3
    seen: list[int | None] = [noted(place.folder)]
    for n in (1, 0, 2):
        slow.do(n)
        place.tend()
        seen.append(noted(place.folder))
    place.close()
    assert seen == [None, None, 1, 2]
    again = Workspace(tmp_path / "work")
    assert again.growing("dataset").size == 3 * len(DATA)
    assert again.folder.joinpath("dataset").read_bytes() == 3 * DATA
    again.close()


def test_behind_a_copy_that_failed_nothing_is_whole(tmp_path: Path) -> None:
    place, slow = three_checkpoints(tmp_path)
    slow.do(0)
    slow.do(1, ExportError("It is damaged."))
    slow.do(2)
    with pytest.raises(ExportError, match="damaged"):
        place.settle()
    place.settle()
    place.close()
    assert noted(place.folder) == 0


async def test_the_decoders_of_a_worker_are_left_as_they_were(tmp_path: Path) -> None:
    """Also by an export that fails; and when that is through, nobody writes into its files any more."""
    store = Store(str(tmp_path / "blobs"))
    entries = await exporting.stored(store, [bytes([n]) * 1_000_000 for n in range(40)])
    damaged = tmp_path / "blobs" / entries[10].key
    with closing(Decoders(2)) as decoders:

        async def packed(name: str) -> Path:
            about, silent = exporting.ABOUT, exporting.silent
            read = exporting.stream(entries)
            return (await export(form_of("tar"), read, store, tmp_path / name, about, silent, decoders=decoders)).path

        first = await packed("first.tar")
        damaged.write_bytes(b"x" * 1_000_000)
        with pytest.raises(ExportError, match="is damaged"):
            await packed("second.tar")
        assert not any(each.items for each in decoders._decoders)  # pyright: ignore[reportPrivateUsage]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "first.tar"]
        damaged.write_bytes(bytes([10]) * 1_000_000)
        assert (await packed("third.tar")).read_bytes() == first.read_bytes()
        assert await decoders.run(len, b"abc") == 3


async def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    image = stored(tmp_path, DATA)
    with closing(Decoders(1, prepare=None)) as processes:
        await processes.run(_Killed(str(tmp_path / "marker"), Copy(str(tmp_path / "out"), 0, [image], new=True)), b"")
    assert (tmp_path / "out").read_bytes() == DATA


class _Killed:
    """A copy, before which the process is killed once."""

    def __init__(self, marker: str, copy: Copy) -> None:
        self.marker, self.copy = marker, copy

    def __call__(self, _: bytes) -> None:
        if not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.copy()
