"""README.md of a dataset: what is in it, where it comes from, what was left out, and how to load it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from gleanset.export import paper_names as names
from gleanset.export.base import About, Splitting
from gleanset.export.guide import Guide
from gleanset.export.markdown import escaped, plain
from gleanset.export.revision import release, revision
from gleanset.export.tally import Tally
from gleanset.sources.licence import UNKNOWN, licence_name
from gleanset.types import Licence

_MOST_ROWS = 200
_LONGEST_NAME = 100
_LONGEST = 20_000
_HUB_VERSIONED = {
    *("by-2.0", "by-2.5", "by-3.0", "by-4.0", "by-nc-2.0", "by-nc-3.0", "by-nc-4.0", "by-nc-nd-3.0", "by-nc-nd-4.0"),
    *("by-nc-sa-2.0", "by-nc-sa-3.0", "by-nc-sa-4.0", "by-nd-4.0", "by-sa-3.0", "by-sa-4.0"),
}
"""The licences that the Hugging Face hub has words for; all others are `other` there."""


def dataset_card(about: About, tally: Tally, guide: Guide, sheet: Sequence[str] | None = None) -> str:
    """The card as Markdown, with the YAML head that the Hugging Face hub reads.

    `sheet`: the labels of the contact sheet's rows from the top, when there is one.
    """
    return f"""---
{_head(about, tally, guide)}---

# {escaped(about.name)}

{tally.images:,} images ({tally.bytes:,} bytes), gathered with Gleanset on {about.created:%Y-%m-%d}.

{_sheet(sheet)}{_files(guide, sheet)}
Check it with `gleanset verify`, or with `sha256sum -c MANIFEST.sha256` in the unpacked folder.

## Loading it

{_loading(guide)}
## Licences

Each image has the licence in its row of the metadata, as its source states it; `unknown` means that the source states
none, and permission is yours to find out. [ATTRIBUTION.md](ATTRIBUTION.md) has the credit that each image asks for.

{_table("Licence", _named(tally))}
{_counted("Splits", "Split", tally.splits)}{_splitting(about.splitting)}## Labels

{_table("Label", tally.labels)}
## Sources

{_table("Source", tally.sources)}
## Formats

{_table("Format", tally.formats)}
## How it was made

{_origin(about, tally)}
Keywords: `{_code(json.dumps(about.keywords, ensure_ascii=False))}`

Rules{_rules_name(about)}: `{_code(json.dumps(dict(about.rules), ensure_ascii=False))}`

{_changes(about.changes)}Images that could not be had, by reason:

{_table("Reason", about.failures)}
Images that broke a rule, by rule (one image may break several{_kept_anyway(tally)}):

{_table("Rule", about.invalid)}"""


def _head(about: About, tally: Tally, guide: Guide) -> str:
    head = f"pretty_name: {_quoted(about.name)}\n"
    head += f"license:\n{''.join(f'- {each}{chr(10)}' for each in _hub_licences(tally))}"
    head += "task_categories:\n- image-classification\n"
    head += f"size_categories:\n- {_size_category(tally.images)}\n"
    head += "tags:\n- image\n- gleanset\n"
    if guide.data_files:
        files = [{"split": split, "path": list(paths)} for split, paths in guide.data_files.items()]
        head += f"configs: {json.dumps([{'config_name': 'default', 'data_files': files}])}\n"
    if guide.features:
        head += f"dataset_info: {json.dumps({'features': list(guide.features)})}\n"
    return head


def _quoted(text: str) -> str:
    """As YAML. JSON is that, so a hostile name does not end the head; but some characters are line ends there, or not
    allowed at all."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda each: f"\\u{ord(each[0]):04x}", quoted)


def _hub_licences(tally: Tally) -> list[str]:
    return sorted({_hub_licence(licence) for licence in tally.licences}) or [UNKNOWN]


def _hub_licence(licence: Licence | None) -> str:
    """A word of https://huggingface.co/docs/hub/repositories-licenses."""
    if licence is None:
        return UNKNOWN
    if licence.code == "cc0":
        return "cc0-1.0"
    versioned = f"{licence.code}-{licence.version}"
    return f"cc-{versioned}" if versioned in _HUB_VERSIONED else "other"


def _sheet(sheet: Sequence[str] | None) -> str:
    if not sheet:
        return ""
    rows = "; ".join(f"{number} {escaped(label)}" for number, label in enumerate(sheet, 1))
    return f"![Some of the images, a row a label]({names.SHEET})\n\nRows: {rows}.\n\n"


def _files(guide: Guide, sheet: Sequence[str] | None) -> str:
    """What lies where."""
    files = {
        **guide.files,
        names.ATTRIBUTION: "title, creator, source and licence of every image, as CC BY asks for them",
        names.ORIGIN: "which crawl, rules, decisions and version of Gleanset it comes from, and counts",
        names.CROISSANT: "the same for machines, in Croissant 1.1",
        **({names.SHEET: "some of the images"} if sheet else {}),
        names.MANIFEST: "the SHA-256 of every file",
    }
    return "".join(
        f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {what}\n" for names, what in files.items()
    )


def _loading(guide: Guide) -> str:
    """How each client reads the unpacked folder."""
    return (
        "".join(f"{client}:\n\n```python\n{code}\n```\n\n" for client, code in guide.loading.items()).rstrip("\n")
        + "\n"
    )


def _named(tally: Tally) -> dict[str, int]:
    return {UNKNOWN if licence is None else licence_name(licence): count for licence, count in tally.licences.items()}


def _origin(about: About, tally: Tally) -> str:
    """Numbers of the jobs and what people did, as a list."""
    told = about.origin
    lines = [
        f"Fingerprint of images, labels, splits, licences and decisions: `{tally.fingerprint}`",
        f"Gleanset {release()}, source revision {revision() or 'unknown'}",
    ]
    if about.left_out:
        lines.append(f"{about.left_out:,} images of this job were left out by people")
    if told.crawl_job is not None:
        refreshed = f", which refreshed crawl job {told.refresh_of}" if told.refresh_of else ""
        lines.append(f"Crawl job {told.crawl_job}{refreshed}")
    if told.validation_job is not None:
        lines.append(f"Validation job {told.validation_job}")
    if told.decisions:
        made = ", ".join(f"{choice} {count:,}" for choice, count in sorted(told.decisions.items()))
        lines.append(
            f"Decisions of people in the project: {made}; {tally.decisions['keep']:,} of these images were kept"
        )
    if tally.resized:
        lines.append(f"{tally.resized:,} images are resized copies of what the sources served")
    return "".join(f"- {line}\n" for line in lines)


def _kept_anyway(tally: Tally) -> str:
    kept = tally.decisions["keep"]
    return f"; of the images here {kept:,} were kept by people, whatever rules they broke" if kept else ""


def _rules_name(about: About) -> str:
    told = about.origin
    name = f" `{_code(told.rules_name)}`" if told.rules_name else ""
    return f"{name} (hash `{_code(told.rules_hash)}`)" if told.rules_hash else name


def _changes(changes: Mapping[str, int]) -> str:
    return (
        f"Images since the crawl before, which this one refreshed:\n\n{_table('Change', changes)}\n" if changes else ""
    )


def _counted(title: str, head: str, counts: Mapping[str, int]) -> str:
    return f"## {title}\n\n{_table(head, counts)}\n" if counts else ""


_TOGETHER = {
    "near_duplicates": "near-duplicates (PDQ hashes that differ in at most 31 of 256 bits)",
    "series": "all images of one creator at one source",
}


def _splitting(told: Splitting | None) -> str:
    """What was kept together, and what that cost."""
    if told is None:
        return ""
    kept = ["the same bytes", *(_TOGETHER[each] for each in told.kept_together)]
    text = f"Never in two splits: {'; '.join(kept)}. The column `group` tells what belongs together.\n\n"
    if told.left_out:
        text += f"Left out, because of what they have in common with the fixed test set: {told.left_out:,} images.\n\n"
    if told.moved:
        text += f"In another split than before, because new images tie them to others: {told.moved:,}.\n\n"
    return text


def _table(head: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return "None.\n"
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rows = "".join(f"| {escaped(name, _LONGEST_NAME)} | {count:,} |\n" for name, count in ordered[:_MOST_ROWS])
    more = len(ordered) - _MOST_ROWS
    rest = f"\n{more:,} more are in `{names.ORIGIN}`.\n" if more > 0 else ""
    return f"| {head} | Images |\n|---|---:|\n{rows}{rest}"


def _code(text: str) -> str:
    """Text of other people within a code span."""
    return plain(text, _LONGEST).replace("`", "'")


def _size_category(images: int) -> str:
    for limit, name in (
        *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
        *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M")),
    ):
        if images < limit:
            return name
    return "100M<n<1B"
