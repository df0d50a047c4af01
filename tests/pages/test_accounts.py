"""The pages of accounts in a team: profile, password, sessions, keys, people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.models import Profile
from backend.models.enums import Role
from backend.services import identity
from tests.api.team import PASSWORD, actions, log_in, member
from tests.browser import chromium, opened
from tests.postgres import Server
from tests.serving import Served, serving

OTHER = "another unlikely phrase"


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, accounts="team"), url) as running:
        yield running


def looking(served: Served, user_id: UUID) -> httpx.Client:
    """Somebody's browser, which takes pages and follows where it is sent."""
    client = served.browser(user_id, follow_redirects=True)
    client.headers["Accept"] = "text/html"
    return client


@pytest.fixture
def person(served: Served) -> tuple[UUID, str]:
    return member(served)


@pytest.fixture
def me(served: Served, person: tuple[UUID, str]) -> Iterator[httpx.Client]:
    with looking(served, person[0]) as client:
        yield client


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with looking(served, served.person(Role.ADMIN)) as client:
        yield client


def role_of(served: Served, user_id: UUID) -> tuple[str, bool]:
    async def read(session: AsyncSession) -> tuple[str, bool]:
        person = await session.get_one(Profile, user_id)
        return person.role, person.disabled_at is not None

    return served.run(read)


def test_a_profile_is_saved_or_shows_what_is_wrong(served: Served, me: httpx.Client, person: tuple[UUID, str]) -> None:
    saved = me.post("/account", data={"full_name": "Ann <Berg>", "avatar_url": "https://example.org/a.png"})
    assert (saved.status_code, saved.url.path) == (200, "/account")
    assert 'value="Ann &lt;Berg&gt;"' in saved.text
    assert person[1] in saved.text
    wrong = me.post("/account", data={"full_name": "x" * 101, "avatar_url": "javascript:alert(1)"})
    assert wrong.status_code == 422
    assert "At most 100 characters, please." in wrong.text
    assert "An address that begins with https:// or http://, please." in wrong.text
    assert "Ann &lt;Berg&gt;" in me.get("/account").text
    me.post("/account", data={"full_name": "", "avatar_url": ""})
    assert "Berg" not in me.get("/account").text
    assert actions(served, person[0])[-2:] == ["user.updated"] * 2


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"old": "wrong words entirely", "new": OTHER, "again": OTHER}, 403, "The old password is not right."),
        ({"old": PASSWORD, "new": OTHER, "again": OTHER + "."}, 422, "These are not the same."),
        ({"old": PASSWORD, "new": "short", "again": "short"}, 422, "A password has 10 to 200 characters"),
        ({"old": PASSWORD}, 422, "Please fill this in."),
        ({"new": OTHER, "again": OTHER}, 403, "The old password is not right."),
    ],
)
def test_a_password_that_does_not_do_is_told_beside_its_field(
    served: Served, me: httpx.Client, person: tuple[UUID, str], form: dict[str, str], status: int, sentence: str
) -> None:
    answer = me.post("/account/password", data=form)
    assert answer.status_code == status
    assert re.search(rf'class="wrong" id="\w+-says">{re.escape(sentence)}', answer.text)
    assert OTHER not in answer.text
    assert PASSWORD not in answer.text
    with served.anonymous() as client:
        assert log_in(client, person[1]).status_code == 303


def test_a_new_password_ends_other_sessions(served: Served, me: httpx.Client, person: tuple[UUID, str]) -> None:
    with served.browser(person[0]) as elsewhere:
        done = me.post("/account/password", data={"old": PASSWORD, "new": OTHER, "again": OTHER})
        assert "The password is changed." in done.text
        assert elsewhere.get("/api/v1/profile").status_code == 401
    with served.anonymous() as client:
        assert log_in(client, person[1], OTHER).status_code == 303


def test_sessions_are_seen_and_ended(served: Served, me: httpx.Client, person: tuple[UUID, str]) -> None:
    with served.browser(person[0]) as second, served.browser(person[0]) as third:
        ends = re.findall(r'action="(/account/sessions/[0-9a-f]{64})"', me.get("/account").text)
        assert len(ends) == 2  # not one's own
        assert "That session has ended." in me.post(ends[0]).text
        assert sorted(each.get("/api/v1/profile").status_code for each in (second, third)) == [200, 401]
        assert me.post(ends[0]).status_code == 404
        with served.browser(served.person()) as stranger:
            assert stranger.post(ends[1]).status_code == 404
        assert "logged out everywhere but here" in me.post("/account/sessions").text
        assert {each.get("/api/v1/profile").status_code for each in (second, third)} == {401}
    assert me.get("/account").url.path == "/account"
    assert "You are logged out." in me.post("/logout").text
    assert me.get("/account").url.path == "/login"


def test_a_key_is_made_shown_once_and_revoked(served: Served, me: httpx.Client) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    made = me.post("/account/keys", data={"name": "Nightly <b>", "scope": "read", "expires": tomorrow})
    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    secret = re.findall(r'class="secret">(gls_[\w-]{43})<', made.text)[0]
    shown = me.get("/account/keys").text
    assert secret not in shown
    assert "Nightly &lt;b&gt;" in shown
    assert f"{tomorrow} 23:59 UTC" in shown
    with served.anonymous(headers={"Authorization": f"Bearer {secret}"}) as program:
        assert program.get("/api/v1/profile").status_code == 200
        assert program.post("/api/v1/projects", json={"name": "x"}).status_code == 403
        assert program.get("/account/keys").status_code == 403
        revoke = re.findall(r'action="(/account/keys/\d+/revoke)"', shown)[0]
        assert "The key is revoked." in me.post(revoke).text
        assert program.get("/api/v1/profile").status_code == 401
    assert "/revoke" not in me.get("/account/keys").text
    with served.browser(served.person(Role.ADMIN)) as stranger:
        assert stranger.post(revoke).status_code == 404


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": " ", "scope": "read"}, "Please fill this in."),
        ({"name": "k", "scope": "everything"}, "Input should be"),
        ({"name": "k", "scope": "read", "expires": "2001-01-01"}, "A key cannot expire in the past."),
        ({"name": "k", "scope": "read", "expires": "tomorrow"}, "A day, please, such as 2030-12-31."),
        ({"any": "thing"}, "Please fill this in."),
    ],
)
def test_a_key_that_cannot_be_is_told_beside_its_field(me: httpx.Client, form: dict[str, str], sentence: str) -> None:
    answer = me.post("/account/keys", data=form)
    assert answer.status_code == 422
    assert re.search(rf'class="wrong" id="\w+-says">{re.escape(sentence)}', answer.text)
    assert "/revoke" not in me.get("/account/keys").text


def test_an_admin_invites_and_the_link_lets_in(served: Served, admin: httpx.Client) -> None:
    made = admin.post("/admin/users", data={"email": "New@example.org", "full_name": "New", "role": "moderator"})
    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    link = re.findall(r'class="secret">(http[^<]+)<', made.text)[0]
    assert link.startswith(f"{served.url}/login/")
    shown = admin.get("/admin/users", params={"search": "new@"}).text
    assert link not in shown
    assert "New@example.org" in shown
    with served.anonymous(follow_redirects=True, headers={"Accept": "text/html"}) as client:
        assert client.post(link).url.path == "/account"
        assert 'name="old"' not in client.get("/account").text
    again = admin.post("/admin/users", data={"email": "new@EXAMPLE.org", "role": "user"})
    assert (again.status_code, "is there already." in again.text) == (409, True)
    wrong = admin.post("/admin/users", data={"email": "nobody", "role": "king"})
    assert wrong.status_code == 422
    assert "An e-mail address, please." in wrong.text
    assert "Input should be" in wrong.text
    assert 'value="nobody"' in wrong.text


def test_an_admin_gives_roles_disables_and_makes_links(
    served: Served, admin: httpx.Client, person: tuple[UUID, str]
) -> None:
    user_id, email = person
    path = f"/admin/users/{user_id}"
    assert f"{email} is moderator now." in admin.post(f"{path}/role", data={"role": "moderator"}).text
    assert admin.post(f"{path}/role", data={"role": "king"}).status_code == 422
    assert admin.post(f"{path}/role").status_code == 422
    assert role_of(served, user_id) == ("moderator", False)
    assert f"{email} is disabled now." in admin.post(f"{path}/status", data={"disabled": "true"}).text
    refused = admin.post(f"{path}/link")
    assert (refused.status_code, "Enable the account first." in refused.text) == (409, True)
    assert role_of(served, user_id) == ("moderator", True)
    admin.post(f"{path}/status", data={"disabled": "false"})
    link = re.findall(r'class="secret">(http[^<]+)<', admin.post(f"{path}/link").text)[0]
    assert link.startswith(f"{served.url}/login/")
    for nobody in (f"/admin/users/{UUID(int=5)}", "/admin/users/1"):
        assert admin.post(f"{nobody}/role", data={"role": "user"}).status_code in {404, 422}


def test_an_admin_does_not_shut_themselves_out(served: Served) -> None:
    user_id = served.person(Role.ADMIN)
    with looking(served, user_id) as client:
        answer = client.post(f"/admin/users/{user_id}/status", data={"disabled": "true"})
        assert (answer.status_code, "Another admin has to do it." in answer.text) == (409, True)
    assert role_of(served, user_id) == ("admin", False)


def test_people_are_for_admins(me: httpx.Client, admin: httpx.Client) -> None:
    assert me.get("/admin/users").status_code == 403
    assert 'href="/admin/users"' not in me.get("/account").text
    assert 'href="/admin/users"' in admin.get("/account").text


def test_many_people_are_on_several_pages(served: Served, admin: httpx.Client) -> None:
    async def crowd(session: AsyncSession) -> None:
        session.add_all(Profile(id=UUID(int=n + 1), email=f"crowd{n:03}@example.org") for n in range(60))

    served.run(crowd)
    first = admin.get("/admin/users", params={"search": "CROWD"}).text
    more = re.findall(r'href="(/admin/users\?[^"]+)">More', first)[0].replace("&amp;", "&")
    second = admin.get(more).text
    emails = [re.findall(r'<th scope="row">(crowd\d+)@', text) for text in (first, second)]
    assert emails[0] + emails[1] == [f"crowd{n:03}" for n in range(60)]
    assert "Nobody has this in the e-mail." in admin.get("/admin/users", params={"search": "%"}).text
    assert admin.get("/admin/users?search=%00").status_code == 422


def test_from_an_invitation_to_a_password_and_a_key_in_a_browser(served: Served) -> None:
    user_id = served.person(Role.ADMIN)
    link = served.run(lambda session: identity.new_link(session, user_id))
    served.person()
    with chromium() as browser:
        context, visit = opened(browser, served, None, width=360)
        page = visit.page
        page.goto(f"/login/{link}")
        page.get_by_role("button", name="Log in").click()
        for name in ("New password", "New password again"):
            page.get_by_label(name, exact=True).fill(OTHER)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("status")).to_contain_text("The password is changed.")
        for dark in (False, True):
            for width in (360, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme="dark" if dark else "light")
                page.goto("/account")
                visit.accessible()
                page.get_by_role("link", name="API keys").click()
                page.get_by_label("Name").fill(f"Key {width} {dark}")
                page.get_by_label("Works until the end of").fill("2099-01-31")
                page.get_by_role("button", name="Make the key").click()
                expect(page.locator(".secret")).to_have_text(re.compile("^gls_"))
                visit.accessible()
                page.get_by_role("link", name="People").click()
                page.get_by_role("button", name=re.compile("^Link for")).first.click()
                expect(page.locator(".secret")).to_contain_text("/login/")
                visit.accessible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("status")).to_have_text("You are logged out.")
        assert visit.complaints == []
        context.close()
