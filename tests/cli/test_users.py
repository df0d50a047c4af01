"""`gleanset users`: the way in of a team's first admin, and of everybody after."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.config import Settings
from tests.api.team import PASSWORD, log_in
from tests.cli.conftest import Cli, Inside
from tests.serving import serving

LINK = re.compile(r"^/login/[\w-]{30,}\n$")


def test_with_nothing_set_up_the_first_admin_gets_in(embedded_cli: Cli) -> None:
    """The real command on the embedded database, as somebody runs it who has just installed Gleanset."""
    assert embedded_cli.ok("users").out.startswith("Nobody is here yet.")
    added = embedded_cli.ok("users", "add", "anna@example.org", "--role", "admin", "--name", "Anna Berg")
    assert LINK.match(added.out)
    assert "anna@example.org is added as admin" in added.err
    [anna] = embedded_cli.ok("users", "list", "--json").json
    assert (anna["email"], anna["full_name"], anna["role"]) == ("anna@example.org", "Anna Berg", "admin")
    again = embedded_cli.run("users", "add", "Anna@Example.org")
    assert (again.code, again.out) == (1, "")
    assert "Somebody with the e-mail Anna@Example.org is there already." in again.err


def test_the_link_leads_to_a_password_of_ones_own(cli: Cli, database_url: str, tmp_path: Path) -> None:
    with serving(Settings(home=tmp_path / "web", database_url=database_url, accounts="team"), database_url) as served:
        made = cli.ok("users", "add", "anna@example.org", "--role", "admin", "--url", served.url + "/", "--json").json
        link = made["link"]["url"]
        assert link.startswith(f"{served.url}/login/")
        lasts = datetime.fromisoformat(made["link"]["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < lasts <= timedelta(days=3)
        with served.anonymous() as client:
            assert "anna@example.org" in client.get(link, headers={"Accept": "text/html"}).text
            assert client.post(link).headers["Location"] == "/account"
            assert client.get("/api/v1/profile").json()["role"] == "admin"
            csrf = re.findall(r'name="csrf-token" content="(\w+)"', client.get("/").text)
            chosen = client.put("/api/v1/profile/password", json={"new": PASSWORD}, headers={"X-CSRF-Token": csrf[0]})
            assert chosen.status_code == 204
        with served.anonymous() as client:
            assert client.post(link).status_code == 401
            assert log_in(client, "anna@example.org").headers["Location"] == "/"
            cli.ok("users", "add", "bert@example.org", "--role", "admin")
            cli.ok("users", "disable", "anna@example.org")
            assert client.get("/api/v1/profile").status_code == 401
            assert log_in(client, "anna@example.org").status_code == 401
            refused = cli.run("users", "link", "anna@example.org")
            assert (refused.code, "Enable the account first." in refused.err) == (1, True)
            cli.ok("users", "enable", "anna@example.org")
            other = cli.ok("users", "link", "anna@example.org", "--url", served.url).out.strip()
            assert client.post(other).headers["Location"] == "/account"


def test_roles_are_given_by_e_mail_in_whatever_case(inside: Inside) -> None:
    inside.ok("users", "add", "anna@example.org", "--role", "admin")
    inside.ok("users", "add", "bert@example.org")
    assert inside.ok("users", "role", "BERT@example.org", "moderator").out == "bert@example.org is moderator now.\n"
    shown = inside.ok("users").out
    assert re.search(r"^bert@example.org +moderator +\d{4}-\d\d-\d\d *$", shown, re.MULTILINE)
    assert shown.index("anna") < shown.index("bert")
    assert len(inside("users", "list", "-n", "1", "--json").json) == 1


@pytest.mark.parametrize("change", [("role", "anna@example.org", "user"), ("disable", "anna@example.org")])
def test_the_last_admin_stays(inside: Inside, change: tuple[str, ...]) -> None:
    inside.ok("users", "add", "anna@example.org", "--role", "admin")
    done = inside("users", *change)
    assert done.code == 1
    assert "anna@example.org is the last admin. Make somebody else one first." in done.err
    [anna] = inside("users", "list", "--json").json
    assert (anna["role"], anna["disabled_at"]) == ("admin", None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("role", "nobody@example.org", "user"), "There is nobody with the e-mail nobody@example.org."),
        (("disable", "nobody@example.org"), "There is nobody with the e-mail nobody@example.org."),
        (("enable", "nobody@example.org"), "There is nobody with the e-mail nobody@example.org."),
        (("link", "nobody@example.org"), "There is nobody with the e-mail nobody@example.org."),
        (("link", "nobody"), "'nobody' is no e-mail address."),
        (("add", "no body@example.org"), "'no body@example.org' is no e-mail address."),
        (("add", "\udcff@example.org"), "is no e-mail address."),
        (("add", "a@example.org", "--name", " "), "A name has 1 to 100 characters."),
        (("add", "a@example.org", "--url", "images.example.org"), "'images.example.org' is no address of a Gleanset"),
        (("add", "a@example.org", "--role", "king"), "'king' is not one of"),
        (("role", "a@example.org", "king"), "'king' is not one of"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    inside: Inside, arguments: tuple[str, ...], sentence: str
) -> None:
    done = inside("users", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert inside("users", "list", "--json").json == []
