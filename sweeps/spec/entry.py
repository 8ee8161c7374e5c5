"""A mapping of a sweep file: its keys are known, and a docstring under each describes it."""

from typing import Any

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from dn_distributed.config import Documented


def check_keys(model: type[BaseModel], value: Any) -> None:
    """ValueError where a value is no mapping; ValidationError at a key that the model does not have."""
    valid = ", ".join(model.model_fields)
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping with the keys: {valid}")
    for key in value:
        if key not in model.model_fields:
            raise error_at(
                model, key, PydanticCustomError("unknown_key", "unknown key; valid: {valid}", {"valid": valid})
            )


def error_at(model: type[BaseModel], key: str, reason: PydanticCustomError) -> ValidationError:
    """Return the error of a key."""
    return ValidationError.from_exception_data(model.__name__, [InitErrorDetails(type=reason, loc=(key,), input=None)])


class Entry(Documented):
    """A mapping of a sweep file, whose keys are known."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, cls):
            check_keys(cls, value)
        return value
