"""What a form sent, and what is wrong with it, beside the field that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


async def fields_of(request: Request) -> dict[str, str]:
    """The text fields of the form. Raises ValueError for text that no browser sends."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def chosen_of(request: Request, name: str) -> list[str]:
    """The values of the boxes of this name that are ticked."""
    return [value for value in (await request.form()).getlist(name) if isinstance(value, str)]


def checked(model: type[Model], given: Mapping[str, Any]) -> tuple[Model | None, dict[str, str]]:
    """What the form means, or for each field a sentence on what is wrong with it."""
    try:
        return model.model_validate(given), {}
    except ValidationError as error:
        return None, {".".join(map(str, each["loc"])) or "form": _sentence(each) for each in error.errors()}


def _sentence(error: Any) -> str:
    limits: dict[str, Any] = error.get("ctx") or {}
    match error["type"]:
        case "missing" | "string_too_short":
            return "Please fill this in."
        case "string_too_long":
            return f"At most {limits['max_length']} characters, please."
        case "too_long" if isinstance(error["input"], str):  # where a check of ours comes before the length
            return f"At most {limits['max_length']} characters, please."
        case "int_parsing" | "int_from_float" | "float_parsing":
            return "A number, please."
        case "greater_than_equal":
            return f"At least {limits['ge']}, please."
        case "less_than_equal":
            return f"At most {limits['le']:,}, please."
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
