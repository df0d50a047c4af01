"""`gleanset rules` and `compare`, and rules as options."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.cli.display import print_counts
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput, NotFound
from backend.models import CrawlJob, ValidationJob
from backend.schemas.rules import ComparisonResponse, presets
from backend.services import comparing
from backend.services.foretelling import Foretold, foretell
from gleanset.presets import PRESETS
from gleanset.rules import VERSION, RuleSet

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Rule = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="NAME=VALUE",
        help="A rule every image must keep, e.g. min_width=256; NAME=none takes one of --rules away. Repeatable.",
    ),
]
Rules = Annotated[
    str | None,
    typer.Option(
        "--rules",
        "--preset",
        metavar="NAME|FILE",
        help=f"Rules to begin with: {', '.join(PRESETS)}, or a JSON file with name and rules; --rule wins over it.",
    ),
]
_MOST_BYTES = 1_000_000
_OF_A_SET = ("name", "version", "hash", "rules")
"""What a rule set has, as `gleanset rules NAME --json` prints it; the hash follows from the rules, and is not read."""


def parse_rules(single: list[str] | None, whole: str | None) -> tuple[dict[str, Any], str | None]:
    """Rules as `RuleSet.parse` takes them, and their name. Raises BadInput, and RuleError where they are used."""
    rules, name = ({"preset": whole}, None) if whole is None or whole in PRESETS else _read(Path(whole))
    given: dict[str, str] = {}
    for text in single or []:
        rule, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise BadInput(f"A rule looks like min_width=256, not {text!r}.")
        if rule in given:
            raise BadInput(f"The rule {rule} is given twice, as {given[rule]} and as {value}. Leave one out.")
        given[rule] = value
    return rules | {rule: None if value.lower() == "none" else value for rule, value in given.items()}, name


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    try:
        with path.open("rb") as file:
            given: object = jsonlib.loads(file.read(_MOST_BYTES), object_pairs_hook=_each_once)
    except OSError as error:
        raise BadInput(
            f"There is no preset and no file {str(path)!r}; the presets are: {', '.join(PRESETS)}. ({error.strerror})"
        ) from error
    except _Twice as error:
        raise BadInput(f"{path} has {str(error)!r} twice. Leave one out.") from error
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else error
        raise BadInput(f"{path} is not JSON: {reason}.") from error
    document: Mapping[str, object] = cast("Mapping[str, object]", given) if isinstance(given, dict) else {}
    rules, name, version = document.get("rules"), document.get("name"), document.get("version", VERSION)
    if not isinstance(rules, dict) or not isinstance(name, str | None):
        raise BadInput(f'{path} is no rule set: it looks like {{"name": "birds", "rules": {{"min_width": 256}}}}.')
    if unknown := document.keys() - _OF_A_SET:
        raise BadInput(
            f"{path} has {', '.join(map(repr, sorted(unknown)))} beside the rules, which means nothing: a rule set has"
            f" {', '.join(_OF_A_SET)}."
        )
    if version != VERSION:
        raise BadInput(f"{path} is of version {version} of the rules; this Gleanset knows {VERSION}.")
    return dict(cast("Mapping[str, Any]", rules)), name[:100] if name else None


class _Twice(Exception):
    """A name occurs twice in one object."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def rules(
    name: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(PRESETS)}; all without it.")] = None,
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one set as --rules takes it from a file, or a list of all.")
    ] = False,
) -> None:
    """The rule sets that come along, and what they ask."""
    found = [each for each in presets() if name in (None, each.name)]
    if not found:
        raise BadInput(f"There is no preset {name!r}. The presets are: {', '.join(PRESETS)}.")
    if json:
        shown = [each.model_dump() for each in found]
        typer.echo(jsonlib.dumps(shown[0] if name else shown, indent=2))
        return
    table = Table("rule", *(each.name for each in found), box=None, pad_edge=False)
    for rule in dict.fromkeys(rule for each in reversed(found) for rule in each.rules):
        table.add_row(rule, *(_said(each.rules.get(rule)) for each in found))
    Console().print(table)


def _said(value: Any) -> str:
    return "" if value is None else jsonlib.dumps(value)


async def dry_run(job_id: int, rules: RuleSet, *, json: bool) -> None:
    """Tell what a validation by these rules would find. Raises NotFound."""
    async with (
        await asyncio.to_thread(Database.ready, get_settings()) as database,
        database.transaction() as session,
    ):
        if await session.get(CrawlJob, job_id) is None:
            raise NotFound(f"There is no crawl job {job_id}. `gleanset jobs list` shows those there are.")
        found = await foretell(session, job_id, rules.rules, get_settings().indexes)
    if json:
        typer.echo(jsonlib.dumps(_foretold(job_id, rules, found)))
        return
    console = Console(highlight=False)
    console.print(
        f"By these rules ({rules.name}) {found.valid:,} of {found.total:,} images would be valid. Nothing was written.",
        soft_wrap=True,
    )
    print_counts(console, "Would be refused, by broken rule", found.invalid, {})
    if found.not_judged:
        console.print(f"Not judged, as it takes long: {', '.join(found.not_judged)}.")


def _foretold(job_id: int, rules: RuleSet, found: Foretold) -> dict[str, Any]:
    return {
        "crawl_job_id": job_id,
        "rules_name": rules.name,
        "rules_hash": rules.hash,
        "total": found.total,
        "valid": found.valid,
        "invalid": found.invalid,
        "not_judged": found.not_judged,
    }


def compare(
    before: Annotated[int, typer.Argument(help="Number of the earlier validation.")],
    after: Annotated[int, typer.Argument(help="Number of the later one, of the same crawl job.")],
    *,
    images: Annotated[
        int, typer.Option("--images", min=0, max=1_000_000, help="Name so many images that changed, too.")
    ] = 0,
    json: Json = False,
) -> None:
    """What changed between two validations of a crawl job, and why."""

    async def run() -> None:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            both = [await session.get(ValidationJob, number) for number in (before, after)]
            earlier, later = both
            if earlier is None or later is None:
                raise NotFound(f"There is no validation {before if earlier is None else after}.")
            found = await comparing.compare(session, earlier, later)
            changed = await comparing.changed(session, earlier, later, None, 0, images) if images else []
        if json:
            shown = found.model_dump() | {"images": [each.model_dump() for each in changed]}
            typer.echo(jsonlib.dumps(shown))
            return
        _print(Console(highlight=False), found)
        for each in changed:
            was, now = (", ".join(verdict.reasons) or "valid" for verdict in (each.before, each.after))
            typer.echo(f"image {each.image_id}: {was} -> {now}")

    asyncio.run(run())


def _print(console: Console, found: ComparisonResponse) -> None:
    for rule, asked in found.rules.items():
        console.print(Text(f"{rule}: {_said(asked.before) or 'none'} -> {_said(asked.after) or 'none'}"))
    if not found.rules:
        console.print("Both judged by the same rules.")
    console.print(
        f"{found.became_valid:,} images became valid, {found.became_invalid:,} became invalid,"
        f" {found.other_reasons:,} are invalid for other reasons; {found.same:,} verdicts are the same.",
        soft_wrap=True,
    )
    if found.only_before or found.only_after:
        console.print(f"{found.only_before:,} images were judged before only, {found.only_after:,} now only.")
    print_counts(console, "Became valid; what refused them", found.became_valid_by, {})
    print_counts(console, "Became invalid; what refuses them", found.became_invalid_by, {})
