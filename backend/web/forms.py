"""What a form sent, and what is wrong with it, beside the field that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Path, Request
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

Key = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The id of a row in a path; more than the column holds cannot be there."""


async def fields_of(request: Request) -> dict[str, str]:
    """The text fields of the form. Raises ValueError for text that no browser sends."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def checked(model: type[Model], given: Mapping[str, Any]) -> tuple[Model | None, dict[str, str]]:
    """What the form means, or for each field a sentence on what is wrong with it."""
    try:
        return model.model_validate(given), {}
    except ValidationError as error:
        return None, {str(each["loc"][0]) if each["loc"] else "form": _sentence(each) for each in error.errors()}


def _sentence(error: Any) -> str:
    limits: dict[str, Any] = error.get("ctx") or {}
    match error["type"]:
        case "missing" | "string_too_short":
            return "Please fill this in."
        case "string_too_long":
            return f"At most {limits['max_length']} characters, please."
        case "int_parsing" | "int_from_float" | "float_parsing":
            return "A number, please."
        case "greater_than_equal":
            return f"At least {limits['ge']}, please."
        case "less_than_equal":
            return f"At most {limits['le']:,}, please."
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
