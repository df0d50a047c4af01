"""Records the answers that the OpenAPI document shows: `python -m tests.api.answers` writes answers.json."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from backend.config import Settings
from tests.api.requests import request_of
from tests.api.test_matrix import ENDPOINTS, Endpoint
from tests.api.test_noted import GIVEN, prepare
from tests.api.world import keep_picture
from tests.postgres import embedded_server
from tests.serving import Served, serving

FILE = Path(__file__).parents[2] / "backend" / "api" / "answers.json"
ELSEWHERE = {"preview_crawl"}
"""What asks the internet: its answer is written by hand."""
_SECRET = re.compile(r"(gls_[\w-]{6})[\w-]+|(/login/|signature=)[\w-]+")
_LONGEST = 2
"""Items of a list that are enough to see what it is."""


def recorded(served: Served, endpoint: Endpoint) -> Any:
    """The answer as JSON; None for one of another kind."""
    world, _, headers = served.run(lambda session: prepare(session, endpoint))
    given = request_of(endpoint.route, endpoint.method, world)
    if str(endpoint) in GIVEN:
        given = {"url": given["url"], **GIVEN[str(endpoint)](world.values)}
    with served.anonymous() as client, client.stream(endpoint.method, headers=headers, **given) as answer:
        kind = answer.headers.get("Content-Type", "")
        if answer.status_code >= 300 or not kind.startswith("application/json"):
            return None
        body = answer.read()
        return shortened(json.loads(body)) if body else None


def shortened(value: Any) -> Any:
    """With short lists, and without what proves something by being known."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value[:_LONGEST]]
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}...", value) if isinstance(value, str) else value


def main() -> None:
    answers = {name: answer for name, answer in json.loads(FILE.read_text()).items() if name in ELSEWHERE}
    home = Path(tempfile.mkdtemp())
    with embedded_server() as server, server.migrated() as url:
        settings = Settings(home=home, database_url=url, accounts="team")
        with serving(settings, url) as served:
            keep_picture(served)
            for endpoint in ENDPOINTS:
                name = endpoint.route.name
                path = str(endpoint.route.path)
                if path.startswith(("/api/v1/", "/health/")) and name not in ELSEWHERE and "events" not in path:
                    answer = recorded(served, endpoint)
                    if answer is not None:
                        answers[str(name)] = answer
    FILE.write_text(json.dumps(answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(len(answers), FILE.stat().st_size)


if __name__ == "__main__":
    main()
