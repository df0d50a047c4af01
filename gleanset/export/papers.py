"""What goes with every dataset, whatever its layout: each paper hears of every image, and is written at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.export.base import About
from gleanset.export.card import Card
from gleanset.export.files import Files
from gleanset.export.paper import Paper, Written

PAPERS: Mapping[str, type[Paper]] = {"card": Card}


class Papers:
    """All of them."""

    def __init__(self, files: Files, about: About) -> None:
        self._papers = {name: paper(files, about) for name, paper in PAPERS.items()}

    def add(self, written: Written) -> None:
        for paper in self._papers.values():
            paper.add(written)

    def state(self) -> dict[str, Any]:
        return {name: paper.state() for name, paper in self._papers.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, paper in self._papers.items():
            paper.restore(state[name])

    def finish(self) -> None:
        for paper in self._papers.values():
            paper.finish()
