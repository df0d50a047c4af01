"""dataset.json: which crawl, rules, decisions and code a dataset comes from, and its counts, for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gleanset.export.base import About
from gleanset.export.revision import release, revision
from gleanset.export.tally import Tally
from gleanset.sources.licence import UNKNOWN
from gleanset.types import Licence


def dataset_json(about: About, tally: Tally) -> bytes:
    """The file: the same jobs, rules, decisions and images give the same bytes."""
    return (json.dumps(_told(about, tally), ensure_ascii=False, indent=2) + "\n").encode()


def _told(about: About, tally: Tally) -> dict[str, Any]:
    origin = about.origin
    return {
        "name": about.name,
        "created": about.created.isoformat(),
        "software": {"name": "gleanset", "version": release(), "revision": revision()},
        "fingerprint": tally.fingerprint,
        "crawl": {"job": origin.crawl_job, "refresh_of": origin.refresh_of, "keywords": about.keywords},
        "validation": {
            "job": origin.validation_job,
            "rules": dict(about.rules),
            "rules_name": origin.rules_name,
            "rules_hash": origin.rules_hash,
        },
        "decisions": {**origin.decisions, "sha256": origin.decisions_sha256},
        "options": dict(origin.options),
        "images": tally.images,
        "bytes": tally.bytes,
        "resized": tally.resized,
        "labels": _sorted(tally.labels),
        "splits": _sorted(tally.splits),
        "splitting": None if about.splitting is None else asdict(about.splitting),
        "sources": _sorted(tally.sources),
        "licences": _sorted({_code(licence): count for licence, count in tally.licences.items()}),
        "formats": _sorted(tally.formats),
        "kept_by_people": tally.decisions["keep"],
        "left_out_by_people": about.left_out,
        "not_had": _sorted(about.failures),
        "not_valid": _sorted(about.invalid),
        "changes": _sorted(about.changes),
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _code(licence: Licence | None) -> str:
    return UNKNOWN if licence is None else f"{licence.code} {licence.version or ''}".rstrip()
