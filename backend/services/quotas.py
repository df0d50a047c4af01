"""Who may gather how many: a job's images in fair parts over labels, then keywords, then sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from backend.models import CrawlChunk
from gleanset.types import Query

Asked = Query | CrawlChunk
"""What is asked of whom, before and after it is a part of a job."""

_LEVELS: tuple[Callable[[Asked], str | None], ...] = (
    lambda asked: asked.label,
    lambda asked: asked.keyword,
    lambda asked: asked.source,
)


def shares(total: int, parts: int) -> list[int]:
    """`total` in `parts` whole numbers that differ by one at most, the larger ones first."""
    each, rest = divmod(total, parts)
    return [each + (place < rest) for place in range(parts)]


def quotas(total: int, asked: Sequence[Asked]) -> list[int]:
    """`total` in a part for each: labels get equal parts, within a label its keywords, within a keyword its sources."""
    found = [0] * len(asked)
    for place, part in _spread(total, list(enumerate(asked)), 0):
        found[place] = part
    return found


def hand_over(room: int, wanted: dict[str, int], had: dict[str, int], still_open: Sequence[Asked]) -> list[int]:
    """What each of those `still_open` may gather of the `room` that others could not fill.

    `wanted` and `had` are images by label. A label's own lack comes first; what no label can make up for is for all.
    """
    found = [0] * len(still_open)
    left = room
    for label in dict.fromkeys(asked.label for asked in still_open):
        places = [place for place, asked in enumerate(still_open) if asked.label == label]
        lack = min(left, max(0, wanted.get(label, 0) - had.get(label, 0)))
        left -= lack
        for place, part in zip(places, quotas(lack, [still_open[place] for place in places]), strict=True):
            found[place] += part
    return [one + more for one, more in zip(found, quotas(left, still_open), strict=True)]


def _spread(total: int, places: list[tuple[int, Asked]], level: int) -> list[tuple[int, int]]:
    if level == len(_LEVELS):
        return [(place, part) for (place, _), part in zip(places, shares(total, len(places)), strict=True)]
    groups: dict[str | None, list[tuple[int, Asked]]] = {}
    for place, asked in places:
        groups.setdefault(_LEVELS[level](asked), []).append((place, asked))
    parts = shares(total, len(groups)) if groups else []
    return list(chain.from_iterable(_spread(p, g, level + 1) for p, g in zip(parts, groups.values(), strict=True)))
