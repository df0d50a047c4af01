"""What a benchmark hands back, and how it is printed, kept as JSON and put into the README."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BEGIN, END = "<!-- results: written by python -m benchmarks -->", "<!-- end of results -->"


class Skipped(Exception):
    """The benchmark cannot be run here; why, as a sentence."""


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's table. `figures` are its numbers for programs; `commands` what was run, as one would type it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: dict[str, Any]
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()
    versions: dict[str, str] = field(default_factory=dict[str, str])


def machine() -> dict[str, str]:
    """Processor, memory and system, as far as they matter to a figure."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else []
    return {
        "processor": f"{os.cpu_count()} x {models[0] if models else platform.processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in ("gleanset", *packages)}


def show(result: Result) -> None:
    table = Table(title=result.title, title_justify="left")
    for number, column in enumerate(result.columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in result.rows:
        table.add_row(*row)
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for note in result.notes:
        console.print(f"- {note}", highlight=False)


def keep(name: str, result: Result) -> None:
    """Write the result's JSON, and the README's tables anew from all results that are kept."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **asdict(result),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    readme = HERE / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    tables = "\n".join(_markdown(json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json")))
    readme.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def _markdown(document: dict[str, Any]) -> str:
    columns, rows = document["columns"], document["rows"]
    lines = [f"### {document['title']}", ""]
    lines += [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)]), *map(_row, rows), ""]
    lines += [f"- {note}" for note in document["notes"]]
    where = document["machine"]
    place = f"{document['finished_at'][:10]}, {where['processor']}, {where['memory']}, {where['system']}"
    parts = {"Python": where["python"], **document["versions"]}
    lines.append(f"- {place}; {', '.join(f'{name} {number}' for name, number in parts.items())}")
    if document["commands"]:
        lines += ["", "```sh", *document["commands"], "```"]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
