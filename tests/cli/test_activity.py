"""The activity log and what was taken down, as the command line tells them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from tests.cli.conftest import Cli, Inside
from tests.cli.test_refresh import rows
from tests.web import sha256_of

ANNA, BERT = "anna@example.org", "bert@example.org"


def test_who_did_what_the_newest_first(cli: Cli, inside: Inside) -> None:
    assert inside.ok("activity").out == "Nothing of the kind was done yet.\n"
    assert rows(cli, "SELECT * FROM profiles") == [], "a look makes no owner"
    inside.ok("users", "add", ANNA)
    inside.ok("users", "role", ANNA, "moderator")
    inside.ok("users", "add", BERT)
    inside.ok("keys", "create", "[bold]nightly")
    for action, person in (("crawl_job.seen", ANNA), ("crawl_job.left", BERT)):
        rows(
            cli,
            "INSERT INTO activity_logs (user_id, action, resource_type, resource_id, timestamp, metadata_)"
            f" SELECT id, '{action}', 'crawl_jobs', '3', '2020-05-17 12:00', '{{\"from\": null, \"to\": [1]}}'"
            f" FROM profiles WHERE email = '{person}' RETURNING id",
        )

    found = inside("activity", "--json").json
    assert [each["id"] for each in found] == sorted((each["id"] for each in found), reverse=True)
    assert (found[0]["user"], found[0]["metadata_"]) == (BERT, {"from": None, "to": [1]})
    shown = inside.ok("activity").out.splitlines()
    assert shown[0].split() == ["when", "who", "what", "on", "from", "->", "to"]
    assert re.search(rf"{BERT} +crawl_job\.left +crawl_jobs 3 +- -> \[1\]", shown[1])
    assert any(re.search(r"owner@localhost +api_key\.created +api_keys 1 \[bold\]nightly +- -> good", x) for x in shown)
    assert any(re.search(r"command line +user\.role_changed .* user -> moderator", line) for line in shown)

    def told(*filters: str) -> list[str]:
        return [each["action"] for each in inside("activity", *filters, "--json").json]

    assert len(told("-n", "2")) == 2
    assert told("--user", "ANNA@example.org") == ["crawl_job.seen"]
    assert told("--action", "user.role") == ["user.role_changed"]
    assert told("--action", "user_role") == []
    assert told("--resource", "crawl_jobs/3") == ["crawl_job.left", "crawl_job.seen"]
    assert told("--resource", "crawl_jobs/3", "--user", BERT) == ["crawl_job.left"]
    assert told("--resource", "crawl_jobs/33") == []
    assert told("--to", "2020-05-18") == ["crawl_job.left", "crawl_job.seen"]
    assert told("--from", "2020-05-17T11:59Z", "--to", "2020-05-17T12:01Z") == ["crawl_job.left", "crawl_job.seen"]
    assert told("--from", "2020-05-17T12:01Z", "--to", "2020-05-20") == []
    today = datetime.now().astimezone()
    assert len(told("--from", f"{today - timedelta(days=1):%Y-%m-%d}")) == len(found) - 2
    assert told("--to", "0001-01-01") == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--user", ANNA), f"There is nobody with the e-mail {ANNA}."),
        (("--user", "anna"), "'anna' is no e-mail address."),
        (("--action", "Crawl Job"), "An action looks like crawl_job.created"),
        (("--resource", "crawl_jobs"), "What it was done to looks like crawl_jobs/3"),
        (("--resource", "crawl_jobs/x"), "What it was done to looks like crawl_jobs/3"),
        (("--from", "yesterday"), "A time looks like 2026-11-01"),
        (("--to", "9999-12-31"), "A time looks like 2026-11-01"),
        (("--limit", "0"), "Invalid value"),
    ],
)
def test_what_cannot_be_asked_is_told(inside: Inside, arguments: tuple[str, ...], sentence: str) -> None:
    refused = inside("activity", *arguments)
    assert (refused.code, refused.out, sentence in refused.err) == (2, "", True), refused.err


def test_what_was_taken_down_is_listed(inside: Inside) -> None:
    assert inside.ok("takedown", "--list").out == "Nothing was taken down.\n"
    assert inside("takedown", "--list", "--json").json == []
    url = "https://example.org/[red]/1.jpg"
    inside.ok("takedown", url, "--note", "its author asked")
    inside.ok("takedown", sha256_of(2))
    newest, oldest = inside("takedown", "--list", "--json").json
    assert (newest["sha256"], newest["url"], newest["note"]) == (sha256_of(2), None, None)
    assert (oldest["sha256"], oldest["url"], oldest["note"]) == (None, url, "its author asked")
    assert len(inside("takedown", "--list", "-n", "1", "--json").json) == 1
    shown = inside.ok("takedown", "--list").out
    assert re.search(r"\d+ +\d{4}-\d\d-\d\d \d\d:\d\d +https://example\.org/\[red\]/1\.jpg +its author asked", shown)
    assert sha256_of(2) in shown
    for arguments in (("--list", url), ("--list", "--withdraw"), ("--list", "--note", "why")):
        refused = inside("takedown", *arguments)
        assert (refused.code, "give it alone" in refused.err) == (2, True)
    assert inside("takedown").code == 2
