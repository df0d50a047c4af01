"""Images through the API: found, looked at, compared, and their files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from time import sleep
from typing import Any, cast

import httpx
import pytest
from PIL import Image as Pillow
from sqlalchemy import QueuePool, text

from backend.models import Image
from backend.schemas.images import ImageItem, ImageResponse
from gleanset.store import Store, thumbnail_key
from gleanset.types import Licence
from tests.api.albums import Gathered, gathered, picture
from tests.engine.pictures import FORMATS, encode, photo
from tests.serving import Served

LABELS = ("cat", "dog", "ünï/cödé 🐈")


def fields(number: int) -> dict[str, Any]:
    """Of the pictures below: three labels, two sources, and no licence for every fourth."""
    licence = None if number % 4 == 3 else Licence(("by", "cc0")[number % 2], "4.0")
    given: dict[str, Any] = {
        "label": LABELS[number % 3],
        "source": ("openverse", "met")[number % 2],
        "licence": licence,
    }
    return given | (
        {"title": "100%_sure \\ about 'cats' für Öl", "metadata": {"ünï": [1, {"b": "\\"}]}} if number == 5 else {}
    )


FILES = [
    *(picture("china", 320, variant) for variant in FORMATS),
    picture("flower", 64),
    picture("flower", 640),
    picture("china", 320),  # the same bytes as the first
]


@pytest.fixture(scope="module")
def job(served: Served) -> Gathered:
    return gathered(served, served.person(), FILES, fields=fields)


@pytest.fixture
def client(served: Served, job: Gathered) -> Iterator[httpx.Client]:
    with served.browser(job.user_id) as client:
        yield client


def places(client: httpx.Client, job: Gathered, **asked: Any) -> list[int]:
    """Which of FILES the filters find, over as many pages as it takes."""
    found: list[int] = []
    cursor = None
    while True:
        page = client.get(
            f"/api/v1/crawl-jobs/{job.job_id}/images",
            params={"limit": 2} | asked | ({"cursor": cursor} if cursor else {}),
        )
        assert page.status_code == 200, page.text
        found += [job.images.index(item["id"]) for item in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, range(10)),
        ({"outcome": "downloaded"}, range(10)),
        ({"label": "dog"}, (1, 4, 7)),
        ({"label": LABELS[2]}, (2, 5, 8)),
        ({"label": "nothing"}, ()),
        ({"label": "cat", "source": "met"}, (3, 9)),
        ({"licence": "cc0"}, (1, 5, 9)),
        ({"licence": "unknown"}, (3, 7)),
        ({"min_width": 321}, (8,)),
        ({"max_width": 319}, (7,)),
        ({"min_width": 64, "max_width": 64}, (7,)),
        ({"min_height": 300}, (8,)),
        ({"max_height": 60}, (7,)),
        ({"max_file_size": len(FILES[7])}, (7,)),
        ({"min_file_size": len(FILES[6])}, (4, 6)),
        ({"text": "100%_sure"}, (5,)),
        ({"text": "100%sure"}, ()),
        ({"text": "_sure \\ about 'CATS'"}, (5,)),
        ({"text": "'CATS' fÜr ö"}, (5,)),
        ({"text": "fur"}, ()),
        ({"text": "picture 8"}, (8,)),
        ({"text": "ann"}, range(10)),
        ({"text": "example.org/3.jpg"}, (3,)),
        ({"decision": "keep"}, ()),
        ({"valid": True}, ()),
    ],
)
def test_filters(client: httpx.Client, job: Gathered, asked: dict[str, Any], expected: Any) -> None:
    assert places(client, job, **asked) == list(expected)


def test_a_list_says_of_an_image_what_its_own_page_says(client: httpx.Client, job: Gathered) -> None:
    """PostgreSQL writes the one as JSON, pydantic the other."""
    listed = client.get(f"/api/v1/crawl-jobs/{job.job_id}/images").json()["items"]
    assert [item["id"] for item in listed] == job.images
    for item in listed:
        assert list(item) == list(ImageItem.model_fields)
        alone = client.get(f"/api/v1/images/{item['id']}").json()
        for name in ImageResponse.model_fields:
            if name == "fetched_at":
                assert item[name].endswith("Z")
                assert datetime.fromisoformat(item[name]) == datetime.fromisoformat(alone[name])
            else:
                assert item[name] == (pytest.approx(alone[name]) if isinstance(alone[name], float) else alone[name])
    assert {type(item["metadata_"]) for item in listed} >= {dict}


def test_what_was_not_had_is_found_by_its_reason(client: httpx.Client, job: Gathered) -> None:
    path = f"/api/v1/crawl-jobs/{job.job_id}/images"
    for asked in ({"reason": "not_found"}, {"outcome": "failed"}, {"outcome": "failed", "label": "cat"}):
        [item] = client.get(path, params=asked).json()["items"]
        assert (item["outcome"], item["reason"], item["sha256"]) == ("failed", "not_found", None)
    assert client.get(path, params={"reason": "dns"}).json() == {"items": [], "next": None}
    assert client.get(path, params={"outcome": "refused"}).json()["items"] == []


def test_verdicts_of_the_latest_or_a_given_validation(served: Served) -> None:
    job = gathered(served, served.person(), FILES, fields=fields)
    small, large = job.validate(min_width=100), job.validate(max_width=500, keep_duplicates=True)
    with served.browser(job.user_id) as client:
        assert places(client, job, valid=False) == [8]
        assert places(client, job, valid=True, label="dog") == [1, 4, 7]
        assert places(client, job, verdict="max_width") == [8]
        assert places(client, job, validation_job_id=large, valid=False) == [8]
        assert places(client, job, validation_job_id=small, valid=False) == [7, 9]
        assert places(client, job, validation_job_id=small, verdict="exact_duplicate") == [9]
        assert places(client, job, validation_job_id=small, verdict="max_width") == []
        assert places(client, job, validation_job_id=2**31 - 1, valid=False) == []
        item = client.get(f"/api/v1/crawl-jobs/{job.job_id}/images", params={"valid": False}).json()["items"][0]
        assert (item["valid"], item["verdict_reasons"], item["decision"]) == (False, ["max_width"], None)
        detail = client.get(f"/api/v1/images/{job.images[9]}").json()
    assert detail["project_id"] == job.project_id
    assert detail["verdicts"] == [
        {"validation_job_id": large, "valid": True, "reasons": [], "duplicate_of": None},
        {"validation_job_id": small, "valid": False, "reasons": ["exact_duplicate"], "duplicate_of": job.images[0]},
    ]
    assert detail["decision"] is None


def test_a_search_goes_on_where_a_window_ends(
    client: httpx.Client, job: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.search.FIRST_WINDOW", 2)
    monkeypatch.setattr("backend.services.search.WINDOW", 3)
    assert places(client, job, min_width=600) == [8]
    monkeypatch.setattr("backend.services.search._LONG_ENOUGH", 0)
    path = f"/api/v1/crawl-jobs/{job.job_id}/images"
    first = client.get(path, params={"min_width": 600}).json()
    assert first["items"] == []
    assert first["next"] is not None
    assert places(client, job, min_width=600) == [8]
    assert places(client, job, source="met") == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    "asked",
    [
        {"outcome": "lost"},
        {"min_width": -1},
        {"min_width": 10**30},
        {"max_file_size": 10**30},
        {"text": "a\0b"},
        {"label": "\0"},
        {"limit": 0},
        {"limit": 201},
        {"cursor": "rubbish"},
        {"decision": "maybe"},
        {"colour": "red"},
        {"validation_job_id": 10**20},
    ],
)
def test_nonsense_is_told(client: httpx.Client, job: Gathered, asked: dict[str, Any]) -> None:
    answer = client.get(f"/api/v1/crawl-jobs/{job.job_id}/images", params=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


@pytest.mark.parametrize("path", ["", "/neighbours", "/file", "/thumbnail"])
def test_images_of_others_are_not_there(other: httpx.Client, client: httpx.Client, job: Gathered, path: str) -> None:
    for number in (job.images[0], 2**63 - 1, 10**30):
        assert other.get(f"/api/v1/images/{number}{path}").status_code == 404
    assert client.get(f"/api/v1/images/{job.images[0]}{path}").status_code == 200
    assert other.get(f"/api/v1/crawl-jobs/{job.job_id}/images").status_code == 404
    assert other.get(f"/api/v1/crawl-jobs/{job.job_id}/statistics").status_code == 404


@pytest.mark.parametrize("number", range(len(FORMATS)), ids=FORMATS)
def test_a_file_is_the_bytes_that_were_gathered(client: httpx.Client, job: Gathered, number: int) -> None:
    answer = client.get(f"/api/v1/images/{job.images[number]}/file")
    assert answer.content == FILES[number]
    digest = hashlib.sha256(FILES[number]).hexdigest()
    headers = answer.headers
    assert (headers["Content-Type"], headers["ETag"]) == (f"image/{FORMATS[number]}", f'"{digest}"')
    assert headers["Content-Length"] == str(len(FILES[number]))
    assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(f"/api/v1/images/{job.images[number]}/file", headers={"If-None-Match": f'W/"{digest}"'})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, None),
        ("bytes=-50", 206, -50, None),
        ("bytes=10-10", 206, 10, 11),
        (f"bytes=5-{10**17}", 206, 5, None),
        (f"bytes=-{10**17}", 206, 0, None),
        ("bytes=0-4,10-14", 200, 0, None),
        ("bytes=9-3", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_a_part_of_a_file(
    client: httpx.Client, job: Gathered, asked: str, status: int, start: int, stop: int | None
) -> None:
    answer = client.get(f"/api/v1/images/{job.images[0]}/file", headers={"Range": asked})
    expected = FILES[0][start:stop]
    assert (answer.status_code, answer.content) == (status, expected)
    if status == 206:
        first = start if start >= 0 else len(FILES[0]) + start
        where = f"bytes {first}-{first + len(expected) - 1}/{len(FILES[0])}"
        assert (answer.headers["Content-Range"], answer.headers["Content-Length"]) == (where, str(len(expected)))


def test_a_part_that_is_not_there(client: httpx.Client, job: Gathered) -> None:
    path = f"/api/v1/images/{job.images[0]}/file"
    for asked in (f"bytes={len(FILES[0])}-", "bytes=-0"):
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(FILES[0])}")
        assert answer.json()["code"] == "range_not_satisfiable"
    changed = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, FILES[0])


@pytest.mark.parametrize("number", range(len(FILES)))
def test_a_thumbnail_is_a_small_jpeg_of_the_picture(client: httpx.Client, job: Gathered, number: int) -> None:
    answer = client.get(f"/api/v1/images/{job.images[number]}/thumbnail")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    small = Pillow.open(io.BytesIO(answer.content))
    original = Pillow.open(io.BytesIO(FILES[number]))
    assert max(small.size) == min(320, max(original.size))
    assert small.width / small.height == pytest.approx(original.width / original.height, abs=0.02)
    likeness = zip(small.resize((4, 4)).tobytes(), original.convert("RGB").resize((4, 4)).tobytes(), strict=True)
    assert max(abs(one - two) for one, two in likeness) < 20
    again = client.get(
        f"/api/v1/images/{job.images[number]}/thumbnail", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


def test_a_thumbnail_stands_upright(served: Served) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    job = gathered(served, served.person(), [encode(photo("china").resize((640, 400)), "jpeg", exif=exif)])
    with served.browser(job.user_id) as client:
        answer = client.get(f"/api/v1/images/{job.images[0]}/thumbnail")
    assert Pillow.open(io.BytesIO(answer.content)).size == (200, 320)


def test_a_thumbnail_is_made_once_however_many_ask(served: Served) -> None:
    data = picture("rocket", 500)
    job = gathered(served, served.person(), [data])
    store = Store(served.settings.store_place)
    key = f"{hashlib.sha256(data).hexdigest()[:2]}/{hashlib.sha256(data).hexdigest()}.jpg"
    with served.browser(job.user_id) as client:
        path = f"/api/v1/images/{job.images[0]}/thumbnail"
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: client.get(path), range(16)))
        assert len({answer.content for answer in answers}) == 1
        store.put_now(thumbnail_key(key), b"kept")
        assert client.get(path).content == b"kept"


def test_thumbnails_that_wait_for_their_turn_hold_no_connection(served: Served) -> None:
    """More than the database has connections for; all come back before the first picture is made."""
    large = encode(photo("china").resize((6000, 4000)), "png", compress_level=1)
    job = gathered(served, served.person(), [large])
    pool = cast("QueuePool", served.database.engine.pool)
    with served.browser(job.user_id) as client, ThreadPoolExecutor(40) as threads:
        asked = [threads.submit(client.get, f"/api/v1/images/{job.images[0]}/thumbnail") for _ in range(40)]
        taken = [pool.checkedout()]
        while not any(each.done() for each in asked):
            taken.append(pool.checkedout())
            sleep(0.001)
        assert {each.result(30).status_code for each in asked} == {200}
    assert max(taken) > 0
    assert 0 in taken[taken.index(max(taken)) :]


def test_files_that_are_gone_or_spoilt_are_a_404(served: Served) -> None:
    gone, spoilt = picture("coins", 200), picture("coins", 210)
    job = gathered(served, served.person(), [gone, spoilt])
    store = Store(served.settings.store_place)
    keys = [f"{name[:2]}/{name}.jpg" for name in (hashlib.sha256(data).hexdigest() for data in (gone, spoilt))]
    served.run(lambda _: store.erase(keys[:1]))
    store.put_now(keys[1], b"not a picture at all")
    with served.browser(job.user_id) as client:
        for number, path in ((0, "file"), (0, "thumbnail"), (1, "thumbnail")):
            answer = client.get(f"/api/v1/images/{job.images[number]}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        [lost] = client.get(f"/api/v1/crawl-jobs/{job.job_id}/images", params={"outcome": "failed"}).json()["items"]
        assert client.get(f"/api/v1/images/{lost['id']}/file").status_code == 404


def test_neighbours_are_the_same_bytes_first_and_then_the_nearest(client: httpx.Client, job: Gathered) -> None:
    found = client.get(f"/api/v1/images/{job.images[0]}/neighbours").json()
    near = [(job.images.index(item["id"]), item["identical"]) for item in found["items"]]
    assert near[0] == (9, True)
    assert {place for place, identical in near if not identical} == {1, 2, 3, 4, 5, 6}  # in other formats
    distances = [item["distance"] for item in found["items"]]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert max(distances) <= 64
    assert found["compared"] == 8
    few = client.get(f"/api/v1/images/{job.images[0]}/neighbours", params={"limit": 3, "within": 128}).json()
    assert [item["id"] for item in few["items"]] == [item["id"] for item in found["items"]][:3]
    assert client.get(f"/api/v1/images/{job.images[0]}/neighbours", params={"within": 129}).status_code == 422


def test_the_distance_is_the_bits_that_differ(client: httpx.Client, job: Gathered) -> None:
    rows = [job.row(Image, number) for number in job.images]
    items = client.get(f"/api/v1/images/{job.images[8]}/neighbours", params={"within": 128}).json()["items"]
    assert items
    for item in items:
        other = rows[job.images.index(item["id"])]
        expected = (int.from_bytes(rows[8].pdq) ^ int.from_bytes(other.pdq)).bit_count()
        assert item["distance"] == expected


def test_statistics_count_every_download_once(client: httpx.Client, job: Gathered) -> None:
    found = client.get(f"/api/v1/crawl-jobs/{job.job_id}/statistics").json()
    assert (found["images"], found["every"]) == (10, 1)
    assert found["labels"] == {LABELS[0]: 4, LABELS[1]: 3, LABELS[2]: 3}
    assert found["sources"] == {"openverse": 5, "met": 5}
    assert found["licences"] == {"by": 5, "cc0": 3, "unknown": 2}
    assert found["formats"] == {"jpeg": 4} | dict.fromkeys(FORMATS[1:], 1)
    for name in ("shorter_side", "aspect_ratio", "file_size", "sharpness", "brightness"):
        histogram = found[name]
        assert len(histogram["counts"]) == len(histogram["edges"]) + 1
        assert sum(histogram["counts"]) == 10
    sides = dict(zip(found["shorter_side"]["edges"], found["shorter_side"]["counts"][1:], strict=True))
    assert {edge: count for edge, count in sides.items() if count} == {128: 8, 384: 1}
    assert found["shorter_side"]["counts"][0] == 1


def test_statistics_of_a_large_job_are_of_a_sample(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.services.statistics.MOST", 100)
    job = gathered(served, served.person(), [])
    fill = text(
        "WITH made AS (INSERT INTO images (crawl_job_id, original_url, outcome, label, width, height)"
        " SELECT :job, 'https://example.org/many/' || n, 'downloaded', 'cat', n, n FROM generate_series(1, 2000) n)"
        " UPDATE crawl_jobs SET downloaded_images = 2000 WHERE id = :job"
    )
    served.run(lambda session: session.execute(fill, {"job": job.job_id}))
    with served.browser(job.user_id) as client:
        found = client.get(f"/api/v1/crawl-jobs/{job.job_id}/statistics").json()
    assert found["every"] == 20
    assert 1000 < found["images"] < 3000
    assert found["labels"] == {"cat": found["images"]}
