"""`gleanset diff`: what became of a dataset from one export to the next."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from backend.cli.crawl import Json
from backend.cli.packages import AllowPrivate, opened, place_of
from backend.config import get_settings
from gleanset.export.markdown import plain

if TYPE_CHECKING:
    from gleanset.export.diff import Diff, Difference

_EXPORT = "A path, https:// or s3:// address of an export, or the number of an export job."
_COLUMN_OF = {"bytes": "sha256", "address": "original_url"}
_ORIGINS = (
    ("crawl job", ("crawl", "job")),
    ("validation job", ("validation", "job")),
    ("rules", ("validation", "rules_name")),
    ("rules' hash", ("validation", "rules_hash")),
    ("decisions' hash", ("decisions", "sha256")),
    ("gleanset", ("software", "version")),
    ("fingerprint", ("fingerprint",)),
)


def diff(
    before: Annotated[str, typer.Argument(metavar="EXPORT", help=_EXPORT)],
    after: Annotated[str, typer.Argument(metavar="EXPORT", help="The later one.")],
    *,
    limit: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many images of each kind to list.")] = 20,
    allow_private: AllowPrivate = False,
    json: Json = False,
) -> None:
    """What was added, removed and changed from one export to another.

    An image is the same when it has the same address, or else the same bytes. Of one that is in both it is told whether
    its bytes, size, address, label, split, licence, decision, or what is told for the credit are others now.
    """
    from gleanset.export.diff import diff as diff_packages  # numpy, which most commands do without

    settings = get_settings()
    places = [place_of(settings, given) for given in (before, after)]
    with (
        opened(settings, places[0], allow_private=allow_private, quiet=json) as old,
        opened(settings, places[1], allow_private=allow_private, quiet=json) as new,
    ):
        found = diff_packages(old, new, limit)
    if json:
        typer.echo(jsonlib.dumps(_as_json(found)))
    else:
        _print(found)


def _as_json(found: Diff) -> dict[str, Any]:
    return {
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "same": found.same,
        "changes": found.by_change,
        "options": {name: {"before": one, "after": other} for name, (one, other) in found.options.items()},
        "before": found.before,
        "after": found.after,
        "images": [{"what": each.what, "before": each.before, "after": each.after} for each in found.listed],
    }


def _print(found: Diff) -> None:
    typer.echo(f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed, {found.same:,} the same.")
    changes = ", ".join(f"{name} {count:,}" for name, count in found.by_change.items() if count)
    if changes:
        typer.echo(f"Changed: {changes}.")
    for name, path in _ORIGINS:
        one, other = _at(found.before, path), _at(found.after, path)
        if one != other:
            typer.echo(f"{name}: {one} -> {other}")
    for name, (one, other) in found.options.items():
        typer.echo(f"option {name}: {_json(one)} -> {_json(other)}")
    for each in found.listed:
        typer.echo(_line(each))


def _json(value: object) -> str:
    return _shown(value if value is None else jsonlib.dumps(value, ensure_ascii=False))


def _line(each: Difference) -> str:
    from gleanset.export.diff import TOGETHER

    row = each.after or each.before or {}
    line = f"{', '.join(each.what):<10} {_shown(row.get('label'))}  {_shown(row.get('file_name'))}"
    if each.before is None or each.after is None:
        return f"{line}  {_shown(row.get('original_url'))}"
    for what in each.what:
        if what == "resized":
            line += f"  resized: {_size(each.before)} -> {_size(each.after)}"
            continue
        first, *others = TOGETHER.get(what, (_COLUMN_OF.get(what, what),))
        column = next((name for name in (first, *others) if each.before.get(name) != each.after.get(name)), first)
        name = what if column == first else column
        line += f"  {name}: {_shown(each.before.get(column))} -> {_shown(each.after.get(column))}"
    return line


def _size(row: Mapping[str, Any]) -> str:
    return f"{_shown(row.get('width'))} x {_shown(row.get('height'))} {_shown(row.get('format'))}"


def _shown(value: object) -> str:
    return "-" if value is None else plain(str(value), 200)


def _at(told: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """What an export says of itself, or that it says nothing."""
    value: Any = told
    for step in path:
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    return _shown(value)
