"""Names that other systems cannot unpack are told, and our own exports have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gleanset.export.base import folder_name
from gleanset.export.portable import Alike, is_portable
from gleanset.export.reading import open_package
from gleanset.export.verify import verify
from tests.engine.packages import KINDS, files_of, package


@pytest.mark.parametrize(
    "name", ["CON.jpg", "a/nul", "a/b:c", "a./b", "a/b.", "a/b ", "a?b", "x/COM1.tar.gz", "LPT¹", "a\\b", "con .txt"]
)
def test_what_windows_cannot_unpack(name: str) -> None:
    assert not is_portable(name)


def test_what_it_can() -> None:
    assert all(
        is_portable(name) for name in ("images/cat/0.jpg", "MANIFEST.sha256", "a b/c-1.png", "console/x", "ä/漢.gif")
    )


@pytest.mark.parametrize(
    "label", ["CON", "nul", "com1", "a:b", "a.", "a ", ".", "..", "Cat", "=1+1", "a/b", "a\\b", "?"]
)
def test_no_label_makes_such_a_folder(label: str) -> None:
    assert is_portable(folder_name(label))
    alike = Alike()
    for name in (folder_name(label), folder_name(label.lower()), folder_name(label.upper())):
        alike.note(name)
    assert not alike.has(folder_name(label))


@pytest.mark.parametrize("kind", KINDS)
def test_verify_warns(kind: str, tmp_path: Path) -> None:
    odd = [("images/Cat/1.jpg", b"1"), ("images/cat/1.jpg", b"2"), ("images/cat/aux.jpg", b"3")]
    found = verify(open_package(package(tmp_path, kind, files_of(0, **dict(odd)))))
    assert found.sound
    assert sorted(found.not_portable.files) == ["images/cat/1.jpg", "images/cat/aux.jpg"]
