"""The papers that are written when all images are: contact sheet, card, dataset.json and Croissant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.errors import StoreError
from gleanset.export import paper_names as names
from gleanset.export.card import dataset_card
from gleanset.export.croissant import croissant
from gleanset.export.origin import dataset_json
from gleanset.export.paper import Paper, Setting, Written
from gleanset.export.samples import Samples
from gleanset.export.tally import Tally


class Documents(Paper):
    """They all come from the same counts. Croissant is the last, because it has the sums of the layout's files."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._tally, self._samples = Tally(), Samples()

    def add(self, written: Written) -> None:
        self._tally.add(written.entry)
        self._samples.add(written.entry)

    def state(self) -> dict[str, Any]:
        return {"tally": self._tally.state(), "samples": self._samples.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._tally = Tally.restored(state["tally"])
        self._samples.restore(state["samples"])

    def finish(self) -> None:
        from gleanset.export.contact_sheet import contact_sheet  # OpenCV, which who only knows the formats can spare

        about, tally, guide = self.about, self._tally, self.setting.layout.guide()
        chosen = self._samples.chosen() if guide.has_images else {}
        if chosen:
            self.files.add(
                names.SHEET, contact_sheet([[self._picture(key) for key in keys] for keys in chosen.values()])
            )
        self.files.add(names.CARD, dataset_card(about, tally, guide, list(chosen)).encode())
        self.files.add(names.ORIGIN, dataset_json(about, tally))
        self.files.close_all()
        self.files.add(names.CROISSANT, croissant(about, tally, guide.describe(self.files.written)))

    def _picture(self, key: str) -> bytes:
        """Nothing for one that was taken away meanwhile: the sheet has a gap then."""
        try:
            return self.setting.store.get_now(key)
        except StoreError:
            return b""
