"""The image and the compose file name what is there: settings, commands, files. They are not built here."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from backend.cli import app
from backend.config import Settings
from tests.test_documents import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
SETTINGS = {f"GLEANSET_{name.upper()}" for name in Settings.model_fields}
SAMPLE = {
    "GLEANSET_SECRET_KEY": "x" * 32,
    "POSTGRES_PASSWORD": "secret",
    "STORE_USER": "user",
    "STORE_PASSWORD": "secret",
}


def filled_in(value: str) -> str:
    return re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", lambda found: SAMPLE.get(found[1], ""), value)


def takes(words: list[str]) -> None:
    """Fails unless the program takes this command line."""
    command: Any = typer.main.get_command(app)
    rest = [str(word) for word in words]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    assert not getattr(command, "commands", {})
    command.make_context("gleanset", rest)


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    copied = [word for line in instructions("COPY") if "--from" not in line for word in shlex.split(line)[:-1]]
    assert {"gleanset", "backend", "alembic", "requirements.txt"} <= set(copied)
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch(name, pattern) for pattern in kept), f"{name} is not sent to the builder"


def test_the_image_is_not_root_and_names_real_settings_and_a_real_command() -> None:
    assert instructions("USER") == ["10001"]
    assert instructions("ENTRYPOINT") == ['["gleanset"]']
    [default] = [yaml.safe_load(line) for line in instructions("CMD")]
    takes(default)
    named = set(re.findall(r"\bGLEANSET_\w+", DOCKERFILE))
    assert named
    assert named <= SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_has_real_settings_a_real_command_and_a_read_only_root(name: str) -> None:
    service = OURS[name]
    takes(service["command"])
    ours = {key: filled_in(str(value)) for key, value in service["environment"].items() if key.startswith("GLEANSET_")}
    assert ours.keys() <= SETTINGS
    Settings.model_validate({key.removeprefix("GLEANSET_").lower(): value or None for key, value in ours.items()})
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_is_whole() -> None:
    services = COMPOSE["services"]
    assert {"web", "worker", "migrate", "proxy", "database", "store"} <= services.keys()
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    told = set(re.findall(r"^(\w+)=", Path(ROOT / "deploy/example.env").read_text(), re.MULTILINE))
    assert asked == told


def test_the_proxy_is_trusted_and_does_not_hold_events_back() -> None:
    [network] = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert OURS["web"]["environment"]["GLEANSET_TRUSTED_PROXIES"] == network["subnet"]
    assert "flush_interval -1" in (ROOT / "deploy/Caddyfile").read_text()
