"""Which commit of Gleanset runs, as far as that can be read: nothing is run for it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@cache
def release() -> str:
    """Gleanset's own version."""
    return version("gleanset")


@cache
def revision() -> str | None:
    """The commit that pip installed from, or that is checked out around this file; None when neither is known."""
    return installed_from() or checked_out(Path(__file__).parents[2])


def installed_from() -> str | None:
    """As `direct_url.json` (PEP 610) has it of what was installed from a repository."""
    with suppress(PackageNotFoundError, ValueError, AttributeError):
        told: Any = json.loads(distribution("gleanset").read_text("direct_url.json") or "{}")
        return _commit(str(told.get("vcs_info", {}).get("commit_id", "")))
    return None


def checked_out(root: Path) -> str | None:
    """The HEAD of the repository whose root this is; also of a worktree, whose `.git` is a file."""
    with suppress(OSError, UnicodeDecodeError):
        place = root / ".git"
        if place.is_file():
            place = root / place.read_text().removeprefix("gitdir:").strip()
        head = (place / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return _commit(head)
        name = head.removeprefix("ref:").strip()
        common = place / "commondir"
        shared = place / common.read_text().strip() if common.is_file() else place
        for folder in (place, shared):
            if (folder / name).is_file():
                return _commit((folder / name).read_text().strip())
        for line in (shared / "packed-refs").read_text().splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None
