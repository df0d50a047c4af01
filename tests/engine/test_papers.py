"""The papers of an export: credit that CC BY asks for, counts that can be gone on with, a sheet of samples, a card."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from gleanset.export import CONTAINERS, attribution, export, form_of
from gleanset.export.base import METADATA_FIELDS, About, Entry, Origin, Splitting
from gleanset.export.card import dataset_card
from gleanset.export.contact_sheet import contact_sheet
from gleanset.export.diff import diff
from gleanset.export.guide import COLUMNS, guide_to_plain
from gleanset.export.origin import dataset_json
from gleanset.export.reading import open_package
from gleanset.export.samples import MOST_LABELS, MOST_PICTURES, Samples
from gleanset.export.tally import Tally
from gleanset.export.verify import Verified, verify
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import PAPERS, silent, stored, stream
from tests.engine.pictures import encode, photo
from tests.web import picture

NAME = "images/cat/ab.jpg"
ABOUT = About(
    name="Cats",
    keywords=["cat"],
    rules={"min_width": 64},
    failures={"not_found": 2},
    invalid={"min_width": 3},
    created=datetime(2026, 3, 4, 5, tzinfo=UTC),
    creator="Ada",
    origin=Origin(
        crawl_job=7, refresh_of=3, validation_job=9, rules_name="standard", rules_hash="ab" * 32,
        decisions={"keep": 4, "reject": 1}, decisions_sha256="cd" * 32,
    ),
)  # fmt: skip


def entry(number: int = 0, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "position": number + 1,
        "key": f"{number:064x}.jpg",
        "sha256": f"{number:064x}",
        "label": "cat",
        "format": "jpeg",
        "width": 320,
        "height": 200,
        "file_size": 1000,
        "original_url": "https://example.org/a.jpg",
        "source_page": "https://example.org/page",
        "title": "A cat",
        "creator": "Ann",
        "creator_url": "https://example.org/ann",
        "licence": Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/"),
        "fetched_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number),
    }
    return Entry(**given | more)


# --- attribution -----------------------------------------------------------------------------------------------------


def test_what_cc_by_asks_for_is_there() -> None:
    assert attribution.line(entry(), NAME) == (
        "- `images/cat/ab.jpg`: “A cat” by [Ann](<https://example.org/ann>), from"
        " [example.org](<https://example.org/page>), licence:"
        " [CC BY 4.0](<https://creativecommons.org/licenses/by/4.0/>).\n"
    )


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        (Licence("by-sa", "2.0"), "licence: [CC BY-SA 2.0](<https://creativecommons.org/licenses/by-sa/2.0/>)"),
        (Licence("by"), "licence: [CC BY](<https://creativecommons.org/licenses/>)"),
        (Licence("cc0"), "licence: [CC0](<https://creativecommons.org/publicdomain/zero/1.0/>)"),
        (Licence("pdm", "1.0"), "[Public Domain Mark 1.0](<https://creativecommons.org/publicdomain/mark/1.0/>)"),
        (Licence("gfdl", "1.2"), "licence: gfdl 1.2."),
        (Licence("other", None, "https://example.org/terms"), "licence: [other](<https://example.org/terms>)"),
        (Licence("by", "4.0", "javascript:alert(1)"), "licence: CC BY 4.0."),
        (None, "no licence stated."),
    ],
)
def test_licences_by_name_and_link(licence: Licence | None, told: str) -> None:
    assert told in attribution.line(entry(licence=licence), NAME)


def test_changes_and_the_credit_that_a_source_asks_for_are_told() -> None:
    line = attribution.line(entry(original={"width": 1024, "height": 640}), NAME)
    assert "Changed: resized from 1024 × 640 to 320 × 200 pixels" in line
    assert "Credit as the source gives it: Photo: Ann, for the town" in attribution.line(
        entry(attribution="Photo: Ann,\nfor the town"), NAME
    )
    own = '"A cat" by Ann, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), via https://example.org/page'
    assert "Credit" not in attribution.line(entry(attribution=own), NAME)
    bare = attribution.line(entry(title=None, creator=None, source_page=None, metadata={"original": 3}), NAME)
    assert "untitled, from [example.org](<https://example.org/a.jpg>)" in bare


HOSTILE = [
    "line\nfeed\r\n- `x`: forged", "\u2028- forged", "](https://evil) [x", "`code`", "<script>alert(1)</script>",
    "**bold** _it_ ~~x~~ $x$ | a |", "\\", "\\](", "\u202egpj.exe", "\x1b[31m", "\x00", "![x](y)", "&lt;", "”“",
    "a" * 10_000, "https://x/)>(", "http://[", "https://e.x/<b>\"' \n?a=b#c", "data:text/html,x", "ä 漢字 🐈‍⬛",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_on_its_line_and_is_text(text: str) -> None:
    from markdown_it import MarkdownIt

    line = attribution.line(
        entry(
            title=text, creator=text, creator_url=text, source_page=text, original_url=text, attribution=text,
            licence=Licence(text, text, text),
        ),
        NAME,
    )  # fmt: skip
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert len(line) < 8000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028-\u202e]", line)
    parsed = MarkdownIt().parse(attribution.HEAD + attribution.line(entry(), NAME) + line)
    assert [token.type for token in parsed].count("list_item_open") == 2
    (inline,) = [token for token in parsed if token.type == "inline"][-1:]
    kinds = {token.type for token in inline.children or []}
    assert kinds <= {"text", "text_special", "code_inline", "link_open", "link_close"}
    for token in inline.children or []:
        if token.type == "link_open":
            assert str(token.attrs["href"]).startswith(("https://", "http://"))
        if token.type == "code_inline":
            assert token.content == NAME


# --- tally -----------------------------------------------------------------------------------------------------------


def entries() -> list[Entry]:
    licences = [
        Licence("by", "4.0", "https://x/1"),
        None,
        Licence("other", None, "https://b"),
        Licence("other", None, "https://a"),
    ]
    return [
        entry(
            n,
            label=f"l{n % 3}",
            licence=licences[n % 4],
            split="train" if n % 5 else "test",
            decision="keep" if n == 4 else None,
            source=None if n % 2 else "flickr",
            fetched_at=None if n == 0 else datetime(2026, 1, n + 1, tzinfo=UTC),
        )
        for n in range(20)
    ]


def test_a_tally_goes_on_from_its_state_and_knows_no_order() -> None:
    whole, shuffled = Tally(), Tally()
    for each in entries():
        whole.add(each)
    mixed = entries()
    random.Random(1).shuffle(mixed)
    for number, each in enumerate(mixed):
        if number == 7:
            shuffled = Tally.restored(json.loads(json.dumps(shuffled.state())))
        shuffled.add(each)
    assert shuffled == whole
    assert (whole.images, whole.splits, whole.decisions) == (20, {"train": 16, "test": 4}, {"keep": 1})
    assert whole.by_licence()[0] == (Licence("other", None, "https://a"), 10)
    assert (whole.first, whole.last) == (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC))
    for change in ({"label": "x"}, {"split": "x"}, {"decision": "keep"}, {"licence": None}, {"sha256": "0" * 64}):
        other = Tally()
        for number, each in enumerate(entries()):
            other.add(replace(each, **change) if number == 0 else each)
        assert (other.fingerprint == whole.fingerprint) == (change == {"sha256": "0" * 64})
    assert re.fullmatch(r"[0-9a-f]{64}", whole.fingerprint)


def test_dataset_json_names_what_it_comes_from() -> None:
    tally = Tally()
    for each in entries():
        tally.add(each)
    data = dataset_json(ABOUT, tally)
    told = json.loads(data)
    assert data == dataset_json(ABOUT, tally)
    assert told["crawl"] == {"job": 7, "refresh_of": 3, "keywords": ["cat"]}
    assert told["validation"]["rules_hash"] == "ab" * 32
    assert told["decisions"] == {"keep": 4, "reject": 1, "sha256": "cd" * 32}
    assert told["licences"] == {"by 4.0": 5, "other": 10, "unknown": 5}
    assert (told["images"], told["bytes"], told["kept_by_people"]) == (20, 20_000, 1)
    assert told["fingerprint"] == tally.fingerprint


# --- samples ---------------------------------------------------------------------------------------------------------


def test_samples_do_not_depend_on_order_and_stay_few() -> None:
    many = [entry(n * 7919 % 100_003, label=f"label {n % 100}") for n in range(5000)]
    chosen: list[dict[str, list[str]]] = []
    for seed in range(3):
        random.Random(seed).shuffle(many)
        samples = Samples()
        for number, each in enumerate([*many, *many[:50]]):
            if number == 1000:
                state = json.loads(json.dumps(samples.state()))
                samples = Samples()
                samples.restore(state)
            samples.add(each)
        chosen.append(samples.chosen())
    assert chosen[0] == chosen[1] == chosen[2]
    assert len(chosen[0]) == MOST_LABELS
    assert list(chosen[0]) == sorted(chosen[0])
    for label, keys in chosen[0].items():
        assert keys == sorted({each.key for each in many if each.label == label})[:MOST_PICTURES]


def test_a_contact_sheet_has_a_row_a_label() -> None:
    pictures = [encode(photo(name).resize((200, 120)), "jpeg") for name in ("china", "flower", "coffee")]
    sheet = contact_sheet([pictures, [encode(photo("chelsea"), "png"), b"no picture"]])
    assert sheet == contact_sheet([pictures, [encode(photo("chelsea"), "png"), b"no picture"]])
    image = Image.open(io.BytesIO(sheet))
    assert image.format == "JPEG"
    assert image.size == (40 + 3 * 132 + 4, 2 * 132 + 4)

    def spread(column: int, row: int) -> float:
        left, top = 40 + column * 132, 4 + row * 132
        levels = image.convert("L").crop((left, top, left + 128, top + 128)).getextrema()
        return levels[1] - levels[0]

    assert all(spread(column, row) > 60 for column, row in ((0, 0), (1, 0), (2, 0), (0, 1)))
    assert spread(2, 1) < 5  # neither a picture nor anything else
    assert Image.open(io.BytesIO(contact_sheet([]))).size[0] > 0


# --- together --------------------------------------------------------------------------------------------------------


async def test_every_container_has_all_papers_and_is_sound(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    pictures = [picture(n) for n in range(9)]
    made = await stored(store, pictures, "jpeg")
    many = [replace(each, label=f"label {n % 3}", licence=Licence("by", "4.0")) for n, each in enumerate(made)]
    said: dict[str, Verified] = {}
    for name in CONTAINERS:
        target = tmp_path / f"export.{name}"
        await export(form_of(name), stream(many), store, target, ABOUT, silent)
        said[name] = verify(open_package(str(target)))
        assert said[name].sound, said[name]
        assert said[name].files == len(many) + len(PAPERS)
        assert diff(open_package(str(target)), open_package(str(tmp_path / "export.zip"))).same == len(many)
    assert len({each.manifest_sha256 for each in said.values()}) == 1
    folder = tmp_path / "export.folder"
    assert {path.name for path in folder.iterdir()} == PAPERS | {"images"}
    with Image.open(folder / "contact-sheet.jpg") as sheet:
        assert sheet.size == (40 + 3 * 132 + 4, 3 * 132 + 4)
    credit = (folder / "ATTRIBUTION.md").read_text().splitlines()
    assert len([line for line in credit if line.startswith("- `images/label ")]) == len(many)
    assert json.loads((folder / "dataset.json").read_bytes())["crawl"]["job"] == 7


def test_every_column_of_the_tables_is_described() -> None:
    assert {name for name, _, _ in COLUMNS} == set(METADATA_FIELDS)


# --- card ------------------------------------------------------------------------------------------------------------


def card(**more: Any) -> tuple[dict[str, Any], str]:
    """The head, parsed, and the text."""
    tally = Tally()
    for each in entries():
        tally.add(each)
    text = dataset_card(replace(ABOUT, **more), tally, guide_to_plain(METADATA_FIELDS, {}), ["cat", "dog"])
    head, _, rest = text.removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(head), rest


def test_the_card_tells_what_splits_keep_together_leave_out_and_move() -> None:
    assert "Never in two splits" not in card()[1]
    text = card(splitting=Splitting(kept_together=("series",), left_out=1234, moved=5))[1]
    assert "Never in two splits: the same bytes; all images of one creator at one source. " in text
    assert "common with the fixed test set: 1,234 images." in text
    assert "new images tie them to others: 5." in text
    text = card(splitting=Splitting())[1]
    assert "Never in two splits: the same bytes. The column" in text
    assert "Left out, because" not in text
    assert "In another split" not in text


def test_the_card_tells_counts_origin_and_how_to_load_it() -> None:
    head, text = card()
    assert head["pretty_name"] == "Cats"
    assert head["license"] == ["cc-by-4.0", "other", "unknown"]
    assert head["size_categories"] == ["n<1K"]
    for told in (
        *("| other | 10 |", "| CC BY 4.0 | 5 |", "| unknown | 5 |", "| train | 16 |", r"| not\_found | 2 |"),
        *("Crawl job 7, which refreshed crawl job 3", "Validation job 9", "keep 4, reject 1; 1 of these images"),
        *(f"Rules `standard` (hash `{'ab' * 32}`)", "contact-sheet.jpg", "Rows: 1 cat; 2 dog.", "load_dataset("),
        *("ATTRIBUTION.md", "croissant.json", "dataset.json", "gleanset verify"),
    ):
        assert told in text, told


@pytest.mark.parametrize("text", [each for each in HOSTILE if "\x00" not in each])
def test_the_head_gives_a_name_back_as_it_is(text: str) -> None:
    assert card(name=text)[0]["pretty_name"] == text


def test_a_hostile_name_ends_no_head() -> None:
    head, text = card(name="x\n---\nlicense: mit\n# y")
    assert head["pretty_name"] == "x\n---\nlicense: mit\n# y"
    assert head["license"] == ["cc-by-4.0", "other", "unknown"]
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# x --- license: mit # y"]


def test_the_card_tells_what_people_left_out_and_kept() -> None:
    text = card(left_out=3)[1]
    assert "3 images of this job were left out by people" in text
    assert "left out by people" not in card()[1]
    assert re.search(r"Gleanset \S+, source revision ([0-9a-f]{40}|unknown)", text)
    tally = Tally()
    tally.add(entry(decision="keep"))
    kept = dataset_card(ABOUT, tally, guide_to_plain(METADATA_FIELDS, {}))
    assert "of the images here 1 were kept by people, whatever rules they broke" in kept
    told = json.loads(dataset_json(replace(ABOUT, left_out=3), tally))
    assert (told["left_out_by_people"], "revision" in told["software"]) == (3, True)


def test_a_long_label_is_cut_in_the_card() -> None:
    tally = Tally()
    tally.add(entry(label="a" * 300))
    text = dataset_card(ABOUT, tally, guide_to_plain(METADATA_FIELDS, {}))
    assert f"| {'a' * 99}… | 1 |" in text
    assert "a" * 300 in json.loads(dataset_json(ABOUT, tally))["labels"]
