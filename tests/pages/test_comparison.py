"""The page of what changed between two validations of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import func, select

from backend.models import ActivityLog
from tests.api.albums import Gathered, gathered, picture
from tests.serving import Served

WIDTHS = (200, 320, 480)


@pytest.fixture
def job(served: Served) -> Gathered:
    """Three pictures, the first the smallest."""
    files = [picture(name, width) for name, width in zip(("china", "flower", "china"), WIDTHS, strict=True)]
    return gathered(served, served.person(), files)


@pytest.fixture
def me(served: Served, job: Gathered) -> Iterator[httpx.Client]:
    with served.browser(job.user_id, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


def shown(text: str) -> list[int]:
    """The images on the page."""
    return [int(number) for number in re.findall(r'src="/api/v1/images/(\d+)/thumbnail"', text)]


def facts(text: str) -> dict[str, str]:
    [figures] = re.findall(r'<dl class="facts">(.*?)</dl>', text, re.DOTALL)
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", figures))


def test_what_changed_and_why(served: Served, me: httpx.Client, job: Gathered) -> None:
    path = f"/jobs/{job.job_id}/validation"
    assert "Nothing to compare yet" in me.get(f"{path}/changes").text
    first = job.validate(max_width=400)
    assert "Nothing to compare yet" in me.get(f"{path}/changes").text
    assert "validation/changes" not in me.get(path).text
    second = job.validate(min_width=300)

    link = f"{path}/changes?since={first}&amp;validation_job_id={second}"
    assert link in me.get(path).text
    before = served.run(lambda session: session.scalar(select(func.count()).select_from(ActivityLog)))
    text = me.get(link.replace("&amp;", "&")).text
    small, _, large = job.images
    assert shown(text) == [small, large]
    assert facts(text) == {
        "Became valid": "1", "Became invalid": "1", "Invalid for other reasons": "0", "Judged the same": "1"
    }  # fmt: skip
    assert re.search(r"Became valid: 1</h2>.*?>max width<.*Became invalid: 1</h2>.*?>min width<", text, re.DOTALL)
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th><td>([^<]+)</td><td>([^<]+)</td></tr>', text)
    assert rows == [("min width", "–", "300"), ("max width", "400", "–")]
    assert text == me.get(f"{path}/changes").text, "the latest two, where none are named"
    assert shown(me.get(link.replace("&amp;", "&") + "&change=became_valid").text) == [large]
    assert "No image changed in this way." in me.get(f"{path}/changes?change=other_reasons").text

    turned = me.get(f"{path}/changes?since={second}&validation_job_id={first}&change=became_valid").text
    assert shown(turned) == [small]
    assert "The two say the same about every image." in me.get(f"{path}/changes?since={second}").text
    assert served.run(lambda session: session.scalar(select(func.count()).select_from(ActivityLog))) == before


def test_many_images_come_in_pages(served: Served) -> None:
    job = gathered(served, served.person(), [picture("china", 200 + n) for n in range(61)])
    job.validate()
    job.validate(min_width=10_000)
    with served.browser(job.user_id) as client:
        client.headers["Accept"] = "text/html"
        path = f"/jobs/{job.job_id}/validation/changes"
        text = client.get(f"{path}?change=became_invalid").text
        [more] = re.findall(r'href="([^"]+)">More images', text)
        assert "change=became_invalid" in more
        assert shown(text) + shown(client.get(path + more.replace("&amp;", "&")).text) == job.images


def test_only_validations_of_the_job_are_compared_and_only_for_those_who_may(
    served: Served, me: httpx.Client, job: Gathered
) -> None:
    number = job.validate()
    other = gathered(served, job.user_id, [picture()]).validate()
    strange = gathered(served, served.person(), [picture()]).validate()
    path = f"/jobs/{job.job_id}/validation/changes"
    assert f"The job {job.job_id} has no validation {other}." in me.get(path, params={"since": other}).text
    for wrong in (other, strange, 2**31 - 1):
        for name in ("since", "validation_job_id"):
            assert me.get(path, params={name: wrong}).status_code == 404
    for name, value in (("since", "x"), ("validation_job_id", "0"), ("change", "better"), ("cursor", "!")):
        assert me.get(path, params={"since": number, name: value}).status_code == 422, name
    with served.browser(served.person()) as stranger:
        assert stranger.get(path).status_code == 404
