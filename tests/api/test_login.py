"""Logging in with e-mail and password, and what keeps others from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from backend.config import Settings
from backend.http.access import COOKIE, csrf_token
from backend.models import Credential, LoginFailure, LoginSession, Profile
from backend.services import identity, throttle
from tests.api.team import PASSWORD, actions, log_in, member, no_hashing
from tests.postgres import Server
from tests.serving import Served, serving


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = {"accounts": "team", "failures_per_account": 3, "failures_per_address": 1000}
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, **settings), url) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with served.anonymous() as client:
        yield client


def test_the_right_password_opens_a_session_that_leads_on(served: Served, client: httpx.Client) -> None:
    user_id, email = member(served)
    shown = client.get("/login", params={"next": "/projects/7?cursor=a"})
    assert "/projects/7?cursor=a" in shown.text
    answer = log_in(client, email.upper(), next="/projects/7?cursor=a")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/projects/7?cursor=a")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert client.get("/api/v1/profile").json()["id"] == str(user_id)
    assert actions(served, user_id) == ["user.password_changed", "session.opened"]


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "\\\\evil.example", "/\t/evil.example",
     "javascript:1", "/a\r\nSet-Cookie: x=y", "", "evil.example"],
)  # fmt: skip
def test_it_never_leads_to_another_site(served: Served, client: httpx.Client, target: str) -> None:
    assert log_in(client, member(served)[1], next=target).headers["Location"] == "/"
    assert "evil" not in client.get("/login", params={"next": target}).text


@pytest.mark.parametrize(
    "password", ["", "wrong words entirely", PASSWORD + " ", "x" * 100_000, "\0", PASSWORD.upper()]
)
def test_a_wrong_password_does_not(served: Served, client: httpx.Client, password: str) -> None:
    answer = log_in(client, member(served)[1], password)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "email", ["nobody@example.org", "", "a\0b@example.org", "x" * 5000 + "@example.org", "' OR 1=1 --"]
)
def test_an_unknown_person_is_told_the_same(client: httpx.Client, email: str) -> None:
    answer = log_in(client, email)
    assert (answer.status_code, "do not belong together" in answer.text) == (401, True)


def test_log_ins_that_wait_for_their_turn_at_hashing_hold_no_connection(served: Served, client: httpx.Client) -> None:
    """More than the database has connections for."""
    with ThreadPoolExecutor(35) as threads:

        def enter(number: int) -> int:
            with served.anonymous() as each:
                return log_in(each, f"somebody{number}@example.org").status_code

        with no_hashing() as waiting:
            answers = [threads.submit(enter, number) for number in range(35)]
            waiting(35)
            assert client.get("/api/v1/profile", timeout=5).status_code == 401
        assert {each.result(60) for each in answers} == {401}


def test_a_password_that_is_changed_meanwhile_lets_nobody_in(served: Served, client: httpx.Client) -> None:
    user_id, email = member(served)

    async def change(session: Any) -> None:
        changing = update(Credential).filter_by(user_id=user_id)
        await session.execute(changing.values(password_hash="of another password"))

    with ThreadPoolExecutor(1) as threads, no_hashing() as waiting:
        answer = threads.submit(log_in, client, email)
        waiting(1)
        served.run(change)
    assert answer.result(30).status_code == 401
    assert COOKIE not in client.cookies


def test_the_time_does_not_tell_who_is_there(served: Served, client: httpx.Client) -> None:
    def took(email: str) -> float:
        start = time.perf_counter()
        assert log_in(client, email, "wrong words entirely").status_code == 401
        return time.perf_counter() - start

    log_in(client, "first@example.org")  # makes the hash of nobody's password
    known = median(took(member(served, cheap=False)[1]) for _ in range(5))
    unknown = median(took(f"nobody{n}@example.org") for n in range(5))
    assert 0.4 < unknown / known < 2.5


def test_a_disabled_person_is_kept_out(served: Served, client: httpx.Client) -> None:
    user_id, email = member(served)
    served.run(lambda session: session.execute(update(Profile).filter_by(id=user_id).values(disabled_at=func.now())))
    assert log_in(client, email).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "own"}, 303),
        ({}, 303),
    ],
)
def test_another_site_logs_nobody_in(
    served: Served, client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    if headers.get("Origin") == "own":
        headers = {"Origin": served.url}
    user_id, email = member(served)
    answer = client.post("/login", data={"email": email, "password": PASSWORD}, headers=headers)
    assert answer.status_code == status
    link = served.run(lambda session: identity.new_link(session, user_id))
    assert client.post(f"/login/{link}", headers=headers).status_code == status


def test_logging_in_again_leaves_no_session_behind(served: Served, client: httpx.Client) -> None:
    (first_id, first), (_, second) = member(served), member(served)
    log_in(client, first)
    before = client.cookies[COOKIE]
    log_in(client, second)
    assert client.cookies[COOKIE] != before
    with served.anonymous(cookies={COOKIE: before}) as stolen:
        assert stolen.get("/api/v1/profile").status_code == 401
    count = select(func.count()).select_from(LoginSession).filter_by(user_id=first_id)
    assert served.run(lambda session: session.scalar(count)) == 0


def test_logging_out_ends_the_session(served: Served, client: httpx.Client) -> None:
    user_id, email = member(served)
    log_in(client, email)
    token = client.cookies[COOKIE]
    assert client.post("/logout").status_code == 403
    out = client.post("/logout", headers={"X-CSRF-Token": csrf_token(token)})
    assert (out.status_code, out.headers["Location"]) == (303, "/login")
    assert COOKIE not in client.cookies
    with served.anonymous(cookies={COOKIE: token}) as kept:
        assert kept.get("/api/v1/profile").status_code == 401
    assert actions(served, user_id)[-1] == "session.ended"


def test_a_page_leads_to_the_login_and_back(client: httpx.Client) -> None:
    answer = client.get("/projects/7?cursor=a", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Fprojects%2F7%3Fcursor%3Da")
    assert client.get("/api/v1/projects", headers={"Accept": "text/html"}).status_code == 401


def test_an_account_has_to_wait_after_too_many_failures(served: Served, client: httpx.Client) -> None:
    _, email = member(served)
    for _ in range(3):
        assert log_in(client, email, "wrong words entirely").status_code == 401
    answer = log_in(client, email.upper())
    assert answer.status_code == 429
    assert 800 < int(answer.headers["Retry-After"]) <= 900
    assert "Try again in 15 min" in answer.text
    assert log_in(client, member(served)[1]).status_code == 303

    earlier = datetime.now(UTC) - throttle.WINDOW - timedelta(seconds=1)
    served.run(lambda session: session.execute(update(LoginFailure).values(at=earlier)))
    assert log_in(client, email).status_code == 303
    served.run(throttle.clean)
    assert served.run(lambda session: session.scalar(select(func.count()).select_from(LoginFailure))) == 0


def test_a_success_forgets_the_failures(served: Served, client: httpx.Client) -> None:
    _, email = member(served)
    for _ in range(3):
        log_in(client, email, "wrong words entirely")
        log_in(client, email, "wrong words entirely")
        assert log_in(client, email).status_code == 303


def test_many_at_once_do_not_slip_through(served: Served) -> None:
    _, email = member(served)

    def attempt(_: int) -> int:
        with served.anonymous() as client:
            return log_in(client, email, "wrong words entirely").status_code

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(attempt, range(12)))
    assert sorted(statuses) == [401] * 3 + [429] * 9


def test_an_address_has_to_wait_too(embedded: Server, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"home": tmp_path, "accounts": "team", "failures_per_address": 4}
    with (
        embedded.migrated() as url,
        serving(Settings(**settings), url) as one,
        serving(Settings(**settings), url) as another,  # another process counts with it
        one.anonymous() as here,
        another.anonymous() as there,
    ):
        for n in range(2):
            assert log_in(here, f"a{n}@example.org").status_code == 401
            assert log_in(there, f"b{n}@example.org").status_code == 401
        assert log_in(here, member(one)[1]).status_code == 429


def test_what_was_typed_is_not_kept(served: Served, client: httpx.Client) -> None:
    log_in(client, "my secret password in the wrong field")
    keys = served.run(lambda session: session.scalars(select(LoginFailure.key)))
    assert not [key for key in keys if "secret" in key]


def test_addresses_of_one_network_count_together() -> None:
    network = throttle._network
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") != network("2001:db8:1:3::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"


def test_over_https_the_cookie_is_bound_to_the_host(served: Served) -> None:
    headers = {"X-Forwarded-Proto": "https"}  # uvicorn takes it from a proxy on this machine
    user_id, email = member(served)
    with served.anonymous(headers=headers) as client:
        answer = log_in(client, email)
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"__Host-{COOKIE}=")
        assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "domain" not in cookie.lower()
        value = cookie.split(";")[0].partition("=")[2]
        proof = {"Cookie": f"__Host-{COOKIE}={value}"}
        assert client.get("/api/v1/profile", headers=proof).json()["id"] == str(user_id)
        assert client.get("/api/v1/profile", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 401


def test_a_link_in_a_team_asks_first_and_works_once(served: Served, client: httpx.Client) -> None:
    user_id, email = member(served)
    link = served.run(lambda session: identity.new_link(session, user_id))
    for _ in range(2):  # a mail program looked at it
        shown = client.get(f"/login/{link}")
        assert email in shown.text
        assert COOKIE not in client.cookies
    assert client.post(f"/login/{link}").headers["Location"] == "/account"
    assert client.get("/api/v1/profile").json()["email"] == email
    assert client.post(f"/login/{link}").status_code == 401
    assert client.get(f"/login/{link}").status_code == 401


def test_a_hash_is_argon2_and_of_its_own(served: Served) -> None:
    ids = [member(served, cheap=False)[0] for _ in range(2)]
    query = select(Credential.password_hash).where(Credential.user_id.in_(ids))
    hashes = list(served.run(lambda session: session.scalars(query)))
    assert len(set(hashes)) == 2
    assert all(kept.startswith("$argon2id$") and PASSWORD not in kept for kept in hashes)


def test_in_local_mode_nobody_has_a_password(embedded: Server, tmp_path: Path) -> None:
    with (
        embedded.migrated() as url,
        serving(Settings(home=tmp_path), url) as local,
        local.anonymous(headers={"Accept": "text/html"}) as client,
    ):
        assert "gleanset up" in client.get("/login").text
        assert log_in(client, member(local)[1]).status_code == 404
        owner = local.person()
        link = local.run(lambda session: identity.new_link(session, owner))
        assert client.get(f"/login/{link}").headers["Location"] == "/"
        assert client.get("/api/v1/profile").status_code == 200
