"""croissant.json: the dataset in Croissant 1.1 (http://mlcommons.org/croissant/1.1), which machines read and load.

It describes the files as they lie beside it, so it is for an unpacked archive as well as for a folder. What differs
from layout to layout, its files and its records, comes as a `Description`, made of the pieces below.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gleanset.export.base import About
from gleanset.export.files import File
from gleanset.export.markdown import plain
from gleanset.export.revision import release
from gleanset.export.tally import Tally
from gleanset.sources.licence import licence_link, licence_name

Json = dict[str, Any]

_MOST_LISTED = 200
"""Labels, splits, licences and keywords that are named; the tables hold all of them."""

CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
} | {
    term: f"cr:{term}"
    for term in (
        *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
        *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
        *("jsonPath", "key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated"),
        *("replace", "samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
    )
}


@dataclass(frozen=True, slots=True)
class Description:
    """The part of the document that a layout knows: `distribution` and `recordSet`."""

    distribution: Sequence[Json]
    record_sets: Sequence[Json] = field(default_factory=list[Json])


def file_object(path: str, file: File, media_type: str, description: str) -> Json:
    """A single file, by its path beside the document."""
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "description": description,
        "contentUrl": path,
        "contentSize": f"{file.size} B",
        "encodingFormat": media_type,
        "sha256": file.sha256,
    }


def unpacked(archive: Json) -> Json:
    """A file object that is an archive to be unpacked, with another address for other bytes.

    mlcroissant (1.1.1) keeps what it unpacks by the address alone and looks there first, so the shards of one dataset
    would be taken for those of another. Steps that lead nowhere, `./` and `.//`, spell 32 bits of the SHA-256.
    """
    bits = f"{int(archive['sha256'][:8], 16):032b}"
    steps = "".join(("./", ".//")[int(bit)] for bit in bits)
    return archive | {"contentUrl": f"{steps}{archive['contentUrl']}"}


def file_set(name: str, includes: Sequence[str], media_types: Sequence[str], description: str) -> Json:
    """Files of a kind, by patterns of their paths beside the document."""
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": list(media_types),
        "includes": list(includes),
    }


def record_set(name: str, description: str, fields: Iterable[Json], **more: Any) -> Json:
    """Records with the fields, whose names become `<record set>/<field>`."""
    named = [each | {"@id": f"{name}/{each['@id']}", "name": f"{name}/{each['@id']}"} for each in fields]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description} | more | {"field": named}


def column(name: str, data_type: str, description: str, source: Json | None = None, **more: Any) -> Json:
    """A field. `source`: where its values are; None for those that stand in the document."""
    given = {"@type": "cr:Field", "@id": name, "description": description, "dataType": data_type} | more
    return given if source is None else given | {"source": source}


def from_table(path: str, name: str) -> Json:
    """The source that is a column of a table."""
    return {"fileObject": {"@id": path}, "extract": {"column": name}}


def croissant(about: About, tally: Tally, description: Description) -> bytes:
    """The document, for people too: indented, UTF-8."""
    return (json.dumps(_dataset(about, tally, description), ensure_ascii=False, indent=2) + "\n").encode()


def _dataset(about: About, tally: Tally, description: Description) -> Json:
    made = about.created.date().isoformat()
    name = plain(about.name)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"{tally.images:,} images with label, source, creator and licence, gathered with Gleanset.",
        "url": "README.md",
        "version": f"{about.created:%Y}.{about.created.month}.{about.created.day}+{tally.fingerprint[:16]}",
        "license": licences(tally),
        "creator": _creator(about),
        "citeAs": _citation(about, name),
        "keywords": [plain(label) for label, _ in tally.labels.most_common(_MOST_LISTED)],
        "dateCreated": made,
        "datePublished": made,
        "isLiveDataset": False,
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": f"Gleanset {release()}"},
        **_responsible(about, tally),
        "distribution": list(description.distribution),
        "recordSet": [*description.record_sets, *_enumerations(tally)],
    }


def licences(tally: Tally) -> list[Any]:
    """What the pictures' licences are: their texts' addresses, and words where there is none."""
    found: list[Any] = []
    for licence, _ in tally.by_licence()[:_MOST_LISTED]:
        link = licence_link(licence) if licence else None
        name = "No licence stated by the source" if licence is None else plain(licence_name(licence))
        is_web = link is not None and link.startswith(("https://", "http://"))
        each = link if is_web else {"@type": "sc:CreativeWork", "name": name}
        if each not in found:
            found.append(each)
    return found


def _creator(about: About) -> Json:
    """The person who is named, or nobody in particular: never an account's e-mail."""
    if about.creator:
        return {"@type": "sc:Person", "name": plain(about.creator)}
    return {"@type": "sc:Organization", "name": "A user of Gleanset"}


def _citation(about: About, name: str) -> str:
    title = "".join(letter for letter in name if letter not in "{}\\")
    author = "".join(letter for letter in plain(about.creator or "Gleanset") if letter not in "{}\\")
    return f"@misc{{gleanset, title = {{{title}}}, author = {{{author}}}, year = {{{about.created.year}}}}}"


def _responsible(about: About, tally: Tally) -> Json:
    """What is true of how it came about, in the words of the RAI vocabulary."""
    sources = ", ".join(plain(name) for name, _ in tally.sources.most_common(_MOST_LISTED))
    told: Json = {
        "rai:dataCollection": f"Images were gathered by keyword or address from: {sources}. robots.txt and opt-outs of "
        "the sites were kept unless their owner gathered them. What was left out, and why, is in dataset.json.",
        "rai:dataCollectionType": ["Web Scraping", "Web API"],
        "rai:dataCollectionRawData": "The pictures as their sources served them, under their SHA-256.",
        "rai:dataPreprocessingProtocol": [f"Rules that every image keeps: {json.dumps(dict(about.rules))}"],
        "rai:dataAnnotationProtocol": ["Labels are the keyword, list or folder by which a picture was found."],
        "rai:dataLimitations": [
            "Labels are as good as the search, list or folder that they come from.",
            "Licences are as their sources state them.",
        ],
    }
    if tally.first and tally.last:
        told["rai:dataCollectionTimeFrame"] = [tally.first.isoformat(), tally.last.isoformat()]
    if tally.decisions:
        told["rai:dataAnnotationAnalysis"] = [f"{sum(tally.decisions.values()):,} images were kept by a person."]
    return told


def _enumerations(tally: Tally) -> list[Json]:
    """Labels and splits with their counts, as far as they are few."""
    sets: list[Json] = []
    for name, counts, data_type in (("labels", tally.labels, "sc:Enumeration"), ("splits", tally.splits, "cr:Split")):
        if not counts or len(counts) > _MOST_LISTED:
            continue
        fields = (
            column("name", "sc:Text", "As in the tables."),
            column("images", "sc:Integer", "How many there are."),
        )
        data = [{f"{name}/name": each, f"{name}/images": counts[each]} for each in sorted(counts)]
        key = {"@id": f"{name}/name"}
        sets.append(record_set(name, f"The {name}.", fields, key=key, dataType=data_type, data=data))
    return sets
