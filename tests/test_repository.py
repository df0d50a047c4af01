"""What holds for the repository as a whole: its files, its pins, its records."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
REGISTRY = re.compile(r"pypi\.(org|python)|pythonhosted\.org|registry\.(npmjs|yarnpkg)|index-url\s*=|--find[-]links")
MACHINE_PATH = re.compile(r"(?<![\w.*}])/(work|root|home|Users)/\w")
RECORD = re.compile(r"\d{4}-[a-z0-9-]+\.md")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?= |$)")


def repository_files() -> list[Path]:
    """Tracked files, and those that the next `git add` would track."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [ROOT / name for name in listing.split("\0") if name]
    return [file for file in files if file.is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    for file in repository_files():
        data = file.read_bytes()
        if b"\0" not in data:
            yield file.relative_to(ROOT), data.decode()


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{file}:{number}: {line.strip()[:120]}"
        for file, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def group(name: str) -> list[str]:
    """The requirements of a dependency group, those of its included groups among them."""
    found: list[str] = []
    for entry in project()["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else group(entry["include-group"])
    return found


def needed(file: str) -> list[Requirement]:
    """What pyproject.toml asks of this requirements file."""
    groups = {"requirements.txt": "build", "requirements-dev.txt": "dev"}
    return [Requirement(text) for text in project()["project"]["dependencies"] + group(groups[file])]


def entries(file: str) -> list[str]:
    """The file's logical lines, without comments."""
    lines = (ROOT / file).read_text().replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pins(file: str) -> dict[str, set[str]]:
    """Name -> versions; more than one where Python versions differ."""
    found: dict[str, set[str]] = {}
    for entry in entries(file):
        name, version = re.split("==| ", entry)[:2]
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def test_the_repository_is_seen() -> None:
    names = {str(file.relative_to(ROOT)) for file in repository_files()}
    assert {"pyproject.toml", "Makefile", "LICENSE", "tests/test_repository.py"} <= names


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRY) == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_there_is_no_lock_file_with_addresses() -> None:
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "package-lock.json"}
    assert [file for file in repository_files() if file.name in locks] == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_hashed(file: str) -> None:
    loose = [
        entry for entry in entries(file) if not re.match(r"[a-z0-9][a-z0-9._-]*==\S+ ", entry) or not HASH.search(entry)
    ]
    assert loose == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_the_pins_satisfy_pyproject(file: str) -> None:
    pinned = pins(file)
    unmet = [
        str(requirement)
        for requirement in needed(file)
        for version in pinned.get(canonicalize_name(requirement.name), {"none"})
        if version == "none" or not requirement.specifier.contains(version, prereleases=True)
    ]
    assert unmet == [], "run make requirements"


def test_developing_uses_the_versions_that_run() -> None:
    developing = pins("requirements-dev.txt")
    assert {name: developing.get(name) for name in pins("requirements.txt")} == pins("requirements.txt")


def test_every_dependency_says_why_it_is_there() -> None:
    told = re.findall(r"^\| `([^`]+)` \| \S", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    asked = [Requirement(text) for text in project()["build-system"]["requires"]] + needed("requirements-dev.txt")
    assert sorted(told) == sorted({requirement.name for requirement in asked})


def test_every_decision_is_listed_and_complete() -> None:
    folder = ROOT / "docs/decisions"
    records = sorted(file.name for file in folder.glob("*.md") if file.name != "README.md")
    assert [record for record in records if not RECORD.fullmatch(record)] == []
    assert [int(record[:4]) for record in records] == list(range(1, len(records) + 1))
    assert re.findall(r"\]\(([^)]+\.md)\)", (folder / "README.md").read_text()) == records
    for record in records:
        headings = re.findall(r"^## (.+)$", (folder / record).read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Measured"], record


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{file}: {link}"
        for file, text in texts()
        if file.suffix == ".md"
        for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
        if not (ROOT / file.parent / link).exists()
    ]
    assert broken == []


def test_the_migrations_do_not_shadow_the_library() -> None:
    assert (ROOT / "alembic").is_dir()
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {str(file): len(text.splitlines()) for file, text in texts() if file.suffix == ".py"}
    assert {file: length for file, length in lengths.items() if length > 500} == {}
