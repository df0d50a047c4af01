"""The form of a new crawl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import UploadFile

from backend.errors import BadInput, ServiceError
from backend.http.access import Writer
from backend.http.paging import Id
from backend.http.service import CurrentService, Service, Session, release
from backend.http.uploads import kept_list
from backend.models import Project
from backend.schemas.crawl_requests import CrawlRequest
from backend.schemas.previews import PreviewRequest, PreviewResponse
from backend.services import crawl_requests
from backend.services.access import Actor, owned
from backend.services.allowances import Allowance
from backend.web import packing, rules
from backend.web.forms import checked, chosen_of
from backend.web.render import go, page
from gleanset.errors import GleansetError, SourceError
from gleanset.export import DOWNLOADED
from gleanset.presets import PRESETS
from gleanset.sources import SOURCES

router = APIRouter(prefix="/projects/{project_id}/new")

LICENCES = (
    ("", "Every picture, also those that state no licence"),
    ("open", "Creative Commons and the public domain"),
    ("commercial", "What may be used commercially"),
    ("modification", "What may be changed"),
    ("cc0,pdm,publicdomain", "The public domain only"),
)
_EMPTY = {**packing.EMPTY, "max_images": "500", "depth": "1", "max_pages": "100", "export": "zip"}
# Where the request's schema finds something wrong, and the field of the form that it came from.
_FIELDS = {
    "lists": "list_url", "websites": "website", "licences": "licences", "sources": "sources", "export": "export",
    "resize": "kept_size",
}  # fmt: skip
_OWN = {"depth", "max_pages", "url_column", "label_column", "label"}
_PACKING = "export.options."


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChoice:
    name: str
    title: str
    needs: str
    allows: str
    terms: str
    page: str | None
    licence: str | None
    key: bool
    usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlForm:
    """`values` are the text fields as they were sent, so that nothing has to be typed twice.

    `looked`: a first look was asked for; what is wrong is said where its results would be, which the browser shows.
    """

    project_id: int
    project_name: str
    values: Mapping[str, str]
    errors: Mapping[str, str]
    sources: Sequence[SourceChoice]
    chosen: Sequence[str]
    licences: Sequence[tuple[str, str]]
    rules: Sequence[tuple[str, Sequence[rules.RuleField]]]
    presets: Sequence[str]
    rules_open: bool
    exports: Sequence[str]
    choices: Mapping[str, Sequence[tuple[str, str]]]
    earlier: Sequence[tuple[int, str]]
    looked: bool
    preview: PreviewResponse | None


@router.get("")
async def new_crawl(
    request: Request, service: CurrentService, session: Session, actor: Writer, project_id: Id
) -> Response:
    """The form, filled with what most people begin with."""
    project = await owned(session, actor, Project, project_id)
    return page(
        request,
        "crawl_form.html",
        _form(service, project, await packing.earlier(session, project.id), _EMPTY, {}, ["openverse"]),
    )


@router.post("")
async def create_crawl(
    request: Request, service: CurrentService, session: Session, actor: Writer, project_id: Id
) -> Response:
    """Start the crawl and go to its page, or show what is wrong."""
    uploaded, wrong_list = await _uploaded(request, service, actor)  # before the transaction: it may take long
    project = await owned(session, actor, Project, project_id)
    earlier = await packing.earlier(session, project.id)
    given = await rules.values_in(request) | uploaded
    sources = await chosen_of(request, "sources")
    asked, errors = rules.rules_of(given)
    errors |= wrong_list
    if given.get("action") == "preview" and not wrong_list:
        found, errors = await _preview(service, session, project.id, given, sources)
        form = _form(service, project, earlier, given, errors, sources, found)
        return page(request, "crawl_form.html", form, 422 if errors else 200)
    wanted, wrong = checked(CrawlRequest, _request(project.id, given, sources, asked or {}))
    errors |= {_field(name): sentence for name, sentence in wrong.items()}
    if wanted is not None and not errors:
        allowance = Allowance.of(service.settings)
        try:
            job = await crawl_requests.create(
                session, project, wanted, actor.user_id, allowance=allowance, sources=service.settings.sources
            )
        except (BadInput, SourceError) as error:
            errors["form"] = str(error)
        else:
            await crawl_requests.start(session, job, actor.user_id, allowance)
            return go(f"/jobs/{job.id}", "The crawl is on its way.")
    return page(request, "crawl_form.html", _form(service, project, earlier, given, errors, sources), 422)


async def _uploaded(request: Request, service: Service, actor: Actor) -> tuple[dict[str, str], dict[str, str]]:
    """The key of a list that came with the form, from a browser without scripts, or what is wrong with it."""
    file = (await request.form()).get("list_file")
    try:
        if not isinstance(file, UploadFile) or not file.filename:
            return {}, {}
        return {"list_key": (await kept_list(service, actor, file)).key}, {}
    except GleansetError as error:
        return {}, {"list_file": str(error)}
    finally:
        await request.close()  # the files of the form; its fields stay


async def _preview(
    service: Service, session: AsyncSession, project_id: int, given: Mapping[str, str], sources: list[str]
) -> tuple[PreviewResponse | None, dict[str, str]]:
    """The first results of what stands in the form, or what is wrong with that."""
    asked = _request(project_id, given, sources, {})
    wanted, wrong = checked(PreviewRequest, {name: asked[name] for name in ("keywords", "options")})
    if wanted is None:
        return None, {_field(name): sentence for name, sentence in wrong.items()}
    await release(session)
    try:
        return await service.preview(wanted.keywords, wanted.plan(), wanted.limit), {}
    except (ServiceError, GleansetError) as error:
        return None, {"form": str(error)}


def keywords_of(text: str) -> dict[str, list[str]]:
    """Labels with their keywords, of lines such as `gull: herring gull, black-headed gull` or `tern`."""
    labels: dict[str, list[str]] = {}
    for line in text.splitlines():
        label, colon, words = (part.strip() for part in line.partition(":"))
        if line.strip():
            keywords = [word.strip() for word in words.split(",") if word.strip()] if colon else [label]
            labels.setdefault(label, []).extend(keywords)
    return labels


def _request(project_id: int, given: Mapping[str, str], sources: list[str], asked: dict[str, Any]) -> dict[str, Any]:
    """The form as the API would take it."""
    keywords = keywords_of(given.get("keywords", ""))
    options: dict[str, Any] = {"rules": asked, "sources": sources if keywords else []}
    licences = given.get("licences", "").strip() or given.get("licence", "")
    if licences:
        options["licences"] = [licences]
    label = {"label": given.get("label", "").strip() or None}
    columns = {name: given.get(name, "").strip() or None for name in ("url_column", "label_column")}
    places = {"url": given.get("list_url", "").strip(), "key": given.get("list_key", "").strip()}
    if lists := [{name: place} | columns | label for name, place in places.items() if place]:
        options["lists"] = lists
    if site := given.get("website", "").strip():
        far = {"depth": given.get("depth"), "max_pages": given.get("max_pages"), "sitemaps": "sitemaps" in given}
        options["websites"] = [{"url": site} | far | label]
    if pixels := given.get("kept_size", "").strip():
        options |= {"resize": pixels, "keep_original": "keep_original" in given}
    if form := given.get("export"):
        options["export"] = {"format": form, "options": packing.options_of(given)}
    return {
        "project_id": project_id,
        "name": given.get("name", ""),
        "keywords": keywords,
        "max_images": given.get("max_images", ""),
        "options": options,
    }


def _field(place: str) -> str:
    """The field of the form for a place in the request."""
    head, _, rest = place.partition(".")
    if head == "options":
        if rest.startswith(_PACKING):
            return packing.field_of(f"export_options.{rest.removeprefix(_PACKING)}")
        last = place.rpartition(".")[2]
        return last if last in _OWN else _FIELDS.get(rest.split(".")[0], "form")
    return head if head in {"name", "max_images"} else "keywords"


def _form(
    service: Service,
    project: Project,
    earlier: Sequence[tuple[int, str]],
    values: Mapping[str, str],
    errors: Mapping[str, str],
    chosen: Sequence[str],
    preview: PreviewResponse | None = None,
) -> CrawlForm:
    return CrawlForm(
        project_id=project.id,
        project_name=project.name,
        values=values,
        errors=errors,
        sources=_sources(service),
        chosen=chosen,
        licences=LICENCES,
        rules=rules.GROUPS,
        presets=list(PRESETS),
        rules_open=any(name.startswith(rules.PREFIX) for name in (*errors, *(n for n, v in values.items() if v))),
        exports=list(DOWNLOADED),
        choices=packing.CHOICES,
        earlier=earlier,
        looked=values.get("action") == "preview",
        preview=preview,
    )


def _sources(service: Service) -> list[SourceChoice]:
    options = service.settings.sources
    return [
        SourceChoice(
            name=info.name,
            title=info.title,
            needs=info.needs,
            allows=info.allows,
            terms=info.terms,
            page=info.page,
            licence=info.licence,
            key=info.key,
            usable=not info.key or info.has_key(options),
        )
        for info in SOURCES.values()
        if info.searched
    ]
