"""Mappings of a sweep file whose values may be search spaces."""

from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic.fields import FieldInfo

from dn_distributed.config import FrozenModel, Pruning, Training
from sweeps.spec.entry import Entry
from sweeps.spec.spaces import WHOLE, as_whole, parse_space


def _value_or_space(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    space = parse_space(value)
    if space is None:
        check(value)
        return value  # as it is written: what the store remembers of a sweep quotes it
    if info.field_name in WHOLE and space.kind not in ("grid", "choice"):
        raise ValueError(f"a whole number: give a grid or a choice, not {space.kind}")
    for number in space.values:
        check(as_whole(info.field_name, number))
    return space


def searchable(model: type[FrozenModel]) -> type[Entry]:
    """Return a model of the same keys, none of them required, whose values may be search spaces."""
    fields: dict[str, Any] = {
        name: (_searchable_value(field), Field(default=None, description=field.description))
        for name, field in model.model_fields.items()
    }
    # Descriptions are there already: pydantic would look for the source of each in all modules that are imported.
    described: dict[str, Any] = {"use_attribute_docstrings": False}
    return create_model(model.__name__, __base__=Entry, __doc__=model.__doc__, __cls_kwargs__=described, **fields)


def _searchable_value(field: FieldInfo) -> Any:
    for part in get_args(field.annotation):
        if isinstance(part, type) and issubclass(part, FrozenModel):
            return Annotated[dict[str, Any], _section(part)]
    if get_origin(field.annotation) is dict:
        of_keys, of_values = get_args(field.annotation)
        return dict[of_keys, Annotated[of_values, WrapValidator(_value_or_space)]]  # type: ignore[valid-type]
    return Annotated[(field.annotation, *field.metadata, WrapValidator(_value_or_space))]


def _section(model: type[FrozenModel]) -> BeforeValidator:
    """What reads a mapping with keys of ``model`` and returns what is given: values, or spaces."""
    entry = searchable(model)

    def read(value: Any) -> dict[str, Any]:
        found = entry.model_validate(value)
        return {name: getattr(found, name) for name in value}

    return BeforeValidator(read)


_PHASE = TypeAdapter(Annotated[dict[str, Any], _section(Training)])
_PHASES = TypeAdapter(list[Annotated[dict[str, Any], _section(Training)]])


def _training(value: Any) -> Any:
    """One phase as a dictionary, or several as a tuple of them."""
    if not isinstance(value, list):
        return _PHASE.validate_python(value)
    if not value:
        raise ValueError("expected a mapping, or a list of at least one phase")
    return tuple(_PHASES.validate_python(value))


TrainingKeys = Annotated[dict[str, Any] | tuple[dict[str, Any], ...], BeforeValidator(_training)]
"""What is given of one phase, or of each of several."""
PruningKeys = Annotated[dict[str, Any], _section(Pruning)]
"""What is given of pruning."""
