"""The image and the compose file name what is there: settings, commands, files. They are not built here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
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


def test_what_the_package_is_built_from_is_copied_into_the_image() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    asked = {"pyproject.toml", pyproject["project"]["readme"], *pyproject["project"]["license-files"]}
    asked |= {*wheel["packages"], *wheel["force-include"]}
    copied = {word for line in instructions("COPY") if "--from" not in line for word in shlex.split(line)[:-1]}
    assert asked <= copied


def test_dependencies_and_code_are_layers_of_their_own() -> None:
    assert instructions("COPY")[-2:] == [
        "--from=dependencies /opt/gleanset /opt/gleanset",
        "--from=build /code /opt/gleanset",
    ]
    before_code = DOCKERFILE.partition("COPY pyproject.toml")[0]
    assert "-r requirements.txt" in before_code
    assert not re.search(r"^COPY (?!requirements\.txt )", before_code, re.MULTILINE)


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


def test_the_database_is_healthy_when_it_answers_others() -> None:
    """On its socket a server answers as well that is there only until the database is made."""
    asked = shlex.join(COMPOSE["services"]["database"]["healthcheck"]["test"])
    assert "pg_isready --host 127.0.0.1 " in asked


def test_the_proxy_is_trusted() -> None:
    [network] = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert OURS["web"]["environment"]["GLEANSET_TRUSTED_PROXIES"] == network["subnet"]


@pytest.mark.parametrize("address", [None, "images.example.org"])
def test_the_proxy_takes_its_file_and_does_not_hold_events_back(address: str | None) -> None:
    program = shutil.which("caddy")
    if program is None:
        raise FileNotFoundError("caddy is not installed (Debian: apt-get install caddy).")
    environment = {name: value for name, value in os.environ.items() if name != "SITE_ADDRESS"}
    command = [program, "adapt", "--adapter", "caddyfile", "--config", str(ROOT / "deploy/Caddyfile")]
    done = subprocess.run(
        command, env=environment | ({"SITE_ADDRESS": address} if address else {}), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    http = json.loads(done.stdout)["apps"]["http"]
    assert 0 < http["grace_period"] < 10e9, "streams would keep it from stopping until it is killed"
    [server] = http["servers"].values()
    [site] = server["routes"]
    assert site["match"] == [{"host": [address or "localhost"]}]
    # In the order in which a request meets them.
    encode, inside, web = (route | {"handle": route["handle"][0]} for route in site["handle"][0]["routes"])
    assert "text/event-stream" not in str(encode)
    assert encode["handle"]["match"]["headers"]["Content-Type"]
    assert inside["match"] == [{"path": ["/metrics", "/health/*"]}]
    assert inside["handle"]["status_code"] == 404
    assert web["handle"]["flush_interval"] == -1
    assert web["handle"]["upstreams"] == [{"dial": "web:8000"}]
