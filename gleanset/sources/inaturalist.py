"""iNaturalist: photographs of living things, named by a community, each photograph with a licence of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import keyword_of, options_of
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import UNKNOWN, compose_attribution, parse_licence, wants_any
from gleanset.sources.text import as_dict, as_list, clean, integer, without_nothing
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://api.inaturalist.org/v1/"
_SERVICE = "iNaturalist"
_PEOPLE = "https://www.inaturalist.org/people/"
_PAGE_SIZE = 200  # the most the service gives
_OPTIONS = ("taxon_id", "quality_grade")
_LICENCES = {
    "cc0": "cc0",
    **{code: f"cc-{code}" for code in ("by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa")},
}

Fields = Mapping[str, Any]


class INaturalist:
    """Observations of a taxon, newest first. A cursor is the id of the last observation: the next are below it.

    A photograph without a licence has all rights reserved, and is offered only to a query that takes `unknown`.
    """

    name = "inaturalist"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, _SERVICE, wait)
        self._url = f"{url.rstrip('/')}/observations"

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        below = None if cursor is None else _from_cursor(cursor)
        going_on = wants_any(query, {*_LICENCES, UNKNOWN})
        if not going_on:
            yield Page((), None)
        while going_on:
            place = {} if below is None else {"id_below": str(below)}
            answer = await self._api.get(self._url, params | place)
            observations = [as_dict(item) for item in as_list(answer.get("results"))]
            below = _lowest(answer, observations, below)
            going_on = below is not None
            yield Page(_candidates(observations, query), None if below is None else str(below))


def _params(query: Query) -> dict[str, str]:
    params = options_of(query, _SERVICE, _OPTIONS)
    if not params.get("taxon_id"):
        params["taxon_name"] = keyword_of(query, _SERVICE)
    if not _takes_unlicensed(query):
        wanted = _LICENCES if query.licences is None else query.licences & _LICENCES.keys()
        params["photo_license"] = ",".join(sorted(_LICENCES[code] for code in wanted))
    return params | {"photos": "true", "per_page": str(_PAGE_SIZE), "order_by": "id", "order": "desc"}


def _takes_unlicensed(query: Query) -> bool:
    return query.licences is not None and UNKNOWN in query.licences


def _from_cursor(cursor: str) -> int:
    number = integer(cursor)
    if number is None or number < 1:
        raise SourceError(f"{cursor!r} is not a cursor of {_SERVICE}: it is the id of an observation.")
    return number


def _lowest(answer: Fields, observations: list[dict[str, Any]], below: int | None) -> int | None:
    """The id below which the next page begins; None on the last one. `total_results` counts what is below `below`."""
    total = integer(answer.get("total_results"))
    is_last = len(observations) < _PAGE_SIZE if total is None else total <= len(observations)
    ids = [number for item in observations if (number := integer(item.get("id"))) is not None and number > 0]
    if is_last or not ids:
        return None
    if below is not None and min(ids) >= below:
        raise SourceError(f"{_SERVICE} goes on at the same place for ever.", retryable=True)
    return min(ids)


def _candidates(observations: list[dict[str, Any]], query: Query) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    for observation in observations:
        for photo in map(as_dict, as_list(observation.get("photos"))):
            url = clean(photo.get("url"))
            if url and (clean(photo.get("license_code")) or _takes_unlicensed(query)):
                found.setdefault(url, _candidate(_original(url), photo, observation, query))
    return tuple(found.values())


def _original(url: str) -> str:
    """The address of the largest size, 2048 pixels at most, for that of the 75 pixel square."""
    return re.sub(r"/square(\.\w+(?:\?.*)?)$", r"/original\1", url)


def _candidate(url: str, photo: Fields, observation: Fields, query: Query) -> Candidate:
    user, taxon = as_dict(observation.get("user")), as_dict(observation.get("taxon"))
    login = clean(user.get("login"))
    creator = clean(user.get("name")) or login
    title, page_url = _title(taxon), clean(observation.get("uri"))
    licence = parse_licence(clean(photo.get("license_code")))
    return Candidate(
        url=url,
        label=query.label,
        source=INaturalist.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=_PEOPLE + login if login and re.fullmatch(r"[\w-]+", login) else None,
        licence=licence,
        attribution=clean(photo.get("attribution")) or compose_attribution(title, creator, licence, page_url),
        metadata=_metadata(photo, observation, taxon),
    )


def _title(taxon: Fields) -> str | None:
    """`European Robin (Erithacus rubecula)`, or what there is of it."""
    common, name = clean(taxon.get("preferred_common_name")), clean(taxon.get("name"))
    return f"{common} ({name})" if common and name else common or name


def _metadata(photo: Fields, observation: Fields, taxon: Fields) -> dict[str, Any]:
    size = as_dict(photo.get("original_dimensions"))
    return without_nothing(
        {
            "id": integer(photo.get("id")),
            "provider": INaturalist.name,
            "observation_id": integer(observation.get("id")),
            "quality_grade": clean(observation.get("quality_grade")),
            "date_taken": clean(observation.get("observed_on")),
            "taxon_id": integer(taxon.get("id")),
            "taxon": clean(taxon.get("name")),
            "taxon_rank": clean(taxon.get("rank")),
            "common_name": clean(taxon.get("preferred_common_name")),
            "group": clean(taxon.get("iconic_taxon_name")),
            "width": integer(size.get("width")),
            "height": integer(size.get("height")),
        }
    )


INFO = SourceInfo(
    name=INaturalist.name,
    title="iNaturalist",
    needs="nothing",
    allows="60 requests a minute and 10,000 a day, so one every 9 seconds is made, of 200 observations with "
    "one or more pictures each; all it has",
    terms="Free to use within its limits; every picture keeps its own licence, and those with all rights reserved are "
    "left out unless you ask for `unknown`.",
    page="https://www.inaturalist.org/pages/api+recommended+practices",
    open=lambda http, options: INaturalist(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=9.0),
    media={
        host: Pace(at_once=2, interval=1.0)
        for host in ("inaturalist-open-data.s3.amazonaws.com", "static.inaturalist.org")
    },
    filters=True,
)
