"""Options of `gleanset crawl` that would be ignored beside others: whoever gives one wants something of it."""

from __future__ import annotations

import typer

from backend.errors import BadInput

_BESIDE_REFRESH = {
    "refresh", "max_images", "json", "export", "out", "split", "folds", "fixed_test", "follow", "related", "seed",
    "labels", "export_resize", "rename", "max_shard_size", "metadata",
}  # fmt: skip
_NEEDS = (
    (("url_column", "label_column"), ("urls",), "says how to read a list: give --urls FILE too."),
    (("depth", "pages", "sitemaps"), ("website",), "says how to read a website: give --website URL too."),
    (("source",), ("keywords",), "says whom to ask for keywords: give a KEYWORD too."),
    (
        ("label",),
        ("urls", "website", "folder"),
        "is for a list, website or folder: leave it out, each keyword is the label of its pictures.",
    ),
    (("keep_original",), ("resize",), "says what to keep beside resized copies: give --resize PIXELS too."),
)
"""Options, those of which one has to be there with them, and what is said otherwise."""


def check_given(context: typer.Context) -> None:
    """Refuse what would be ignored. Raises BadInput."""
    given = _given(context)
    if "refresh" in given:
        others = ", ".join(called for name, called in given.items() if name not in _BESIDE_REFRESH)
        if others:
            raise BadInput(
                "A refresh takes its plan from the job: beside --refresh only -n, --json, and what is to be packed go."
                f" Leave out {others}."
            )
    for options, needed, sentence in _NEEDS:
        for name in options:
            if name in given and given.keys().isdisjoint(needed):
                raise BadInput(f"{given[name]} {sentence}")
    if {"label", "label_column"} <= given.keys():
        raise BadInput("--label is one label for all, and --label-column one for each row: give one of them.")


def _given(context: typer.Context) -> dict[str, str]:
    """What the command line itself says, each with what it is called there."""
    return {
        parameter.name: _called(parameter.opts) if parameter.param_type_name == "option" else "KEYWORD"
        for parameter in context.command.params
        if parameter.name and _is_said(context, parameter.name)
    }


def _called(names: list[str]) -> str:
    return next((name for name in names if name.startswith("--")), names[0])


def _is_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
