"""Every command that changes something leaves an entry that names who, and from which state to which."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from backend.cli.main import app
from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.web import picture, sha256_of

OWNER = "00000000-0000-4000-8000-000000000001"

CHANGING = {
    ("crawl", "--folder", "pets", "--rule", "min_width=1", "--out", "a.zip"): {
        "user.created", "project.created", "crawl_job.created", "crawl_job.running", "crawl_job.completed",
        "validation_job.created", "validation_job.running", "validation_job.completed", "export_job.created",
        "export_job.running", "export_job.completed",
    },
    ("validate", "1", "--rule", "min_width=2"): {
        "validation_job.created", "validation_job.running", "validation_job.completed"
    },
    ("export", "1", "--out", "b.zip"): {"export_job.created", "export_job.running", "export_job.completed"},
    ("decide", "reject", "1", "--note", "why"): {"decisions.made"},
    ("decide", "undo", "1"): {"decisions.undone"},
    ("takedown", sha256_of(2)): {"takedown.made", "crawl_job.image_taken_down"},
    ("takedown", sha256_of(2), "--withdraw"): {"takedown.withdrawn"},
    ("projects", "create", "Birds", "--description", "for a poster"): {"project.created"},
    ("projects", "rename", "1", "Pets"): {"project.updated"},
    ("jobs", "rename", "1", "Cats"): {"crawl_job.updated"},
    ("projects", "archive", "1"): {"project.updated"},
    ("projects", "restore", "1"): {"project.updated"},
    ("users", "add", "a@example.org"): {"user.created", "user.link_made"},
    ("users", "role", "a@example.org", "moderator"): {"user.role_changed"},
    ("users", "link", "a@example.org"): {"user.link_made"},
    ("users", "rename", "a@example.org", "Anna Berg"): {"user.updated"},
    ("users", "sessions", "a@example.org", "--end", "all"): {"session.others_ended"},
    ("keys", "create", "mine"): {"api_key.created"},
    ("keys", "revoke", "1"): {"api_key.revoked"},
    ("keys", "create", "theirs", "--user", "a@example.org"): {"api_key.created"},
    ("keys", "revoke", "2", "--user", "a@example.org"): {"api_key.revoked"},
    ("users", "disable", "a@example.org"): {"user.disabled"},
    ("users", "enable", "a@example.org"): {"user.enabled"},
    ("users", "remove", "a@example.org", "--yes"): {"user.deleted"},
    ("exports", "delete", "1", "--yes"): {"export_job.deleted"},
    ("jobs", "delete", "1", "--yes"): {"crawl_job.deleted"},
    ("projects", "delete", "1", "--yes"): {"project.updated"},
}  # fmt: skip
"""Commands in the order in which they are run, and what they note."""

ELSEWHERE = {
    "demo": "a crawl",
    "jobs cancel": "tests/api/test_noted.py has what it calls",
    "jobs retry": "the same",
    "jobs start": "tests/cli/test_made_elsewhere.py",
    "exports cancel": "the same",
    "exports retry": "the same",
    "exports link": "tests/cli/test_exports.py",
    "users password": "tests/cli/test_accounts.py: it reads standard input",
    "up": "tests/cli/test_up.py",
    "worker": "what workers do is noted as theirs",
    "db upgrade": "the schema",
    "db doctor": "tests/services/test_doctor.py",
    "projects purge": "tests/api/test_noted.py has what it calls",
    "db stop": "the server",
    "db sweep": "tests/tasks/test_retention.py",
}
GROUPS = {"exports", "jobs", "keys", "projects", "users"}
LOOKING = {
    "rules", "compare", "verify", "diff", "sources", "serve", "jobs list", "jobs show", "jobs chunks", "jobs images",
    "projects list", "users list", "exports list", "exports show", "keys list", "activity", "db url", "db current",
}  # fmt: skip


def test_what_commands_change_is_noted(cli: Cli, inside: Inside) -> None:
    (cli.folder / "pets").mkdir()
    for n in range(1, 4):
        (cli.folder / "pets" / f"{n}.jpg").write_bytes(picture(n))
    last = 0
    for command, expected in CHANGING.items():
        # A process of its own for what works on a job: queue and worker are meant for one run in a process.
        done = cli.run(*command) if command[0] in {"crawl", "validate", "export"} else inside(*command)
        assert done.code == 0, (command, done.err)
        sql = f"SELECT id, user_id::text, action, metadata_ FROM activity_logs WHERE id > {last} ORDER BY id"
        noted = rows(cli, sql)
        last = noted[-1][0]
        assert {action for _, _, action, _ in noted} == expected, command
        for _, who, action, metadata in noted:
            assert metadata["from"] != metadata["to"], (command, action)
            operator = command[0] == "users" or "--user" in command
            assert who == OWNER or metadata["by"] == ("command line" if operator else "worker")
            asked = action.split(".")[1] not in {"running", "completed"}
            assert who == OWNER or not asked or operator, (command, action)


def test_no_command_is_forgotten() -> None:
    def names(command: Any, path: str) -> set[str]:
        inner = getattr(command, "commands", None)
        return {path} if not inner else {name for each in inner.values() for name in names(each, f"{path} {each.name}")}

    known = {" ".join(command[:2]) if command[0] in GROUPS else command[0] for command in CHANGING}
    assert {name.strip() for each in get_command(app).commands.values() for name in names(each, each.name)} == (
        known | ELSEWHERE.keys() | LOOKING
    )
