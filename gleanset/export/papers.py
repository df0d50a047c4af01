"""What goes with every dataset, whatever its layout: each paper hears of every image, and is written at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.export.attribution import Attribution
from gleanset.export.documents import Documents
from gleanset.export.paper import Paper, Setting, Written

PAPERS: Mapping[str, type[Paper]] = {"attribution": Attribution, "documents": Documents}


class Papers:
    """All of them."""

    def __init__(self, setting: Setting) -> None:
        self._papers = {name: paper(setting) for name, paper in PAPERS.items()}

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
