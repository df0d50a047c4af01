"""What people do with their account is done for them by the command line, noted, and no secret is in the notes."""

from __future__ import annotations

import json
import os
import pty
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backend.config import Settings
from tests.api.team import PASSWORD, log_in
from tests.cli.conftest import Cli, Done, Inside
from tests.cli.test_refresh import rows
from tests.serving import serving

ANNA = "anna@example.org"


def noted(cli: Cli, action: str) -> list[Any]:
    """Who, from what, to what, and by what else: of the entries of an action."""
    return rows(
        cli,
        "SELECT user_id::text, metadata_ -> 'from', metadata_ -> 'to', metadata_ ->> 'by' FROM activity_logs"
        f" WHERE action = '{action}' ORDER BY id",
    )


def everything_noted(cli: Cli) -> str:
    return json.dumps(rows(cli, "SELECT metadata_ FROM activity_logs"))


def type_in(cli: Cli, given: bytes, *arguments: str) -> Done:
    """The real command, with this on its standard input."""
    typed = cli.folder / "typed"
    typed.write_bytes(given)
    with typed.open("rb") as stdin:
        process = cli.start(*arguments, stdin=stdin)
        out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def test_a_password_is_given_and_sessions_end(cli: Cli, inside: Inside, database_url: str, tmp_path: Path) -> None:
    inside.ok("users", "add", ANNA)
    link = inside.ok("users", "link", ANNA).out.strip()
    cli.environment["GLEANSET_ACCOUNTS"] = "team"
    done = type_in(cli, f"{PASSWORD}\r\nanother line\n".encode(), "users", "password", "ANNA@example.org")
    assert (done.out, done.err) == (f"{ANNA} has another password now, and is logged out everywhere.\n", "")
    with (
        serving(Settings(home=tmp_path / "web", database_url=database_url, accounts="team"), database_url) as served,
        served.anonymous() as client,
    ):
        assert client.post(link).status_code == 401, "links that are under way end too"
        assert log_in(client, ANNA).headers["Location"] == "/"
        [opened] = inside("users", "sessions", ANNA, "--json").json
        assert "current" not in opened
        assert "last seen" in inside.ok("users", "sessions", ANNA).out
        name = opened["id"][:12]
        assert name in inside.ok("users", "sessions", ANNA).out
        with served.anonymous() as other:
            assert log_in(other, ANNA).headers["Location"] == "/"
            assert (
                inside.ok("users", "sessions", ANNA, "--end", name).out == f"The session {name} of {ANNA} is ended.\n"
            )
            assert client.get("/api/v1/profile").status_code == 401
            assert other.get("/api/v1/profile").status_code == 200
            for wrong in (name, opened["id"], "", "all the others"):
                assert f"{ANNA} has no session {wrong!r}." in inside("users", "sessions", ANNA, "--end", wrong).err
            assert other.get("/api/v1/profile").status_code == 200
            [left] = inside.ok("users", "sessions", ANNA, "--json").json
            assert inside.ok("users", "sessions", ANNA, "--end", left["id"], "--json").json == [left]
            assert other.get("/api/v1/profile").status_code == 401

        assert log_in(client, ANNA).headers["Location"] == "/"
        told = inside.ok("users", "sessions", ANNA, "--end", "all").out
        assert told == f"{ANNA} is logged out everywhere; sessions that were open: 1.\n"
        assert client.get("/api/v1/profile").status_code == 401
        assert inside.ok("users", "sessions", ANNA).out == f"{ANNA} is logged in nowhere.\n"
        assert inside("users", "sessions", ANNA, "--json").json == []

        assert log_in(client, ANNA).headers["Location"] == "/"
        cli.environment["GLEANSET_ACCOUNTS"] = "local"
        told = type_in(cli, b"four other plain words", "users", "password", ANNA)
        assert "GLEANSET_ACCOUNTS=team" in told.err
        assert client.get("/api/v1/profile").status_code == 401
        assert log_in(client, ANNA).status_code == 401
    assert noted(cli, "user.password_changed") == [
        (None, None, "set", "command line"),
        (None, "set", "set anew", "command line"),
    ]
    assert noted(cli, "session.ended") == 2 * [(None, "open", "ended", "command line")]
    assert noted(cli, "session.others_ended") == [(None, "open", "ended", "command line")]
    assert not re.search(f"{PASSWORD}|four other|argon2", everything_noted(cli))


def test_at_a_terminal_the_password_is_asked_for_and_not_shown(cli: Cli, inside: Inside) -> None:
    inside.ok("users", "add", ANNA)
    mine, theirs = pty.openpty()
    process = cli.start("users", "password", ANNA, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    for question in (b"New password: ", b"Repeat for confirmation: "):
        while question not in shown:
            shown += os.read(mine, 1000)
        os.write(mine, f"{PASSWORD}\n".encode())
    with suppress(OSError):  # how Linux tells that the other side is closed
        while part := os.read(mine, 1000):
            shown += part
    os.close(mine)
    assert process.wait(20) == 0, shown
    assert PASSWORD.encode() not in shown
    assert f"{ANNA} has another password now".encode() in shown
    assert len(noted(cli, "user.password_changed")) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"short\n", "A password has 10 to 200 characters"),
        (b"", "A password has 10 to 200 characters"),
        (b"x" * 5000, "A password has 10 to 200 characters"),
        (b"ANNA@example.org\n", "too easy to guess"),
        (b"\xff\xfe rather unlikely\n", "is not UTF-8"),
    ],
)
def test_a_password_that_is_none_is_refused(cli: Cli, inside: Inside, given: bytes, sentence: str) -> None:
    inside.ok("users", "add", ANNA)
    refused = type_in(cli, given, "users", "password", ANNA)
    assert (refused.code, refused.out, sentence in refused.err) == (2, "", True), refused.err
    assert (noted(cli, "user.password_changed"), rows(cli, "SELECT * FROM credentials")) == ([], [])


def test_names_change_and_people_go_with_their_projects(cli: Cli, inside: Inside) -> None:
    inside.ok("users", "add", "bert@example.org", "--role", "admin")
    inside.ok("users", "add", ANNA, "--name", "Anna")
    assert inside.ok("users", "rename", ANNA, " Anna Berg ").out == f"{ANNA} is called Anna Berg now.\n"
    assert noted(cli, "user.updated") == [
        (None, {"full_name": "Anna"}, {"full_name": "Anna Berg"}, "command line"),
    ]
    inside.ok("users", "rename", ANNA, "Anna Berg")
    assert len(noted(cli, "user.updated")) == 1, "nothing changed"

    made = "INSERT INTO projects (name, user_id) SELECT 'Hers', id FROM profiles WHERE email = '{}' RETURNING id"
    assert rows(cli, made.format(ANNA))
    assert inside("users", "remove", ANNA).code == 1, "nobody is there to be asked"
    told = inside("users", "remove", ANNA, "--yes")
    assert (told.code, told.out.startswith(f"Removed for good, with all projects: {ANNA}.")) == (0, True)
    assert rows(cli, "SELECT name FROM projects") == []
    assert noted(cli, "user.deleted") == [(None, "user", None, "command line")]
    assert "is the last admin." in inside("users", "remove", "bert@example.org", "--yes").err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("users", "remove", ANNA, "--yes"), f"There is nobody with the e-mail {ANNA}."),
        (("users", "password", ANNA), f"There is nobody with the e-mail {ANNA}."),
        (("users", "rename", ANNA, "Anna"), f"There is nobody with the e-mail {ANNA}."),
        (("users", "rename", ANNA, " "), "A name has 1 to 100 characters."),
        (("users", "rename", ANNA, "x" * 101), "A name has 1 to 100 characters."),
        (("users", "sessions", ANNA), f"There is nobody with the e-mail {ANNA}."),
        (("users", "sessions", "anna", "--end", "all"), "'anna' is no e-mail address."),
        (("keys", "list", "--user", ANNA), f"There is nobody with the e-mail {ANNA}."),
        (("keys", "create", "nightly", "--user", ANNA), f"There is nobody with the e-mail {ANNA}."),
        (("keys", "create", " "), "A key's name has 1 to 100 characters."),
        (("keys", "create", "nightly", "--scope", "all"), "'all' is not one of"),
        (("keys", "create", "nightly", "--expires-in", "0"), "Invalid value"),
        (("keys", "create", "nightly", "--expires-in", "99999999"), "Invalid value"),
        (("keys", "revoke", "7"), "There is no API key 7."),
        (("keys", "revoke", str(2**70)), f"There is no API key {2**70}."),
    ],
)
def test_what_cannot_be_done_is_told(cli: Cli, inside: Inside, arguments: tuple[str, ...], sentence: str) -> None:
    refused = inside(*arguments)
    assert (refused.code, refused.out, sentence in refused.err) == (2, "", True), refused.err
    assert rows(cli, "SELECT action FROM activity_logs WHERE action <> 'user.created'") == []


def test_keys_are_shown_once_and_good_until_they_are_revoked(
    cli: Cli, inside: Inside, database_url: str, tmp_path: Path
) -> None:
    assert inside.ok("keys").out == "There are no API keys yet. Make one with: gleanset keys create NAME\n"
    inside.ok("users", "add", ANNA)
    made = inside("keys", "create", "nightly", "--expires-in", "30")
    secret = made.out.strip()
    assert re.match(r"Key 1 is good for read, until \d{4}-\d\d-\d\d \d\d:\d\d\. It is shown this once:\n", made.err)
    hers = inside("keys", "create", "hers", "--scope", "write", "--user", "ANNA@example.org", "--json").json
    assert (hers["id"], hers["scopes"], hers["expires_at"]) == (2, ["write"], None)
    with (
        serving(Settings(home=tmp_path / "web", database_url=database_url, accounts="team"), database_url) as served,
        served.anonymous() as client,
    ):

        def who(key: str) -> Any:
            answer = client.get("/api/v1/profile", headers={"Authorization": f"Bearer {key}"})
            return answer.json().get("email", answer.status_code)

        assert (who(secret), who(hers["secret"])) == ("owner@localhost", ANNA)
        assert inside("keys", "revoke", "2").code == 2, "it is Anna's"
        assert inside.ok("keys", "revoke", "2", "--user", ANNA).out == "Key 2 is revoked.\n"
        assert (who(secret), who(hers["secret"])) == ("owner@localhost", 401)
    [listed] = inside("keys", "list", "--json").json
    assert (listed["name"], listed["scopes"]) == ("nightly", ["read"])
    assert secret.startswith(listed["prefix"])
    assert len(listed["prefix"]) < 20
    assert re.search(r"^2 +hers +\S+ +write .* revoked \d{4}", inside.ok("keys", "list", "--user", ANNA).out, re.M)
    shown = inside.ok("keys", "list").out + json.dumps(listed) + everything_noted(cli)
    assert secret not in shown
    assert hers["secret"] not in shown
    owner = "00000000-0000-4000-8000-000000000001"
    assert noted(cli, "api_key.created") == [(owner, None, "good", None), (None, None, "good", "command line")]
    assert noted(cli, "api_key.revoked") == [(None, "good", "revoked", "command line")]
