"""`gleanset activity`: who did what, when."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from backend.cli.asking import in_transaction
from backend.cli.listing import JsonList, print_list, when
from backend.cli.people import found_person
from backend.errors import BadInput
from backend.models import ActivityLog
from backend.models.enums import Role
from backend.schemas.activity import ActivityLogResponse
from backend.services import activity as log
from backend.services.access import Actor
from backend.services.profiles import LOCAL_OWNER

_LONGEST = 60
_READER = Actor(user_id=LOCAL_OWNER, role=Role.ADMIN)
"""Whoever has the machine reads what admins read; a look makes no owner where there is none yet."""


def activity(
    *,
    user: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only what this person did.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="BEGINNING", help="Only actions that begin so: crawl_job. or user.created")
    ] = None,
    resource: Annotated[
        str | None, typer.Option(metavar="KIND/NUMBER", help="Only what was done to this: crawl_jobs/3")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Only from then on: 2026-11-01, or 2026-11-01T14:30")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only up to then; a day is meant to its end.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 50,
    json: JsonList = False,
) -> None:
    """The activity log, the newest first: when, who, what, on what, and from which state to which.

    What became of crawl job 3, and by whom: gleanset activity --resource crawl_jobs/3
    """
    if action is not None and not re.fullmatch(r"[a-z_.]{1,50}", action):
        raise BadInput(f"An action looks like crawl_job.created, or begins so, not {action!r}.")
    on = _resource(resource)
    first, last = _moment(since, last=False), _moment(until, last=True)

    async def read(session: AsyncSession) -> list[ActivityLog]:
        person = await found_person(session, user) if user is not None else None
        query, entry = await log.entries(
            session,
            _READER,
            user_id=person.id if person else None,
            action=action,
            resource=on,
            since=first,
            until=last,
        )
        query = query.options(joinedload(entry.user)).order_by(entry.id.desc()).limit(limit)
        return list(await session.scalars(query))

    print_list(in_transaction(read), _table, "Nothing of the kind was done yet.", _told if json else None)


def _resource(given: str | None) -> tuple[str, int] | None:
    if given is None:
        return None
    found = re.fullmatch(r"([a-z_]{1,50})/([0-9]{1,18})", given)
    if found is None:
        raise BadInput(f"What it was done to looks like crawl_jobs/3, not {given!r}.")
    return found[1], int(found[2])


def _moment(given: str | None, *, last: bool) -> datetime | None:
    """By the clock of this machine unless it says another. Raises BadInput."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
        if last and len(given) <= len("2026-11-01"):
            moment += timedelta(days=1)
        return moment.astimezone()
    except (ValueError, OverflowError):
        raise BadInput(f"A time looks like 2026-11-01 or 2026-11-01T14:30, not {given!r}.") from None


def _told(entry: ActivityLog) -> dict[str, Any]:
    """As the API tells it, with the person's e-mail."""
    told = ActivityLogResponse.model_validate(entry).model_dump(mode="json")
    return told | {"user": entry.user.email if entry.user else None}


def _table(found: Sequence[ActivityLog]) -> Table:
    lines = [Column(name, no_wrap=True) for name in ("when", "who", "what")]
    folded = [Column(name, overflow="fold") for name in ("on", "from -> to")]
    table = Table(*lines, *folded, box=None, pad_edge=False)
    for each in found:
        metadata = each.metadata_ or {}
        who = each.user.email if each.user else metadata.get("by", "somebody who is gone")
        name = metadata.get("name") or metadata.get("email")
        on = " ".join(str(part) for part in (each.resource_type, each.resource_id, name) if part)
        change = f"{_short(metadata.get('from'))} -> {_short(metadata.get('to'))}" if "to" in metadata else ""
        table.add_row(when(each.timestamp), Text(str(who)), Text(each.action), Text(on), Text(change))
    return table


def _short(state: Any) -> str:
    text = "-" if state is None else state if isinstance(state, str) else jsonlib.dumps(state, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
