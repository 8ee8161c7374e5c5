"""A method of a sweep file: its label, and a key for every coefficient, each a number or a search space."""

import inspect
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    create_model,
    model_validator,
)

from dn_distributed import random_weights, regularizers
from dn_distributed.config import Baseline, Step
from dn_distributed.labels import SHORTHANDS
from dn_distributed.regularizers import PENALTIES, dropout
from dn_distributed.text import quoted
from sweeps.spec.entry import Entry
from sweeps.spec.spaces import KINDS, Space, examples, is_number, parse_space
from tracking import manifest


def _baseline(value: Any) -> Any:
    valid = get_args(Baseline)
    if value is not None and value not in valid:
        raise ValueError(f"unknown baseline {quoted(value)}; valid: {', '.join(valid)}")
    return value


def _label(value: Any) -> str:
    """The label of a sweep file: stored ones may have spaces that nobody sees."""
    label = manifest.check_label(value)
    if label != " ".join(label.split()):
        raise ValueError(f"expected no space at an end, and single ones between words, not {quoted(label)}")
    return label


class MethodEntry(Entry):
    """One row of the table: its label and its coefficients, each a number or a search space."""

    label: Annotated[str, BeforeValidator(_label)]
    """What the row is called."""
    published: Annotated[str | None, PlainValidator(lambda row: row)] = None  # which there are depends on the task
    """The row of the paper's table that stands beside it."""
    baseline: Annotated[Baseline | None, BeforeValidator(_baseline)] = None
    """A classical method on the same linear regression, in place of a network."""
    step: Step = "subgradient"
    """How penalties act: ``subgradient``, in the gradient, or ``proximal``: L1 and DropNeuron's penalties as a step
    after each of the optimiser's, which makes weights, and groups of them, exactly zero. Other penalties stay in the
    gradient."""
    dropout_at_test: bool = False
    """Show the test scores with dropout left on, as two of the published scripts do."""
    dropout_inert: bool = False
    """Compute dropout and throw it away, as two of the published scripts do: train without."""

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Coefficients in the order of the file: a search draws them in it."""

    @model_validator(mode="wrap")
    @classmethod
    def _each_coefficient_once(cls, value: Any, check: ModelWrapValidatorHandler["MethodEntry"]) -> "MethodEntry":
        value = _with_places_of_dropout(value)
        entry = check(value)
        entry._given = {name: getattr(entry, name) for name in value if name not in MethodEntry.model_fields}
        for values in examples(entry.spaces):
            regularizers.resolve({**entry.coefficients, **values})
        return entry

    @property
    def coefficients(self) -> dict[str, float]:
        """The coefficients that are fixed."""
        return {name: value for name, value in self._given.items() if not isinstance(value, Space)}

    @property
    def spaces(self) -> dict[str, Space]:
        """The coefficients that are searched."""
        return {name: value for name, value in self._given.items() if isinstance(value, Space)}


def _with_places_of_dropout(value: Any) -> Any:
    """A method whose ``dropout`` says where, as one with a key for each place."""
    places = value.get(dropout.NAME) if isinstance(value, dict) else None
    if not isinstance(places, dict) or places.keys() & set(KINDS):
        return value
    if not places or not places.keys() <= dropout.PLACES.keys():
        raise ValueError(f"dropout: expected a number, a search space, or places: {', '.join(dropout.PLACES)}")
    found: dict[str, Any] = {}
    for key, given in value.items():
        for name, coefficient in (
            {dropout.PLACES[place]: rate for place, rate in places.items()} if key == dropout.NAME else {key: given}
        ).items():
            if name in found:
                raise ValueError(f"{name} is set twice")
            found[name] = coefficient
    return found


def _coefficient(value: Any, info: ValidationInfo) -> Any:
    space = parse_space(value)
    for number in space.values if space is not None else (value,):
        if not is_number(number):
            raise ValueError(f"expected a number or a search space, not {quoted(number)}")
        regularizers.resolve({str(info.field_name): number})
    return value if space is None else space


def method_entry() -> type[MethodEntry]:
    """Return the model of a method with a key for every coefficient: the user's own penalties too."""
    return _method_entry(regularizers.coefficients())


@cache
def _method_entry(coefficients: tuple[str, ...]) -> type[MethodEntry]:
    fields: dict[str, Any] = {
        name: (Annotated[Any, BeforeValidator(_coefficient)], Field(default=None, description=_describe(name)))
        for name in coefficients
    }
    return create_model("Method", __base__=MethodEntry, __doc__=MethodEntry.__doc__, **fields)


def _describe(coefficient: str) -> str:
    if coefficient in SHORTHANDS:
        return f"Short for {', '.join(SHORTHANDS[coefficient][:-1])} and {SHORTHANDS[coefficient][-1]}."
    if coefficient in PENALTIES:
        return (inspect.getdoc(PENALTIES[coefficient]) or "").partition("\n\n")[0]
    if coefficient in random_weights.COEFFICIENTS:
        return random_weights.COEFFICIENTS[coefficient]
    if coefficient == dropout.INPUT_NAME:
        return "Inputs drop with this probability while training."
    return (
        "Hidden units drop with this probability while training. "
        f"``{{hidden: …, input: …}}`` sets ``{dropout.INPUT_NAME}`` too."
    )
