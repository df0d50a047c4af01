"""How the doctor's findings look: for a person, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from backend.services.doctor import Section, Severity

_MARKS = {"well": ("✓", "green"), "error": ("✗", "bold red"), "advice": ("!", "yellow"), "skipped": ("–", "dim")}


def diagnosis_as_json(sections: Sequence[Section]) -> str:
    """The findings as one JSON object on one line."""
    return json.dumps(
        {
            "status": overall(sections),
            "sections": [{"state": section.state, **asdict(section)} for section in sections],
        }
    )


def overall(sections: Sequence[Section]) -> str:
    """The worst state of all: error, advice or well."""
    states = {section.state for section in sections}
    return next((severity.value for severity in Severity if severity in states), "well")


def print_diagnosis(sections: Sequence[Section]) -> None:
    """A line a check, and below it what was found, each with the command that mends it on a line of its own."""
    console = Console(highlight=False)
    width = max(len(section.title) for section in sections)
    for section in sections:
        mark, style = _MARKS[section.state]
        remark = "" if section.findings else f"skipped: {section.skipped}" if section.skipped else section.note
        line = Text.assemble((mark, style), " ", (section.title.ljust(width), "bold"), "  ", (remark, "dim"))
        line.rstrip()
        console.print(line, soft_wrap=True)
        for finding in section.findings:
            examples = f" For instance: {', '.join(finding.examples)}." if finding.examples else ""
            console.print(Text(f"    {finding.what}{examples}"), soft_wrap=True)
            if finding.command:
                console.print(Text(f"      {finding.command}", style="cyan"), soft_wrap=True)
    console.print(_summary(sections), soft_wrap=True)


def _summary(sections: Sequence[Section]) -> str:
    found = [finding.severity for section in sections for finding in section.findings]
    errors, advice = found.count(Severity.ERROR), found.count(Severity.ADVICE)
    if errors:
        wrong = "One thing is" if errors == 1 else f"{errors} things are"
        return f"\n{wrong} wrong. The commands mend them, best from the top down; then look again: gleanset db doctor"
    if any(section.skipped for section in sections):
        return "\nNothing wrong was found, but not everything could be looked at."
    return "\nNothing is wrong." if advice else "\nAll is well."
