"""What the demo web holds: one `Exhibit` a picture URL, and what a right crawl of them all must find.

Everything is derived from the table of roles below and seeded generators, so two runs serve the same, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar
from uuid import NAMESPACE_DNS, uuid5

import numpy as np
from numpy.random import Generator

from backend.demo.pictures import Format, Picture
from backend.demo.scenes import SCENES
from gleanset.types import Licence, Reason

T = TypeVar("T")
SUBJECTS = tuple(SCENES)
PHOTOS, MUSEUM, ARCHIVE, SLOW, BUSY, API = (
    f"{name}.demo.test" for name in ("photos", "museum", "archive", "slow", "busy", "api")
)
HOSTS = (PHOTOS, MUSEUM, ARCHIVE, SLOW, BUSY, API)


class Answer(StrEnum):
    """How the web answers for one URL."""

    PICTURE = "picture"
    LYING = "lying"  # a sound picture under a wrong Content-Type
    REDIRECT = "redirect"  # to a picture on another host
    TRUNCATED = "truncated"
    PAGE = "page"  # HTML named .jpg
    EMPTY = "empty"
    BOMB = "bomb"  # a small file that claims billions of pixels
    ENDLESS = "endless"  # a body without a length and without an end
    OVERSIZED = "oversized"  # a body of several gigabytes, announced
    MISSING = "missing"
    GONE = "gone"
    FORBIDDEN = "forbidden"


REASONS: Mapping[Answer, Reason] = {
    Answer.TRUNCATED: Reason.TRUNCATED,
    Answer.PAGE: Reason.NOT_AN_IMAGE,
    Answer.EMPTY: Reason.EMPTY,
    Answer.BOMB: Reason.TOO_MANY_PIXELS,
    Answer.ENDLESS: Reason.TOO_LARGE,
    Answer.OVERSIZED: Reason.TOO_LARGE,
    Answer.MISSING: Reason.NOT_FOUND,
    Answer.GONE: Reason.NOT_FOUND,
    Answer.FORBIDDEN: Reason.FORBIDDEN,
}

# Of every subject: how many exhibits answer so, from which host.
ROLES: Sequence[tuple[int, Answer, str]] = (
    (23, Answer.PICTURE, PHOTOS),
    (11, Answer.PICTURE, MUSEUM),
    (3, Answer.PICTURE, SLOW),
    (1, Answer.PICTURE, BUSY),
    (1, Answer.LYING, MUSEUM),
    (1, Answer.REDIRECT, ARCHIVE),
    (2, Answer.TRUNCATED, PHOTOS),
    (1, Answer.PAGE, ARCHIVE),
    (1, Answer.MISSING, PHOTOS),
    (1, Answer.GONE, ARCHIVE),
)
# One of each in the whole web, a subject each.
RARITIES = (Answer.ENDLESS, Answer.OVERSIZED, Answer.BOMB, Answer.EMPTY, Answer.FORBIDDEN)
SMALL, DARK, BLURRED = 2, 2, 2  # of every subject, drawn for the photos host
EXACT_COPIES, REENCODED, RESIZED = 6, 4, 4  # of every subject, shown again by the archive

FORMATS: Sequence[Format] = ("jpeg", "jpeg", "jpeg", "png", "jpeg", "jpeg", "webp", "jpeg", "jpeg", "jpeg", "gif")
SHAPES = ((4, 3), (3, 2), (3, 2), (1, 1), (3, 4), (2, 3), (16, 9))  # width : height
WORDS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "boat": (("Boat", "Sailing boat", "Little boat", "Old boat"), ("off the cape", "in light wind", "coming home")),
    "flower": (("Flower", "Garden flower", "Wild flower", "Late flower"), ("in June", "by the path", "after rain")),
    "house": (("House", "Village house", "Summer house", "Old house"), ("on the green", "at number nine", "for two")),
    "mountain": (("Mountain", "Grey mountain", "Far mountain", "High mountain"), ("at noon", "in May", "from the hut")),
    "sunset": (("Sunset", "Red sunset", "Quiet sunset", "Autumn sunset"), ("over the bay", "at the lake", "in March")),
}
CREATORS = (
    *("Ada Lindqvist", "Tomás Herrera", "Noor El Amrani", "Jonas Weber", "Mei Tanaka", "Oluwaseun Bello"),
    *("Катя Орлова", "Priya Raman", "Léa Fontaine", "Sam O'Neill"),
)
LICENCES = tuple(
    Licence(code, version, f"https://creativecommons.org/{path}/{version}/")
    for code, version, path in (
        ("by", "2.0", "licenses/by"),
        ("by", "4.0", "licenses/by"),
        ("by-sa", "4.0", "licenses/by-sa"),
        ("by-sa", "2.0", "licenses/by-sa"),
        ("by-nc", "2.0", "licenses/by-nc"),
        ("by-nc-sa", "4.0", "licenses/by-nc-sa"),
        ("by-nd", "4.0", "licenses/by-nd"),
        ("by-nc-nd", "2.0", "licenses/by-nc-nd"),
        ("cc0", "1.0", "publicdomain/zero"),
        ("pdm", "1.0", "publicdomain/mark"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One picture URL and what its host says about it. `copy_of` is the path of the exhibit it repeats."""

    subject: str
    host: str
    path: str
    answer: Answer
    picture: Picture
    title: str
    creator: str | None
    licence: Licence
    copy_of: str | None = None

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_DNS, self.host + self.path))

    @property
    def page_path(self) -> str:
        return f"/works/{self.id}"

    @property
    def creator_path(self) -> str | None:
        return f"/people/{self.creator.lower().replace(' ', '-')}" if self.creator else None

    @property
    def downloads(self) -> bool:
        return self.answer not in REASONS


def exhibits() -> tuple[Exhibit, ...]:
    """All of them, in the order in which a search for their subject finds them."""
    return tuple(exhibit for subject in SUBJECTS for exhibit in _room(subject))


def expected(web: Sequence[Exhibit]) -> dict[str, int]:
    """What a right crawl of everything finds.

    Each reason code with its count; `downloaded`; and of the downloaded `exact_duplicates` (copies beyond the first),
    `smaller_than_64` (both sides, in pixels), `dark` (brightness under 0.15) and `blurred` (sharpness under 100).
    The smaller ones are neither dark nor blurred, and no picture is both.
    """
    found = Counter[str](REASONS[exhibit.answer].value for exhibit in web if not exhibit.downloads)
    pictures = [exhibit.picture for exhibit in web if exhibit.downloads]
    found["downloaded"] = len(pictures)
    found["exact_duplicates"] = len(pictures) - len(set(pictures))
    found["smaller_than_64"] = sum(max(picture.size) < 64 for picture in pictures)
    found["dark"] = sum(picture.mood == "dark" for picture in pictures)
    found["blurred"] = sum(picture.mood == "blurred" for picture in pictures)
    return dict(found)


def _room(subject: str) -> list[Exhibit]:
    """The exhibits of one subject, shuffled."""
    number = SUBJECTS.index(subject)
    rng = np.random.default_rng([20, number])
    originals = [
        _exhibit(rng, subject, place, answer, host, _picture(rng, subject, place))
        for place, (answer, host) in enumerate(_roles(RARITIES[number]))
    ]
    faulty = [
        _exhibit(rng, subject, place, Answer.PICTURE, PHOTOS, picture)
        for place, picture in enumerate(_faulty(rng, subject), start=len(originals))
    ]
    room = originals + faulty + list(_copies(rng, originals))
    return [room[int(place)] for place in rng.permutation(len(room))]


def _roles(rarity: Answer) -> Iterator[tuple[Answer, str]]:
    for count, answer, host in ROLES:
        yield from [(answer, host)] * count
    yield rarity, ARCHIVE


def _picture(rng: Generator, subject: str, seed: int) -> Picture:
    across, down = SHAPES[int(rng.integers(len(SHAPES)))]
    format_ = FORMATS[seed % len(FORMATS)]
    # PNG and GIF are for smaller pictures, there as here; few pictures are large.
    longer = float(rng.uniform(430, 520)) if format_ in {"png", "gif"} else 440 + 460 * float(rng.random()) ** 2
    unit = longer / max(across, down)
    width, height = round(across * unit), round(down * unit)
    return Picture(subject=subject, seed=seed, width=width, height=height, format=format_, quality=86 + seed % 8)


def _faulty(rng: Generator, subject: str) -> Iterator[Picture]:
    """Sound files that a dataset is better off without."""
    for seed in range(100, 100 + SMALL):
        yield Picture(subject=subject, seed=seed, width=400, height=300, scale=float(rng.integers(24, 60)) / 400)
    for seed in range(200, 200 + DARK):
        yield replace(_picture(rng, subject, seed), mood="dark", format="jpeg", quality=90)
    for seed in range(300, 300 + BLURRED):
        yield replace(_picture(rng, subject, seed), mood="blurred", format="jpeg")


def _copies(rng: Generator, originals: Sequence[Exhibit]) -> Iterator[Exhibit]:
    """Pictures of the first two hosts that the archive shows again, as they are, re-encoded, or resized."""
    count = EXACT_COPIES + REENCODED + RESIZED
    for copy in range(count):
        original = originals[copy * 2]
        picture = original.picture
        if copy >= EXACT_COPIES + REENCODED:
            picture = replace(picture, scale=float(rng.uniform(0.55, 0.8)), format="jpeg")
        elif copy >= EXACT_COPIES:
            picture = replace(picture, format="jpeg", quality=int(rng.integers(80, 86)))
        path = f"/mirror/{original.subject}/{copy:02}.{extension(picture.format)}"
        yield replace(original, host=ARCHIVE, path=path, picture=picture, copy_of=original.path)


def _exhibit(rng: Generator, subject: str, place: int, answer: Answer, host: str, picture: Picture) -> Exhibit:
    if answer is Answer.TRUNCATED:  # a cut JPEG is plainly cut; what half a GIF or WebP is, decoders disagree on
        picture = replace(picture, format="jpeg")
    things, circumstances = WORDS[subject]
    title = f"{_any(rng, things)} {_any(rng, circumstances)}"
    slug = f"{title.lower().replace(' ', '-')}-{place:02}"
    licence = _any(rng, LICENCES[-2:] if host == MUSEUM else LICENCES)
    unknown = licence.code == "pdm" and rng.random() < 0.5
    return Exhibit(
        subject=subject,
        host=host,
        path=f"/{subject}/{slug}.{'jpg' if answer is Answer.PAGE else extension(picture.format)}",
        answer=answer,
        picture=picture,
        title=title,
        creator=None if unknown else _any(rng, CREATORS),
        licence=licence,
    )


def extension(format_: Format) -> str:
    return "jpg" if format_ == "jpeg" else format_


def _any(rng: Generator, things: Sequence[T]) -> T:
    return things[int(rng.integers(len(things)))]
