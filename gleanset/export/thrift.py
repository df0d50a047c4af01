"""Structs of Thrift's compact protocol, in which Parquet says what lies where in a file."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = "int | bytes | Struct | list[Value] | None"
Struct: TypeAlias = "dict[int, Value]"
"""Values by the numbers of their fields."""

_DEEPEST = 16
_TRUE, _FALSE, _BYTE, _NUMBERS, _DOUBLE, _TEXT, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


class ThriftBroken(ValueError):
    """The bytes are no such struct."""


def struct_in(data: bytes) -> tuple[Struct, int]:
    """The struct with which the bytes begin, and how many it takes. Truth and fractions, for which nobody here asks,
    are None. Raises ThriftBroken."""
    compact = _Compact(data)
    try:
        return compact.struct(0), compact.at
    except IndexError:
        raise ThriftBroken("it ends too early") from None


class _Compact:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int) -> Struct:
        found: Struct = {}
        field = 0
        while (byte := self._byte()) != 0:
            field = field + (byte >> 4) if byte >> 4 else self._signed()
            found[field] = None if byte & 15 in (_TRUE, _FALSE) else self._value(byte & 15, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Value:
        if depth > _DEEPEST:
            raise ThriftBroken("it is too deep")
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
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
