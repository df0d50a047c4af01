"""`gleanset verify`: whether an export is as it was made."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from backend.cli.crawl import Json
from backend.cli.packages import AllowPrivate, opened, reading
from backend.config import get_settings
from gleanset.export.markdown import plain
from gleanset.export.verify import Verified
from gleanset.export.verify import verify as verify_package

_SHOWN = 20
_MEANING = {
    "missing": "in the manifest, but not there",
    "altered": "with other bytes than the manifest says",
    "additional": "there, but not in the manifest",
    "repeated": "there twice",
    "unsafe": "a link, a device, or with a name that leads elsewhere",
}


def verify(
    place: Annotated[
        str,
        typer.Argument(metavar="PATH|URL", help="A zip, a tar (also .gz, .zst), a folder; a path, https:// or s3://."),
    ],
    *,
    allow_private: AllowPrivate = False,
    json: Json = False,
) -> None:
    """Check every file of an export against its manifest: nothing missing, nothing altered, nothing added.

    Exit code 0 when all is well, 1 when something is not, 2 when there is no export to check. Nothing is unpacked.

    Who can alter an export can alter its manifest too: compare the manifest's own hash, which is printed.
    """
    settings = get_settings()
    with opened(settings, place, allow_private=allow_private, quiet=json) as package:
        with reading(package, quiet=json) as progress:
            found = verify_package(package, progress)
        if json:
            typer.echo(jsonlib.dumps(_as_json(found)))
        else:
            _print(package.name, found)
    if not found.sound:
        raise typer.Exit(1)


def _as_json(found: Verified) -> dict[str, Any]:
    lists = {name: {"count": listing.count, "files": listing.files} for name, listing in found.listings.items()}
    return {
        "sound": found.sound,
        "files": found.files,
        "bytes": found.bytes,
        "manifest_sha256": found.manifest_sha256,
        "damage": found.damage,
        "not_portable": {"count": found.not_portable.count, "files": found.not_portable.files},
        **lists,
    }


def _print(name: str, found: Verified) -> None:
    size = f"{found.files:,} files, {decimal(found.bytes)}"
    if found.sound:
        typer.echo(f"{plain(name)} is sound: {size}, each as the manifest says.")
    else:
        typer.echo(f"{plain(name)} is NOT sound ({size} read).")
    if found.damage:
        typer.echo(plain(found.damage))
    for what, listing in found.listings.items():
        if not listing.count:
            continue
        typer.echo(f"\n{what}: {listing.count:,}, {_MEANING[what]}")
        for file in listing.files[:_SHOWN]:
            typer.echo(f"  {plain(file)}")
        if listing.count > _SHOWN:
            typer.echo(f"  and {listing.count - _SHOWN:,} more")
    if (count := found.not_portable.count) > 0:
        typer.echo(f"\nWarning: {count:,} names that Windows or macOS cannot unpack as they are:")
        for file in found.not_portable.files[:_SHOWN]:
            typer.echo(f"  {plain(file)}")
    if found.manifest_sha256:
        typer.echo(f"SHA-256 of the manifest: {found.manifest_sha256}")
