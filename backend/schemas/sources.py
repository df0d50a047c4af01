from __future__ import annotations

from typing import Self

from backend.schemas.base import Response
from gleanset.sources import SourceInfo, SourceOptions


class SourceResponse(Response):
    """A source of pictures: what it needs, what it allows, and under which terms.

    `key`: whether it needs a key; `key_is_set`: whether the operator has set one. `filters`: whether the service itself
    can keep to licences. `licence`: the one that all of its pictures have. `searched`: whether it takes keywords.
    """

    name: str
    title: str
    needs: str
    key: bool
    key_is_set: bool
    allows: str
    terms: str
    page: str | None
    filters: bool
    licence: str | None
    searched: bool

    @classmethod
    def of(cls, info: SourceInfo, options: SourceOptions) -> Self:
        told = {name: getattr(info, name) for name in cls.model_fields if name != "key_is_set"}
        return cls(key_is_set=info.has_key(options), **told)
