"""Structs of Thrift's compact protocol, in which Parquet says what lies where in a file."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = "int | bytes | Struct | list[Value] | None"
Struct: TypeAlias = "dict[int, Value]"
"""Values by the numbers of their fields."""

_DEEPEST = 16
_FIELDS = 1 << 15
_TRUE, _FALSE, _BYTE, _NUMBERS, _DOUBLE, _TEXT, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


class ThriftBroken(ValueError):
    """The bytes are no such struct."""


def struct_in(data: bytes, most: int) -> tuple[Struct, int]:
    """The struct with which the bytes begin, and how many it takes. Truth and fractions, for which nobody here asks,
    are None, and no field comes twice: others might take the other one. Raises ThriftBroken, also for more than `most`
    values: an empty struct is a byte here, and 72 in memory."""
    compact = _Compact(data, most)
    try:
        return compact.struct(0), compact.at
    except IndexError:
        raise ThriftBroken("it ends too early") from None


class _Compact:
    def __init__(self, data: bytes, most: int) -> None:
        self._data, self.at, self._left = data, 0, most

    def struct(self, depth: int) -> Struct:
        found: Struct = {}
        field = 0
        while (byte := self._byte()) != 0:
            field = field + (byte >> 4) if byte >> 4 else self._signed()
            if field in found:
                raise ThriftBroken("it has a field twice")
            if not -_FIELDS <= field < _FIELDS:  # others cut it to 16 bits
                raise ThriftBroken("it has a field of no number")
            found[field] = self._value(byte & 15, depth + 1, stated=True)
        return found

    def _value(self, kind: int, depth: int, *, stated: bool = False) -> Value:
        """Truth is `stated` where the kind itself tells it: in a struct, not in a list."""
        self._left -= 1
        if self._left < 0:
            raise ThriftBroken("it has too many values")
        if depth > _DEEPEST:
            raise ThriftBroken("it is too deep")
        if stated and kind in (_TRUE, _FALSE):
            return None
        if kind in _NUMBERS:
            return self._signed()
        if kind == _TEXT:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in _LISTS:
            byte = self._byte()
            size = self._varint() if byte >> 4 == 15 else byte >> 4
            return [self._value(byte & 15, depth + 1) for _ in range(size)]
        if kind not in (_TRUE, _FALSE, _BYTE, _DOUBLE):
            raise ThriftBroken("it has a value of no kind")
        self._bytes(8 if kind == _DOUBLE else 1)
        return None

    def _bytes(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self._data):
            raise IndexError
        return self._data[self.at - length : self.at]

    def _signed(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 64, 7):  # without an end it would take time by the square of its length
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128 and number < 1 << 64:
                return number
        raise ThriftBroken("it has a number that is too long")

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
