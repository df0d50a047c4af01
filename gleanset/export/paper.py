"""What a paper of a dataset is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gleanset.export.base import About, Entry
from gleanset.export.files import Files
from gleanset.export.layout import Layout
from gleanset.store import Store


@dataclass(frozen=True, slots=True)
class Written:
    """An image that was just written: `name` is the path by which the layout says it can be found."""

    entry: Entry
    name: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What a paper may use: it writes to `files` and tells `about`; the `layout` knows what lies where."""

    files: Files
    about: About
    layout: Layout
    store: Store


class Paper:
    """Hears of every image, and is written at the end. As with layouts, what grows is a text of `files`, and what else
    must outlive a kill is in `state`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.files, self.about = setting.files, setting.about

    def add(self, written: Written) -> None:
        """Take note of an image."""

    def state(self) -> dict[str, Any]:
        """What is not in a growing text, JSON-able."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there; called before anything else, and only when there was a checkpoint."""

    def finish(self) -> None:
        """Write it, where it is not a growing text."""
