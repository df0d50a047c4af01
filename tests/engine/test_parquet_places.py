"""Where Parquet's columns and pages lie, as files say that lie about it: they are damaged, and it takes little."""

from __future__ import annotations

import io
import random
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gleanset.errors import ExportDamaged
from gleanset.export.parquet_places import Chunk, ParquetBroken, check_pages, chunks_of, images_of
from gleanset.export.parquet_reading import rows
from gleanset.export.reading import Part
from gleanset.export.thrift import ThriftBroken, struct_in

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TABLE = pa.table(
    {
        "image": pa.array([{"bytes": bytes([n]) * 100, "path": f"tern/{n}.jpg"} for n in range(3)], IMAGE),
        "label": ["tern", "gull", "tern"],
        "width": [1, 2, 3],
    }
)


def written(table: Any = TABLE, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **{"compression": {"image.bytes": "none", "label": "snappy"}, **options})
    return file.getvalue()


def ended(directory: bytes, before: bytes = b"PAR1") -> bytes:
    return before + directory + len(directory).to_bytes(4, "little") + b"PAR1"


def walked(data: bytes) -> list[Chunk]:
    """All that is found without Arrow."""

    def read(at: int, length: int) -> bytes:
        assert at >= 0
        assert length >= 0
        return data[at : at + length]

    chunks = list(chunks_of(read, len(data)))
    for chunk in chunks:
        check_pages(read, chunk)
        if chunk.path == "image.bytes":
            list(images_of(read, chunk))
    return chunks


def parsed(data: bytes) -> list[dict[str, Any]]:
    return list(rows(io.BytesIO(data), Part("some.parquet", len(data), None), with_paths=True))


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def test_what_is_whole() -> None:
    data = written(use_dictionary=["label"])
    assert [chunk.path for chunk in walked(data)] == ["image.bytes", "image.path", "label", "width"]
    assert parsed(data) == [
        {"label": label, "width": n + 1, "image": {"path": f"tern/{n}.jpg"}}
        for n, label in enumerate(["tern", "gull", "tern"])
    ]


def test_texts_as_long_as_arrow_tells_of_them() -> None:
    """The least and the largest of a page stand before it."""
    table = pa.table({"label": [letter * 4000 for letter in "ab"]})
    assert len(parsed(written(table, use_dictionary=False))) == 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x16" + b"\xff" * 20_000_000, "too long"),
        (b"\x16" + b"\xff" * 9 + b"\x80\x01\0", "too long"),
        (b"\x16" + b"\xff" * 9 + b"\x7f\0", "too long"),
        (b"\x05" + varint(131_072) + b"\x02\0", "no number"),
        (b"\x19\xfc" + varint(50_000) + bytes(50_001), "too many values"),
        (b"\x19\xfc" + varint(50) + bytes(20), "too early"),
        (b"\x15\x02\x05\x02\x04\0", "a field twice"),
        (b"\x1c" * 20, "too deep"),
        (b"\x19\xf8\xff\xff\xff\xff\x0f", "too early"),
        (b"\x1d\0", "no kind"),
    ],
    ids=range(10),
)
def test_structs_that_are_none(data: bytes, says: str) -> None:
    began = time.process_time()
    with pytest.raises(ThriftBroken, match=says):
        struct_in(data, 40_000)
    assert time.process_time() - began < 1


def test_a_directory_of_nothing_but_empty_structs() -> None:
    """A byte of the file each, and 72 in memory."""
    with pytest.raises(ParquetBroken, match="too many values"):
        walked(ended(b"\x19\xfc" + varint(2_000_000) + bytes(2_000_001)))


@pytest.mark.parametrize(
    ("find", "by"),
    [
        (b"\x19\x18\x05label", b"\x19\x65\x05label"),  # a path of numbers
        (b"\x19\x18\x05label", b"\x19\x6c\0\0\0\0\0\0"),  # and of structs
        (b"\x19\x18\x05label", b"\x18\x07\x05label"),  # and a text
    ],
    ids=range(3),
)
def test_values_of_another_shape(find: bytes, by: bytes) -> None:
    data = written()
    assert find in data
    with pytest.raises(ParquetBroken):
        walked(data.replace(find, by))
    with pytest.raises(ExportDamaged):
        parsed(data.replace(find, by))


def test_no_damage_raises_anything_else() -> None:
    whole = written(use_dictionary=["label"])
    directory = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    chance = random.Random(7)
    told = 0
    began = time.process_time()
    for _ in range(4000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(directory if chance.random() < 0.8 else 0, len(data) - 4)
            data[at] = chance.choice([0, 0xFF, 0x15, 0x19, 0x1C, chance.randrange(256)])
        try:
            walked(bytes(data))
        except ParquetBroken:
            told += 1
    assert told > 1000
    assert time.process_time() - began < 30


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}], ids=range(3))
@pytest.mark.parametrize("compression", ["gzip", "zstd", "snappy"])
def test_a_page_that_says_it_is_large(compression: str, options: dict[str, Any]) -> None:
    """Arrow would make room for 2 GB."""
    data = written(pa.table({"label": ["x" * 3000] * 5}), compression=compression, store_schema=False, **options)
    assert data[4:8:2] == b"\x15\x15"
    rest = data[7:].lstrip(bytes(range(128, 256)))[1:]  # behind the size of the page when it is unpacked
    with pytest.raises(ExportDamaged, match="larger than its column"):
        parsed(data[:7] + varint(4_000_000_000) + rest)


def again(text: Any, times: int = 500) -> Any:
    """2 MB, which stand in the file once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text * 2_000_000]))


@pytest.mark.parametrize("text", ["x", b"x"])
def test_a_value_that_comes_again_and_again(text: Any) -> None:
    found = parsed(written(pa.table({"label": again(text)}), compression="zstd", store_schema=False))
    assert found[0]["label"] is found[-1]["label"]


def test_a_path_that_comes_again_and_again() -> None:
    image = pa.StructArray.from_arrays([pa.array([b""] * 500), again("x")], ["bytes", "path"])
    found = parsed(written(pa.table({"image": image, "width": range(500)}), compression="zstd", store_schema=False))
    assert found[0]["image"]["path"] is found[-1]["image"]["path"]


@pytest.mark.parametrize(
    "table",
    [
        pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]),
        pa.table({"a": pa.array([[2**62]], pa.list_(pa.timestamp("us")))}),
        pa.table({"a": pa.array([b"x" * 40], pa.binary(40))}),
        pa.table({"a": pa.ListArray.from_arrays(pa.array(range(501), pa.int32()), again("x"))}),
    ],
    ids=["twice", "too late", "fixed", "lists"],
)
def test_columns_of_no_export(table: Any) -> None:
    with pytest.raises(ExportDamaged):
        parsed(written(table, compression="none"))


def test_encodings_of_no_export() -> None:
    """Here a value may be all of the one before, and some."""
    table = pa.table({"label": ["x" * 100, "x" * 101]})
    data = written(table, compression="none", use_dictionary=False, column_encoding={"label": "DELTA_BYTE_ARRAY"})
    with pytest.raises(ExportDamaged, match="encoded as in no export"):
        parsed(data)
