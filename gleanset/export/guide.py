"""What the papers have to know of a layout: what lies where, how clients load it, and how Croissant describes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from gleanset.export.croissant import (
    Description,
    Json,
    column,
    file_object,
    file_set,
    from_table,
    record_set,
    unpacked,
)
from gleanset.export.files import File
from gleanset.export.tables import LABEL_NAME

Describe = Callable[[Mapping[str, File]], Description]
"""Takes the tables and other files, without the images, that are written already, by their paths."""
Source = Callable[[str, str], Json]
"""Where the values of a column are, by the table's path and the column's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """`files`: what lies where, by path or pattern. `loading`: by the name of a client, the Python that loads it.

    `data_files`: what the Hugging Face hub takes for a split, by the split's name; nothing when it finds them itself.
    `features`: the types of its columns, as a card of the hub tells them; nothing where they can be seen in the files.
    `has_images`: whether pictures are in it at all, and not only what is known of them.
    """

    files: Mapping[str, str]
    loading: Mapping[str, str]
    describe: Describe
    data_files: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    features: Sequence[Json] = ()
    has_images: bool = True


IMAGE_TYPES = (
    "image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/avif", "image/bmp",
)  # fmt: skip
"""Whatever an export of originals may hold; mlcroissant reads all of them when it meets the first in the list."""

COLUMNS = (
    ("file_name", "sc:Text", "Path of the image."),
    ("label", "sc:Text", "What it shows: the keyword, list or folder by which it was found."),
    ("width", "sc:Integer", "Pixels, before EXIF orientation."),
    ("height", "sc:Integer", "Pixels, before EXIF orientation."),
    ("file_size", "sc:Integer", "Bytes."),
    ("format", "sc:Text", "jpeg, png, webp, gif, tiff, avif or bmp."),
    ("sha256", "sc:Text", "SHA-256 of the file, in hex."),
    ("pdq", "sc:Text", "PDQ perceptual hash of 256 bits, in hex."),
    ("source", "sc:Text", "Which source offered it."),
    ("source_page", "sc:URL", "The page it is shown on."),
    ("original_url", "sc:URL", "Where it was fetched."),
    ("title", "sc:Text", "As its source states it."),
    ("creator", "sc:Text", "Who made it, as its source states it."),
    ("creator_url", "sc:URL", "The creator's page."),
    ("licence", "sc:Text", "Code of the licence; none when its source states none."),
    ("licence_version", "sc:Text", "Version of the licence."),
    ("licence_url", "sc:URL", "Text of the licence."),
    ("attribution", "sc:Text", "Credit line."),
    ("fetched_at", "sc:DateTime", "When it was fetched."),
    ("decision", "sc:Text", "keep, when a person wanted it whatever the rules say."),
    ("split", "sc:Text", "train, validation, test or the like; none when there are no splits."),
    ("group", "sc:Text", "Images of one group belong together; no group is in two splits."),
)
"""Name, type and meaning of the columns of metadata.jsonl, metadata.csv and whatever holds the same."""
_NUMBERS = {name for name, data_type, _ in COLUMNS if data_type == "sc:Integer"}

_PICTURES = "<label>/<sha256>.<ext>"
_PANDAS = """import pandas
rows = pandas.read_json("FOLDER/metadata.jsonl", lines=True)"""
_PANDAS_CSV = """import pandas
rows = pandas.read_csv("FOLDER/metadata.csv")"""
_TORCHVISION = """from torchvision.datasets import ImageFolder
dataset = ImageFolder("FOLDER/{}")"""
_CROISSANT = """import mlcroissant
records = mlcroissant.Dataset("FOLDER/croissant.json").records("{}")"""
_HUB = """from datasets import load_dataset
dataset = load_dataset("FOLDER", split="{}")"""
_PATH, _PATH_IN_SPLIT = "(.+)", "(?:.*/)?([^/]+/[^/]+)$"
_JSONL = "application/jsonlines"


def _first(splits: Sequence[str]) -> str:
    """What an example loads: `train`, or the first of folds and the like."""
    return "train" if "train" in splits or not splits else splits[0]


def table_fields(path: str, names: Collection[str], source: Source = from_table) -> list[Json]:
    """Fields for these columns of a table of metadata."""
    return [
        column(name, data_type, meaning, source(path, name)) for name, data_type, meaning in COLUMNS if name in names
    ]


def pictures_with_rows(
    images: Json,
    table: str,
    name: str,
    names: Collection[str],
    path: str = _PATH,
    source: Source = from_table,
) -> list[Json]:
    """Records of the pictures of a set of files, each with its row of a table, joined by its path.

    `name` is that of the record set; that of the table's own is `<name>-rows`. `path`: which part of a file's path
    stands in the table, as a regular expression; mlcroissant applies it twice, so of that part it has to be all.
    """
    file_set_of = {"fileSet": {"@id": images["@id"]}}
    rows = f"{name}-rows"
    full = file_set_of | {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": path}}
    content = file_set_of | {"extract": {"fileProperty": "content"}}
    fields = [
        column("image", "sc:ImageObject", "The picture.", content),
        column("file_name", "sc:Text", "Path of the image.", full, references={"field": {"@id": f"{rows}/file_name"}}),
        *(
            column(each, data_type, meaning, {"field": {"@id": f"{rows}/{each}"}})
            for each, data_type, meaning in COLUMNS
            if each != "file_name" and each in names
        ),
    ]
    return [
        record_set(name, "Pictures with what is known of each.", fields),
        record_set(rows, "What is known of each picture.", table_fields(table, names, source)),
    ]


def guide_to_plain(names: Collection[str], divided: Mapping[str, str]) -> Guide:
    """Images in folders by label, and tables of what is known of them. `divided`: the folders of the splits, by name.

    Hugging Face goes by the tables, whichever images it is given, so each split needs one that lists no others.
    """
    first = _first(list(divided))
    folder = divided.get(first, "images")
    of_splits = {"images/<split>/metadata.jsonl": "the rows of each split, for Hugging Face"}
    # Of the tables one, or the client asks which of them.
    whole = {"train": ["metadata.jsonl", "images/**"]}
    return Guide(
        files={f"images/{'<split>/' if divided else ''}{_PICTURES}": "the images"}
        | _tables(names)
        | (of_splits if divided else {}),
        loading={
            "Hugging Face datasets": _HUB.format(first),
            "pandas": _PANDAS,
            "torchvision": _TORCHVISION.format(folder),
            "mlcroissant": _CROISSANT.format("images"),
        },
        describe=partial(_described, list(divided.values()) or ["images"], names),
        data_files={split: [f"{folder}/**"] for split, folder in divided.items()} or whole,
    )


def guide_to_yolo(folders: Sequence[str], names: Collection[str]) -> Guide:
    """Images in folders by split and label, with tables beside them."""
    classes = {"classes.txt": "the labels' folders, sorted: a class's number is its line, counted from 0"}
    return Guide(
        files={f"train|val|test/{_PICTURES}": "the images"} | classes | _tables(names),
        loading={
            "Ultralytics": """from ultralytics import YOLO
YOLO("yolo11n-cls.pt").train(data="FOLDER")""",
            "torchvision": _TORCHVISION.format(_first(folders)),
            "mlcroissant": _CROISSANT.format("images"),
        },
        describe=partial(_described, folders, names),
    )


def guide_to_imagefolder(folders: Sequence[str], names: Collection[str]) -> Guide:
    """Images in folders by split and label, with a table in each split's folder."""
    return Guide(
        files={f"<split>/{_PICTURES}": "the images", "<split>/metadata.jsonl": _told(names)},
        loading={
            "Hugging Face datasets": _HUB.format(_first(folders)),
            "torchvision": _TORCHVISION.format(_first(folders)),
            "mlcroissant": _CROISSANT.format(_first(folders)),
        },
        describe=partial(_described_by_split, names),
        data_files={split: [f"{split}/**"] for split in folders},
    )


def guide_to_webdataset(splits: Sequence[str], suffixes: Sequence[str], names: Collection[str]) -> Guide:
    """Shards of each split, with a sample an image, whose picture has one of the suffixes."""
    return Guide(
        files={
            "<split>-<number>.tar": f"shards: each image as `{_PICTURES}`, its metadata as `.json`,"
            " and the number of its label as `.cls`",
            "classes.json": "the labels: a label's number is its place in the list, counted from 0",
            "metadata.jsonl": _told(names),
        },
        loading={
            "webdataset": f"""import glob, webdataset
shards = sorted(glob.glob("FOLDER/{_first(splits)}-*.tar"))
samples = webdataset.WebDataset(shards, shardshuffle=False).decode({_pictures_of(suffixes)})
dataset = samples.to_tuple("{";".join(suffixes)}", "cls", "json")""",
            "Hugging Face datasets": _HUB.format(_first(splits)),
            "mlcroissant": _CROISSANT.format("images"),
        },
        describe=partial(_described_in_tars, suffixes, names),
        data_files={split: [f"{split}-*.tar"] for split in splits},
        features=_features_of_samples(suffixes, names),
    )


def _pictures_of(suffixes: Sequence[str]) -> str:
    """What webdataset is to decode; its own list of pictures leaves out those of AVIF."""
    return '"pil", webdataset.imagehandler("pil", ["avif"])' if "avif" in suffixes else '"pil"'


def _features_of_samples(suffixes: Sequence[str], names: Collection[str]) -> list[Json]:
    """Hugging Face takes the first samples for all, and gives up when their pictures are of several formats. Told what
    there is, it gives each format a column, of which a row has one."""
    pictures: list[Json] = [{"name": suffix, "dtype": "image"} for suffix in suffixes]
    row = [{"name": name, "dtype": "int64" if name in _NUMBERS else "string"} for name in names]
    of_sample = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*pictures, {"name": "json", "struct": row}, {"name": "cls", "dtype": "int64"}, *of_sample]


def guide_to_parquet(splits: Sequence[str], first: str, names: Collection[str]) -> Guide:
    """Files of each split, with a row an image."""
    return Guide(
        files={
            "data/<split>-<number>-of-<count>.parquet": f"{_told(names)}, and in the column `image` the image itself;"
            " `label` is a number, and `label_name` its name"
        },
        loading={
            "Hugging Face datasets": _HUB.format(_first(splits)),
            "pandas": f"""import pandas
rows = pandas.read_parquet("FOLDER/data/{first}")""",
            "mlcroissant": _CROISSANT.format("images"),
        },
        describe=partial(_described_in_shards, names),
        data_files={split: [f"data/{split}-*.parquet"] for split in splits},
    )


def guide_to_coco(splits: Sequence[str], names: Collection[str]) -> Guide:
    """Images by split, and a COCO file for each."""
    split = _first(splits)
    return Guide(
        files={
            f"images/<split>/{_PICTURES}": "the images",
            "annotations/instances_<split>.json": "images, licences, categories and annotations; labels are of whole"
            " pictures, so the box of each annotation is that of its picture, and nobody has drawn it",
        },
        loading={
            "pycocotools": f"""from pycocotools.coco import COCO
dataset = COCO("FOLDER/annotations/instances_{split}.json")""",
            "torchvision": f"""from torchvision.datasets import CocoDetection
dataset = CocoDetection("FOLDER/images/{split}", "FOLDER/annotations/instances_{split}.json")""",
            "mlcroissant": _CROISSANT.format(split),
        },
        describe=partial(_described_in_json, splits, names),
    )


def guide_to_listing(table: str, names: Collection[str], *, divided: bool) -> Guide:
    """A table, and no images. One of all splits is no training set, so it is not called that."""
    whole = "everything" if divided else "train"
    is_csv = table.endswith(".csv")

    def describe(written: Mapping[str, File]) -> Description:
        of_table = file_object(table, written[table], "text/csv" if is_csv else _JSONL, "A row an image.")
        fields = [each for each in table_fields(table, names) if each["@id"] != "file_name"]
        return Description([of_table], [record_set("rows", "What is known of each picture.", fields)])

    return Guide(
        files={table: f"{_told(names)}, and where it can be had"},
        loading={
            "Hugging Face datasets": _HUB.format(whole),
            "pandas": _PANDAS_CSV if is_csv else _PANDAS,
            "mlcroissant": _CROISSANT.format("rows"),
        },
        describe=describe,
        data_files={whole: [table]},
        has_images=False,
    )


def guide_to_files() -> Guide:
    """Of a layout that says nothing of itself: its files are described, its records are not."""
    return Guide(files={}, loading={}, describe=partial(_files_alone, "application/octet-stream"))


def _tables(names: Collection[str]) -> dict[str, str]:
    return {"metadata.jsonl, metadata.csv": _told(names)}


def _told(names: Collection[str]) -> str:
    """What a table says."""
    more = "size, hash, source, creator" if "creator" in names else "split, hash, address"
    return f"a row an image: label, {more}, licence, attribution"


def _images(name: str, folders: Sequence[str]) -> Json:
    return file_set(name, [f"{folder}/*/*" for folder in folders], IMAGE_TYPES, "The pictures, in a folder a label.")


def _described(folders: Sequence[str], names: Collection[str], written: Mapping[str, File]) -> Description:
    table, images = "metadata.jsonl", _images("image-files", folders)
    of_table = file_object(table, written[table], _JSONL, "A row an image.")
    return Description([of_table, images], pictures_with_rows(images, table, "images", names))


def _described_by_split(names: Collection[str], written: Mapping[str, File]) -> Description:
    """A record set for each split, by the split's name."""
    tables = [name for name in written if name.endswith("/metadata.jsonl")]
    distribution: list[Json] = []
    sets: list[Json] = []
    for table in tables:
        split = table.partition("/")[0]
        images = _images(f"{split}-files", [split])
        distribution += [file_object(table, written[table], _JSONL, "A row an image."), images]
        sets += pictures_with_rows(images, table, split, names, _PATH_IN_SPLIT)
    return Description(distribution, sets)


def _described_in_tars(suffixes: Sequence[str], names: Collection[str], written: Mapping[str, File]) -> Description:
    """Records of the pictures in shards, which mlcroissant unpacks; of what else is in them it reads nothing."""
    table, tars = "metadata.jsonl", [name for name in written if name.endswith(".tar")]
    images = file_set("image-files", [f"*/*.{suffix}" for suffix in suffixes], IMAGE_TYPES, "The pictures in shards.")
    images["containedIn"] = [{"@id": name} for name in tars]
    distribution = [unpacked(file_object(name, written[name], "application/x-tar", "A shard.")) for name in tars]
    of_table = file_object(table, written[table], _JSONL, "A row an image.")
    return Description([*distribution, of_table, images], pictures_with_rows(images, table, "images", names))


def _described_in_shards(names: Collection[str], _: Mapping[str, File]) -> Description:
    """Records of the rows of Parquet files, whose column `image` holds the pictures."""
    shards = file_set("shards", ["data/*.parquet"], ["application/x-parquet"], "Rows with pictures, by split.")
    of_shards = {"fileSet": {"@id": shards["@id"]}}
    content = of_shards | {"extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
    fields = [
        column(name, data_type, meaning, of_shards | {"extract": {"column": LABEL_NAME if name == "label" else name}})
        for name, data_type, meaning in COLUMNS
        if name in names
    ]
    image = column("image", "sc:ImageObject", "The picture.", content)
    return Description([shards], [record_set("images", "Pictures with what is known of each.", [image, *fields])])


def _described_in_json(splits: Sequence[str], names: Collection[str], written: Mapping[str, File]) -> Description:
    """The same for COCO, whose rows are in the list `images` of each split's file."""
    distribution: list[Json] = []
    sets: list[Json] = []
    for split in splits:
        path = f"annotations/instances_{split}.json"
        images = _images(f"{split}-files", [f"images/{split}"])
        distribution += [file_object(path, written[path], "application/json", "COCO: an image an item."), images]
        sets += pictures_with_rows(images, path, split, names, _PATH_IN_SPLIT, from_list)
    return Description(distribution, sets)


def from_list(path: str, name: str) -> Json:
    """The source that is a field of the items of the list `images` in a JSON file."""
    return {"fileObject": {"@id": path}, "extract": {"jsonPath": f"images[*].{name}"}}


def _files_alone(media_type: str, written: Mapping[str, File]) -> Description:
    return Description(
        [file_object(name, file, media_type, "A file of the dataset.") for name, file in written.items()]
    )
