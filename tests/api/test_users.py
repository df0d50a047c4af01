"""Administration of people through the API."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update

from backend.config import Settings
from backend.http.access import COOKIE, csrf_token
from backend.models import CrawlJob, Profile, Project
from backend.models.enums import Role
from tests.api.team import actions, log_in, member
from tests.postgres import Server
from tests.serving import Served, serving

USERS = "/api/v1/users"


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, accounts="team"), url) as running:
        yield running


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with served.browser(served.person(Role.ADMIN)) as client:
        yield client


def invited(admin: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = admin.post(USERS, json={"email": f"{uuid4().hex[:12]}@example.org"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_invitation_leads_to_a_password(served: Served, admin: httpx.Client) -> None:
    person = invited(admin, full_name="Ann", role="moderator")
    assert admin.get(f"{USERS}/{person['id']}").json() == {k: v for k, v in person.items() if k != "link"}
    assert person["link"]["url"].startswith(served.url + "/login/")
    with served.anonymous() as client:
        assert client.post(person["link"]["url"]).status_code == 303
        client.headers["X-CSRF-Token"] = csrf_token(client.cookies[COOKIE])
        assert client.put("/api/v1/profile/password", json={"new": "three unlikely words"}).status_code == 204
        assert client.get("/api/v1/profile").json()["role"] == "moderator"
    with served.anonymous() as client:
        assert log_in(client, person["email"], "three unlikely words").status_code == 303
    assert actions(served, person["id"])[:2] == ["user.created", "user.link_made"]


def test_an_e_mail_is_there_once(admin: httpx.Client) -> None:
    person = invited(admin)
    again = admin.post(USERS, json={"email": person["email"].upper()})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("email", ["", "ann", "a@b@c", "a b@c", "a\0@b", "x" * 250 + "@b.org", "@"])
def test_what_is_no_e_mail_is_refused(admin: httpx.Client, email: str) -> None:
    assert admin.post(USERS, json={"email": email}).status_code == 422


def test_people_are_listed_by_e_mail_in_pages_and_found(admin: httpx.Client) -> None:
    mark = uuid4().hex[:8]
    made = [invited(admin, email=f"{name}.{mark}@example.org")["email"] for name in ("Cy", "ann", "Bob", "d_%")]
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"search": mark.upper(), "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = admin.get(USERS, params=query).json()
        found += [person["email"] for person in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == sorted(made, key=str.lower)
    assert [person["email"] for person in admin.get(USERS, params={"search": f"_%.{mark}"}).json()["items"]] == [
        made[3]
    ]
    assert admin.get(USERS, params={"cursor": "bnVsbA"}).status_code == 422


def test_a_role_is_changed_and_told(served: Served, admin: httpx.Client) -> None:
    person = invited(admin)
    assert admin.patch(f"{USERS}/{person['id']}", json={"role": "admin"}).json()["role"] == "admin"
    with served.browser(UUID(person["id"])) as promoted:
        assert promoted.get(USERS).status_code == 200
        assert admin.patch(f"{USERS}/{person['id']}", json={"role": "user"}).status_code == 200
        assert promoted.get(USERS).status_code == 403
    told = [action for action in actions(served, person["id"]) if not action.startswith("session.")]
    assert told[2:] == ["user.role_changed"] * 2


def test_a_disabled_person_is_out_at_once_and_in_again_later(served: Served, admin: httpx.Client) -> None:
    user_id, email = member(served)
    path = f"{USERS}/{user_id}"
    with served.browser(user_id) as person:
        link = admin.post(f"{path}/link").json()["url"]
        assert admin.patch(path, json={"disabled": True}).json()["disabled_at"] is not None
        assert person.get("/api/v1/profile").status_code == 401
        assert admin.post(f"{path}/link").status_code == 409
        with served.anonymous() as client:
            assert log_in(client, email).status_code == 401
            assert client.post(link).status_code == 401
            assert admin.patch(path, json={"disabled": False}).json()["disabled_at"] is None
            assert client.post(link).status_code == 401
            assert log_in(client, email).status_code == 303
        assert person.get("/api/v1/profile").status_code == 401
    told = [action for action in actions(served, user_id) if not action.startswith("session.")]
    assert told[1:4] == ["user.link_made", "user.disabled", "user.enabled"]


def test_deleting_takes_the_projects_but_not_the_log(served: Served, admin: httpx.Client) -> None:
    user_id, _ = member(served)
    with served.browser(user_id) as person:
        project = person.post("/api/v1/projects", json={"name": "Gone"}).json()["id"]
    assert admin.delete(f"{USERS}/{user_id}").status_code == 204
    assert admin.get(f"{USERS}/{user_id}").status_code == 404
    assert admin.get(f"/api/v1/projects/{project}").status_code == 404
    assert actions(served, user_id)[-1] == "user.deleted"


def test_a_person_whose_jobs_run_is_not_deleted(served: Served, admin: httpx.Client) -> None:
    user_id, _ = member(served)

    async def busy(session: Any) -> None:
        session.add(CrawlJob(name="j", keywords=["cat"], status="running", project=Project(name="p", user_id=user_id)))

    served.run(busy)
    assert admin.delete(f"{USERS}/{user_id}").status_code == 409
    assert admin.get(f"{USERS}/{user_id}").status_code == 200


@pytest.mark.parametrize("body", [{"role": "user"}, {"disabled": True}, None])
def test_an_admin_does_not_shut_himself_out(served: Served, body: dict[str, Any] | None) -> None:
    user_id = served.person(Role.ADMIN)
    with served.browser(user_id) as me:
        path = f"{USERS}/{user_id}"
        answer = me.delete(path) if body is None else me.patch(path, json=body)
        assert (answer.status_code, "That is you" in answer.json()["message"]) == (409, True)
        assert me.get(path).json()["role"] == "admin"


def test_two_admins_who_remove_each_other_leave_one(served: Served) -> None:
    for _ in range(5):
        served.run(lambda session: session.execute(update(Profile).values(role="user")))
        first, second = served.person(Role.ADMIN), served.person(Role.ADMIN)
        with served.browser(first) as one, served.browser(second) as two, ThreadPoolExecutor(2) as threads:
            answers = [
                threads.submit(one.patch, f"{USERS}/{second}", json={"role": "user"}),
                threads.submit(two.patch, f"{USERS}/{first}", json={"disabled": True}),
            ]
            statuses = sorted(answer.result().status_code for answer in answers)
        assert statuses in ([200, 401], [200, 403], [200, 409])


def test_an_owner_alone_invites_nobody(embedded: Server, tmp_path: Path) -> None:
    with embedded.migrated() as url, serving(Settings(home=tmp_path), url) as local:
        with local.browser(local.person(Role.ADMIN)) as owner:
            answer = owner.post(USERS, json={"email": "ann@example.org"})
        assert (answer.status_code, "GLEANSET_ACCOUNTS" in answer.json()["message"]) == (409, True)


def test_a_search_that_no_database_can_hold_is_refused(admin: httpx.Client) -> None:
    answer = admin.get(USERS, params={"search": "a\0b"})
    assert (answer.status_code, set(answer.json()["details"]["fields"])) == (422, {"query.search"})
