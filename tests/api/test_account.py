"""What people do with their own account through the API: profile, password, sessions, keys."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select, update

from backend.config import Settings
from backend.http.access import COOKIE, csrf_token
from backend.models import ApiKey, LoginSession, Profile
from backend.services import accounts, identity
from backend.services.secrets import token_hash
from tests.api.team import PASSWORD, actions, log_in, member, no_hashing
from tests.postgres import Server
from tests.serving import Served, serving

KEYS = "/api/v1/keys"
OTHER = "another unlikely phrase"


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, accounts="team"), url) as running:
        yield running


@pytest.fixture
def person(served: Served) -> tuple[UUID, str]:
    return member(served)


@contextmanager
def browser(served: Served, email: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
    with served.anonymous() as client:
        assert log_in(client, email, password).status_code == 303
        client.headers["X-CSRF-Token"] = csrf_token(client.cookies[COOKIE])
        yield client


def key_of(served: Served, secret: str) -> httpx.Client:
    return served.anonymous(headers={"Authorization": f"Bearer {secret}"})


def test_a_profile_is_shown_and_changed(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me:
        changed = me.patch("/api/v1/profile", json={"full_name": "Ann", "avatar_url": "https://example.org/a.png"})
        assert changed.status_code == 200
        shown = me.get("/api/v1/profile").json()
        use = shown.pop("use")
        assert shown == changed.json()
        assert use["bytes"] == {"had": 0, "allowed": None}
        assert (shown["full_name"], shown["email"], shown["role"]) == ("Ann", person[1], "user")
        assert me.patch("/api/v1/profile", json={"full_name": None}).json()["full_name"] is None
    assert actions(served, person[0])[-2:] == ["user.updated"] * 2


@pytest.mark.parametrize(
    "body",
    [{"role": "admin"}, {"email": "x@example.org"}, {"avatar_url": "javascript:alert(1)"}, {"avatar_url": "x"},
     {"full_name": "a\0b"}, {"id": str(UUID(int=1))}],
)  # fmt: skip
def test_what_is_not_ones_own_to_change_stays(served: Served, person: tuple[UUID, str], body: dict[str, Any]) -> None:
    with browser(served, person[1]) as me:
        before = me.get("/api/v1/profile").json()
        assert me.patch("/api/v1/profile", json=body).status_code == 422
        assert me.get("/api/v1/profile").json() == before


def test_a_new_password_ends_all_other_sessions(served: Served, person: tuple[UUID, str]) -> None:
    user_id, email = person
    link = served.run(lambda session: identity.new_link(session, user_id))
    with browser(served, email) as me, browser(served, email) as elsewhere:
        assert me.put("/api/v1/profile/password", json={"old": PASSWORD, "new": OTHER}).status_code == 204
        assert me.get("/api/v1/profile").status_code == 200
        assert elsewhere.get("/api/v1/profile").status_code == 401
        with served.anonymous() as client:
            assert log_in(client, email).status_code == 401
            assert log_in(client, email, OTHER).status_code == 303
            assert client.post(f"/login/{link}").status_code == 401
    assert actions(served, user_id).count("user.password_changed") == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [({"new": OTHER}, 403), ({"old": "wrong", "new": OTHER}, 403), ({"old": PASSWORD, "new": "short"}, 422),
     ({"old": PASSWORD, "new": "aaaaaaaaaaaa"}, 422), ({"old": PASSWORD, "new": "x" * 1001}, 422)],
)  # fmt: skip
def test_a_password_is_not_changed(served: Served, person: tuple[UUID, str], body: dict[str, str], status: int) -> None:
    with browser(served, person[1]) as me:
        assert me.put("/api/v1/profile/password", json=body).status_code == status
        with served.anonymous() as client:
            assert log_in(client, person[1]).status_code == 303


def test_a_stolen_session_cannot_try_old_passwords_for_ever(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me:
        bodies = [{"old": f"guess number {n}", "new": OTHER} for n in range(11)]
        assert [me.put("/api/v1/profile/password", json=body).status_code for body in bodies] == [403] * 10 + [429]
        assert me.put("/api/v1/profile/password", json={"old": PASSWORD, "new": OTHER}).status_code == 429


def test_after_a_link_the_old_password_is_not_asked_for(served: Served, person: tuple[UUID, str]) -> None:
    user_id, email = person

    @contextmanager
    def by_link() -> Iterator[httpx.Client]:
        link = served.run(lambda session: identity.new_link(session, user_id))
        with served.anonymous() as client:
            client.post(f"/login/{link}")
            client.headers["X-CSRF-Token"] = csrf_token(client.cookies[COOKIE])
            yield client

    with by_link() as me:
        assert me.put("/api/v1/profile/password", json={"new": OTHER}).status_code == 204
    with browser(served, email, OTHER):
        pass
    with by_link() as me:  # and has lain there for an hour
        earlier = datetime.now(UTC) - timedelta(hours=1)
        served.run(lambda session: session.execute(update(LoginSession).values(created_at=earlier)))
        assert me.put("/api/v1/profile/password", json={"new": PASSWORD}).status_code == 403


def test_ones_own_link_sets_nobody_else_s_password(served: Served, person: tuple[UUID, str]) -> None:
    mine, _ = member(served)
    link = served.run(lambda session: identity.new_link(session, mine))
    with browser(served, person[1]) as victim:
        secret = victim.post(KEYS, json={"name": "CI", "scopes": ["admin"]}).json()["secret"]
        with served.anonymous() as thief:
            thief.post(f"/login/{link}")
            token = thief.cookies[COOKIE]
            thief.headers["Authorization"] = f"Bearer {secret}"
            assert thief.get("/api/v1/profile").json()["id"] == str(person[0])
            assert thief.put("/api/v1/profile/password", json={"new": OTHER}).status_code == 403
            assert [each["current"] for each in thief.get("/api/v1/profile/sessions").json()["items"]] == [False]
    for user_id, free in ((mine, True), (person[0], False)):
        assert served.run(partial(accounts.may_choose_freely, user_id=user_id, token=token)) is free
    served.run(lambda session: session.execute(update(LoginSession).values(expires_at=datetime.now(UTC))))
    assert not served.run(partial(accounts.may_choose_freely, user_id=mine, token=token))


def test_changes_that_wait_for_their_turn_at_hashing_hold_no_connection(
    served: Served, person: tuple[UUID, str]
) -> None:
    """More than the database has connections for."""
    people = [member(served) for _ in range(35)]
    with ExitStack() as stack:
        clients = [stack.enter_context(served.browser(user_id)) for user_id, _ in people]
        threads = stack.enter_context(ThreadPoolExecutor(len(clients)))

        def change(client: httpx.Client) -> int:
            return client.put("/api/v1/profile/password", json={"old": PASSWORD, "new": OTHER}).status_code

        with no_hashing() as waiting:
            changes = [threads.submit(change, client) for client in clients]
            waiting(len(clients))
            assert clients[0].get("/api/v1/profile", timeout=5).status_code == 200
        assert {each.result(60) for each in changes} == {204}


def test_of_two_changes_at_once_one_is_made(served: Served, person: tuple[UUID, str]) -> None:
    with served.browser(person[0]) as first, served.browser(person[0]) as second, ThreadPoolExecutor(2) as threads:
        body = {"old": PASSWORD, "new": OTHER}
        with no_hashing() as waiting:
            made = [threads.submit(each.put, "/api/v1/profile/password", json=body) for each in (first, second)]
            waiting(2)
        assert sorted(each.result(30).status_code for each in made) == [204, 403]


def test_sessions_are_listed_and_ended(served: Served, person: tuple[UUID, str]) -> None:
    sessions = "/api/v1/profile/sessions"
    with browser(served, person[1]) as me, browser(served, person[1]) as second, browser(served, person[1]) as third:
        listed = me.get(sessions).json()["items"]
        assert sorted(each["current"] for each in listed) == [False, False, True]
        assert {each["user_agent"] for each in listed} == {me.headers["User-Agent"]}
        ended = token_hash(second.cookies[COOKIE]).hex()
        assert me.delete(f"{sessions}/{ended}").status_code == 204
        assert me.delete(f"{sessions}/{ended}").status_code == 404
        assert (second.get("/api/v1/profile").status_code, third.get("/api/v1/profile").status_code) == (401, 200)
        assert me.delete(sessions).status_code == 204
        assert third.get("/api/v1/profile").status_code == 401
        assert [each["current"] for each in me.get(sessions).json()["items"]] == [True]
    assert me.cookies[COOKIE] not in str(listed)


def test_nobody_ends_sessions_of_others(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me, browser(served, member(served)[1]) as other:
        theirs = token_hash(other.cookies[COOKIE]).hex()
        assert me.delete(f"/api/v1/profile/sessions/{theirs}").status_code == 404
        assert other.get("/api/v1/profile").status_code == 200


def test_a_key_is_shown_once_and_opens_what_its_scope_says(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me:
        made = me.post(KEYS, json={"name": "CI", "scopes": ["write", "read"]})
        assert made.status_code == 201
        secret = made.json()["secret"]
        assert secret.startswith("gls_")
        assert len(secret) == 47
        [listed] = me.get(KEYS).json()["items"]
        assert listed == {name: value for name, value in made.json().items() if name != "secret"}
        assert (listed["scopes"], listed["prefix"]) == (["read", "write"], secret[:10])
        with key_of(served, secret) as program:
            assert program.post("/api/v1/projects", json={"name": "By key"}).status_code == 201
            refused = program.post(KEYS, json={"name": "more", "scopes": ["admin"]})
            assert (refused.status_code, "admin is needed" in refused.json()["message"]) == (403, True)
            assert me.delete(f"{KEYS}/{listed['id']}").status_code == 204
            assert program.get("/api/v1/projects").status_code == 401
        [gone] = me.get(KEYS).json()["items"]
        assert gone["revoked_at"] is not None
        assert gone["last_used_at"] is not None
    noted = [action for action in actions(served, listed["id"]) if action.startswith("api_key")]
    assert noted == ["api_key.created", "api_key.revoked"]


def test_the_database_knows_only_the_hash(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me:
        secret = me.post(KEYS, json={"name": "k", "scopes": ["read"]}).json()["secret"]
    key = served.run(lambda session: session.scalar(select(ApiKey).filter_by(user_id=person[0])))
    assert key.secret_hash == token_hash(secret)
    row = {column.name: getattr(key, column.name) for column in ApiKey.__table__.columns}
    assert secret not in repr(row)


@pytest.mark.parametrize(
    "body",
    [{"name": "k", "scopes": []}, {"name": "k", "scopes": ["root"]}, {"name": "", "scopes": ["read"]}, {"name": "k"},
     {"name": "k", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
     {"name": "k", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00"}],
)  # fmt: skip
def test_a_key_that_makes_no_sense_is_not_made(served: Served, person: tuple[UUID, str], body: dict[str, Any]) -> None:
    with browser(served, person[1]) as me:
        assert me.post(KEYS, json=body).status_code == 422
        assert me.get(KEYS).json()["items"] == []


@pytest.mark.parametrize("key_id", ["0", "-1", str(2**31), str(10**30), "x"])
def test_a_key_that_cannot_be_is_not_found(served: Served, person: tuple[UUID, str], key_id: str) -> None:
    with browser(served, person[1]) as me:
        assert me.delete(f"{KEYS}/{key_id}").status_code in {404, 422}


def test_there_is_an_end_to_keys(served: Served, person: tuple[UUID, str]) -> None:
    async def many(session: Any) -> None:
        for n in range(99):
            key = ApiKey(
                user_id=person[0], name="k", prefix="gls_", secret_hash=person[0].bytes + bytes([n]), scopes=["read"]
            )
            session.add(key)

    served.run(many)
    with browser(served, person[1]) as me:
        with ThreadPoolExecutor(4) as threads:
            body = {"name": "k", "scopes": ["read"]}
            made = list(threads.map(lambda _: me.post(KEYS, json=body).status_code, range(4)))
        assert sorted(made) == [201, 409, 409, 409]


def test_noting_the_use_of_a_key_waits_for_nobody(served: Served, person: tuple[UUID, str]) -> None:
    """A request that takes long, or a revocation under way, holds the key's row."""
    with browser(served, person[1]) as me:
        secret = me.post(KEYS, json={"name": "k", "scopes": ["read"]}).json()["secret"]

    async def meanwhile(session: Any) -> float:
        await session.execute(select(ApiKey).filter_by(user_id=person[0]).with_for_update())
        async with httpx.AsyncClient(base_url=served.url, timeout=5) as client:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await client.get("/api/v1/projects", headers=headers)
            assert answer.status_code == 200
        return answer.elapsed.total_seconds()

    assert served.run(meanwhile) < 2
    used = select(ApiKey.last_used_at).filter_by(user_id=person[0])
    assert served.run(lambda session: session.scalar(used)) is None  # it was held
    with key_of(served, secret) as program:
        assert program.get("/api/v1/projects").status_code == 200
    assert served.run(lambda session: session.scalar(used)) is not None


def test_a_disabled_person_s_key_opens_nothing(served: Served, person: tuple[UUID, str]) -> None:
    with browser(served, person[1]) as me:
        secret = me.post(KEYS, json={"name": "k", "scopes": ["admin"]}).json()["secret"]
        served.run(
            lambda session: session.execute(update(Profile).filter_by(id=person[0]).values(disabled_at=func.now()))
        )
        assert me.get("/api/v1/profile").status_code == 401
        with key_of(served, secret) as program:
            assert program.get("/api/v1/profile").status_code == 401
