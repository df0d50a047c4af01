"""Tokens of an identity provider: which are taken, whose they are, and what happens when the provider is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.errors import ProviderUnavailable
from backend.http.oidc import KeySet
from backend.models import Profile
from backend.models.enums import Role
from backend.services.claims import profile_id
from backend.services.profiles import LOCAL_OWNER
from tests.api.issuer import AUDIENCE, Issuer, encoded, issuing, trusting
from tests.api.team import actions
from tests.postgres import Server
from tests.serving import Served, serving

PROFILE = "/api/v1/profile"
PROJECTS = "/api/v1/projects"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def alone() -> Iterator[Issuer]:
    """A provider of the test's own."""
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def served(embedded: Server, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(trusting(issuer, home, url), url) as running:
        yield running


@pytest.fixture
def fresh(served: Served, alone: Issuer) -> Iterator[Served]:
    """A web process that has not asked its provider yet."""
    url = served.database.url
    with serving(trusting(alone, served.settings.home, url), url) as running:
        yield running


def ask(served: Served, token: str, path: str = PROFILE) -> httpx.Response:
    with served.anonymous(headers={"Authorization": f"Bearer {token}"}) as client:
        return client.get(path)


def refused(served: Served, token: str, says: str) -> None:
    answer = ask(served, token)
    assert answer.status_code == 401, answer.text
    assert says in answer.json()["message"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_is_somebody(alone: Issuer, fresh: Served, algorithm: str) -> None:
    subject = str(uuid4())
    token = alone.token(alone.new_key(algorithm), sub=subject, email="Ada@Example.org" + algorithm, email_verified=True)
    shown = ask(fresh, token).json()
    assert (shown["id"], shown["email"]) == (subject, "Ada@Example.org" + algorithm)
    assert (shown["full_name"], shown["role"]) == ("Ada", "user")
    assert ask(fresh, token).status_code == 200
    assert actions(fresh, subject) == ["user.created"]
    assert alone.asked == 1


def test_a_token_changes_things_without_a_cookie_and_sees_no_others(served: Served, issuer: Issuer) -> None:
    with served.anonymous(headers={"Authorization": f"Bearer {issuer.token()}"}) as client:
        made = client.post(PROJECTS, json={"name": "Birds"})
    assert made.status_code == 201, made.text
    assert ask(served, issuer.token(), f"{PROJECTS}/{made.json()['id']}").status_code == 404


def test_the_role_is_ours_to_give(served: Served, issuer: Issuer) -> None:
    claims: dict[str, Any] = {
        "sub": str(uuid4()),
        "role": "admin",
        "roles": ["admin"],
        "app_metadata": {"role": "admin"},
    }
    token = issuer.token(**claims)
    assert ask(served, token).json()["role"] == "user"
    assert ask(served, token, "/api/v1/users").status_code == 403

    async def promote(session: AsyncSession) -> None:
        (await session.get_one(Profile, UUID(claims["sub"]))).role = Role.ADMIN.value

    served.run(promote)
    assert ask(served, token, "/api/v1/users").status_code == 200


def test_a_subject_that_is_no_uuid_has_always_the_same_profile(served: Served, issuer: Issuer) -> None:
    shown = [ask(served, issuer.token(sub="auth0|7", email="seven@example.org")).json() for _ in range(2)]
    assert shown[0]["id"] == shown[1]["id"] == str(uuid5(NAMESPACE_URL, f"{issuer.url}#auth0|7"))


def test_two_subjects_are_never_one_person() -> None:
    plain = "c0ffee00-0000-4000-8000-000000000001"
    spellings = [plain, plain.upper(), f"{{{plain}}}", f"urn:uuid:{plain}", plain.replace("-", ""), f" {plain}"]
    assert len({profile_id("https://id.example.org", each) for each in spellings}) == len(spellings)
    assert profile_id("https://id.example.org", "7") != profile_id("https://other.example.org", "7")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": time.time() - 60}, "expired"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"iat": time.time() + 3600}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another", "third"]}, "another audience"),
        ({"iss": "https://elsewhere.example.org"}, "another issuer"),
        ({"exp": None}, "lacks"),
        ({"iss": None}, "lacks"),
        ({"aud": None}, "lacks"),
        ({"sub": None}, "lacks"),
        ({"sub": 7}, "not good"),
        ({"exp": "soon"}, "not good"),
        ({"name": "x" * 20_000}, "longer than"),
    ],
    ids=lambda value: ",".join(f"{name}" for name in value) if isinstance(value, dict) else value,
)
def test_a_token_that_does_not_hold(served: Served, issuer: Issuer, changes: dict[str, Any], says: str) -> None:
    refused(served, issuer.token(**changes), says)


def test_clocks_may_differ_a_little_and_audiences_be_several(served: Served, issuer: Issuer) -> None:
    token = issuer.token(exp=time.time() - 15, nbf=time.time() + 15, aud=["another", AUDIENCE])
    assert ask(served, token).status_code == 200


def test_only_signatures_that_the_provider_alone_can_make(served: Served, issuer: Issuer) -> None:
    (key_id, (_, private)) = next(iter(issuer.keys.items()))
    refused(served, jwt.encode(issuer.claims(), None, "none", headers={"kid": key_id}), "RS256, ES256 or EdDSA")
    header = {"alg": "HS256", "kid": key_id, "typ": "JWT"}
    refused(served, issuer.by_hand(header, issuer.public_pem(key_id)), "RS256, ES256 or EdDSA")
    refused(served, issuer.by_hand(header | {"kid": "secret"}, b"secret"), "RS256, ES256 or EdDSA")
    refused(served, issuer.by_hand(header | {"alg": ["RS256"]}, b"x"), "")
    refused(served, issuer.by_hand(header | {"alg": "RS256"}, issuer.public_pem(key_id)), "not good")
    refused(served, issuer.by_hand(header | {"alg": "RS256", "kid": "secret"}, b"secret"), "does not have")
    refused(served, jwt.encode(issuer.claims(), private, "RS512", headers={"kid": key_id}), "RS256, ES256 or EdDSA")
    refused(served, jwt.encode(issuer.claims(), private, "RS256"), "does not have")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused(served, jwt.encode(issuer.claims(), stranger, "RS256", headers={"kid": key_id}), "not good")


def test_a_key_of_another_type(served: Served, issuer: Issuer) -> None:
    with issuing() as other:
        _, private = other.keys[other.new_key("ES256")]
    token = jwt.encode(issuer.claims(), private, "ES256", headers={"kid": next(iter(issuer.keys))})
    refused(served, token, "not good")


@pytest.mark.parametrize(
    "given",
    [
        "x",
        "a.b.c",
        "..",
        "é.é.é",
        "gls_" + "x" * 43,
        f"{encoded(b'[' * 9_000)}.e30.e30",
        f"{encoded(b'[]')}.e30.e30",
        f"{encoded(json.dumps({'alg': 'RS256', 'kid': 7}).encode())}.e30.e30",
        f"{encoded(json.dumps({'alg': 'RS256', 'kid': None}).encode())}.e30.e30",
    ],
    ids=range(9),
)
def test_garbage_is_nobody(served: Served, given: str) -> None:
    with served.anonymous(headers={"Authorization": f"Bearer {given}".encode()}) as client:
        answer = client.get(PROFILE)
    assert answer.status_code == 401, answer.text


def test_a_changed_token_is_not_good(served: Served, issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    claims = encoded(json.dumps(issuer.claims(email="boss@example.org")).encode())
    refused(served, f"{head}.{claims}.{signature}", "not good")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"email": None}, "has no e-mail"),
        ({"email": ""}, "has no e-mail"),
        ({"email": 7}, "has no e-mail"),
        ({"email": "a\0@example.org"}, "has no e-mail"),
        ({"email_verified": False}, "not confirmed"),
        ({"email_verified": "false"}, "not confirmed"),
        ({"sub": str(LOCAL_OWNER)}, "owner of this machine"),
    ],
    ids=str,
)
def test_who_gets_no_profile(served: Served, issuer: Issuer, changes: dict[str, Any], says: str) -> None:
    answer = ask(served, issuer.token(**changes))
    assert answer.status_code == 403, answer.text
    assert says in answer.json()["message"]


@pytest.mark.parametrize("name", [None, "", "x" * 101, "a\0b", 7, {"first": "Ada"}], ids=str)
def test_an_odd_name_keeps_nobody_out(served: Served, issuer: Issuer, name: Any) -> None:
    answer = ask(served, issuer.token(name=name))
    assert (answer.status_code, answer.json()["full_name"]) == (200, None)


def test_an_email_that_is_somebody_elses_takes_nothing_over(served: Served, issuer: Issuer) -> None:
    theirs = served.person(Role.ADMIN)

    async def email_of(session: AsyncSession) -> str:
        return (await session.get_one(Profile, theirs)).email

    subject = str(uuid4())
    answer = ask(served, issuer.token(sub=subject, email=served.run(email_of).upper(), email_verified=True))
    assert answer.status_code == 403, answer.text
    assert "Somebody else has the e-mail" in answer.json()["message"]
    assert actions(served, subject) == actions(served, theirs) == []


def test_whoever_is_disabled_stays_out(served: Served, issuer: Issuer) -> None:
    subject = str(uuid4())
    token = issuer.token(sub=subject)
    assert ask(served, token).status_code == 200

    async def disable(session: AsyncSession) -> None:
        (await session.get_one(Profile, UUID(subject))).disabled_at = datetime.now(UTC)

    served.run(disable)
    refused(served, token, "disabled")
    refused(served, issuer.token(sub=subject), "disabled")


def test_first_requests_at_once_make_one_profile(served: Served, issuer: Issuer) -> None:
    for _ in range(5):
        subject = str(uuid4())
        token = issuer.token(sub=subject)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda token: ask(served, token).status_code, [token] * 8))
        assert answers == [200] * 8
        assert actions(served, subject) == ["user.created"]


def test_a_new_key_is_found_when_it_is_used_and_unknown_ones_are_not_asked_for_each_time(
    alone: Issuer, fresh: Served
) -> None:
    old = next(iter(alone.keys))
    before = alone.token(old)
    assert ask(fresh, before).status_code == 200
    new = alone.new_key("ES256")
    rotated = alone.token(new)
    del alone.keys[old]
    assert ask(fresh, rotated).status_code == 200
    assert alone.asked == 2
    refused(fresh, before, "does not have")
    for _ in range(3):
        refused(fresh, jwt.encode(alone.claims(), alone.keys[new][1], "ES256", headers={"kid": "no"}), "does not have")
    assert alone.asked == 2


def test_keys_that_are_known_do_without_the_provider(alone: Issuer, fresh: Served) -> None:
    assert ask(fresh, alone.token()).status_code == 200
    alone.status = 500
    assert ask(fresh, alone.token()).status_code == 200
    answer = ask(fresh, alone.token(alone.new_key()))  # which may be a good key, or not
    assert answer.status_code == 503
    assert ask(fresh, alone.token()).status_code == 200


def test_without_keys_it_says_that_the_provider_is_away(alone: Issuer, fresh: Served) -> None:
    alone.status = 500
    for _ in range(3):
        answer = ask(fresh, alone.token())
        assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
        assert "identity provider" in answer.json()["message"]
    assert alone.asked == 1
    assert ask(fresh, "x").status_code == 401
    with fresh.browser(fresh.person()) as client:
        assert client.get(PROFILE).status_code == 200


@pytest.mark.parametrize(
    "how",
    [
        {"body": b"not json"},
        {"body": b"[]"},
        {"body": b'{"keys": 7}'},
        {"body": b"[" * 100_000},
        {"body": b'{"keys": []}' + b" " * 300_000},
        {"body": json.dumps({"keys": [{}] * 101}).encode()},
        {"status": 404},
        {"status": 302, "location": "/.well-known/jwks.json"},
        {"delay": 7.0},
    ],
    ids=["text", "list", "number", "deep", "long", "many", "missing", "redirect", "slow"],
)
async def test_what_is_no_set_of_keys(alone: Issuer, how: dict[str, Any]) -> None:
    for name, value in how.items():
        setattr(alone, name, value)
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await keys_of(alone).find("any")
    assert time.monotonic() - begun < 6.5
    assert alone.asked == 1


def keys_of(issuer: Issuer, **times: float) -> KeySet:
    return KeySet(f"{issuer.url}/.well-known/jwks.json", **times)


async def test_many_who_need_the_keys_wait_for_one_fetch(alone: Issuer) -> None:
    alone.delay = 0.3
    keys = keys_of(alone)
    found = await asyncio.gather(*(keys.find(next(iter(alone.keys))) for _ in range(20)))
    assert None not in found
    assert alone.asked == 1


async def test_keys_are_fetched_anew_and_outlive_a_failure_for_a_while(alone: Issuer) -> None:
    keys, key_id = keys_of(alone, lasts=0.2, pause=0.1, kept=1.0), next(iter(alone.keys))
    assert await keys.find(key_id)
    await asyncio.sleep(0.25)
    assert await keys.find(key_id)
    assert alone.asked == 2
    alone.status = 500
    await asyncio.sleep(0.25)
    assert await keys.find(key_id)
    assert alone.asked == 3
    await asyncio.sleep(1.0)
    with pytest.raises(ProviderUnavailable):
        await keys.find(key_id)
    alone.status = 200
    await asyncio.sleep(0.15)
    assert await keys.find(key_id)


async def test_keys_that_do_not_sign_are_left_out(alone: Issuer) -> None:
    keys = keys_of(alone)
    assert await keys.find("secret") is None
    assert await keys.find(next(iter(alone.keys)))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"oidc_issuer": "http://id.example.org", "oidc_audience": "a"}, "oidc_issuer"),
        ({"oidc_issuer": "id.example.org", "oidc_audience": "a"}, "oidc_issuer"),
        ({"oidc_issuer": "https://", "oidc_audience": "a"}, "oidc_issuer"),
        ({"oidc_issuer": "https://id.example.org"}, "oidc_audience"),
        ({"oidc_issuer": "https://id.example.org", "oidc_audience": ""}, "oidc_audience"),
        ({"oidc_issuer": "https://a.org", "oidc_audience": "a", "oidc_jwks_url": "http://a.org/k"}, "oidc_jwks_url"),
        ({"oidc_issuer": "https://a.org", "oidc_audience": "a", "oidc_jwks_url": "file:///etc/k"}, "oidc_jwks_url"),
    ],
    ids=str,
)
def test_settings_that_would_be_unsafe(given: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as failed:
        Settings(**given)  # pyright: ignore[reportArgumentType]
    assert [each["loc"] for each in failed.value.errors()] == [(field,)]
