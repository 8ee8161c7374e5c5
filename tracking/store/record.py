"""What an exported sweep says, as values with bounds: a file from elsewhere is believed only where it fits them."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from dn_distributed.config import Cell, FrozenModel
from tracking import published_rows, schema
from tracking.manifest import Manifest, check_label
from tracking.store.names import LAYER, check_layer

MADE_BY = rf"device|host|version\.[\w.-]+|{re.escape(schema.COMPACT_PROCESSOR)}"
"""The tags that leave the store: what made a replicate, and neither whose it is nor where it lay."""
_LONGEST_NAME = 200
_LONGEST_SOURCE = 2**20
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _from_text(value: object) -> object:
    """JSON has no NaN and no infinity: they are text."""
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _readable(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("control characters")
    return text


def _no_input(layer: str) -> str:
    """What was stored before longer names were refused stays readable."""
    return check_layer(layer) if layer == schema.INPUT else layer


Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""Of a cell or a replicate."""
Label = Annotated[str, AfterValidator(check_label)]
Text = Annotated[str, Field(max_length=schema.LONGEST_TEXT), AfterValidator(_readable)]
Name = Annotated[str, Field(max_length=_LONGEST_NAME, pattern=schema.NAME)]
"""Of a metric or a parameter."""
Tag = Annotated[str, Field(max_length=_LONGEST_NAME, pattern=f"^(?:{MADE_BY})$")]
Figure = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(_from_text)]
Epoch = Annotated[int, Field(ge=0, le=10**12)]
Moment = Annotated[int, Field(ge=1, le=2**42)]
"""Milliseconds since 1970; the last is in the year 2109."""
LayerName = Annotated[str, Field(max_length=_LONGEST_NAME, pattern=f"^{LAYER}$"), AfterValidator(_no_input)]
Size = Annotated[int, Field(ge=1, le=2**31)]


def _with_kernel(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A convolution's layer has two sizes more. A union of both would say of an error only that it is neither."""
    if not isinstance(value, list | tuple) or len(value) != 5:
        return validate(tuple(value) if isinstance(value, list) else value)
    return (*validate(tuple(value[:3])), *validate((value[0], *value[3:]))[1:])


_Layer: TypeAlias = Annotated[tuple[LayerName, Size, Size], WrapValidator(_with_kernel)]
Layers = Annotated[tuple[_Layer, ...], Field(min_length=1)]
"""Name, outputs and inputs of each regularised layer, in forward order; of a convolution the kernel's size too."""


class _Exported(FrozenModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")


class Contents(_Exported):
    """The last entry: what the archive is, and what each other entry must hash to."""

    format: int
    result_version: int
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]


class CellRecord(_Exported):
    """A cell, and what it is called."""

    label: Label
    cell: Cell


class DataRecord(_Exported):
    """The dataset input of a replicate, as MLflow shows it."""

    name: Text
    digest: Text

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return that of a cell's replicates."""
        return cls(name=str(cell.dataset["name"]), digest=cell.dataset_digest[:32])


class Record(_Exported):
    """A replicate that is decided: finished, failed or stopped early."""

    key: Key
    cell_key: Key
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    label: Label
    state: Literal["finished", "failed", "stopped"]
    reason: Text
    """Why it failed, or where it was stopped."""
    start: Moment
    end: Moment
    data: DataRecord | None
    tags: dict[Tag, Text]
    params: dict[Name, Text]
    metrics: dict[Name, Figure]
    """Final figures."""
    curves: dict[Name, tuple[tuple[Epoch, Figure], ...]]
    """Figures by epoch, the epoch itself among them, as it is logged with each."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.params.get(schema.SEED) != str(self.seed):
            raise ValueError(f"its parameter {schema.SEED!r} is not its seed {self.seed}")
        if self.finished != (self.data is not None) or self.finished == bool(self.reason):
            raise ValueError("a finished replicate has data and no reason, another one a reason and no data")
        if wrong := [*filter(has_curve, self.metrics), *(name for name in self.curves if not has_curve(name))]:
            raise ValueError(f"final figures and curves are mixed up: {wrong[0]}")
        for name, points in self.curves.items():
            epochs = [epoch for epoch, _ in points]
            if not epochs or sorted(set(epochs)) != epochs:
                raise ValueError(f"the epochs of {name} do not rise")
        return self

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return self.state == "finished"

    @property
    def last_epoch(self) -> int:
        """The epoch at which its final figures stand."""
        return self.curves[schema.EPOCH][-1][0] if schema.EPOCH in self.curves else 0

    @property
    def layers(self) -> Layers:
        """The regularised layers of a finished replicate. ValueError where it does not name them."""
        return _LAYERS.validate_json(self.params.get(schema.LAYERS, ""), strict=True)


_LAYERS: TypeAdapter[Layers] = TypeAdapter(Layers)


def has_curve(name: str) -> bool:
    """Return whether a metric is logged at every epoch, the epoch itself included."""
    return name == schema.EPOCH or schema.is_curve(name)


def check_manifest(manifest: Manifest) -> None:
    """ValueError where a manifest says what no sweep file may say."""
    manifest.check()
    for method in manifest.methods:
        if method.published is not None and method.published not in published_rows.row_names(manifest.task):
            raise ValueError(f"no published row {method.published!r}")
    check_texts(manifest.model_dump(exclude={"source"}))
    if len(manifest.source) > _LONGEST_SOURCE:
        raise ValueError(f"a sweep file of {len(manifest.source)} characters")
    _readable("".join(manifest.source.split()))


def check_texts(value: Any) -> None:
    """ValueError where a text in plain data is too long or holds control characters."""
    if isinstance(value, str):
        if len(_readable(value)) > schema.LONGEST_TEXT:
            raise ValueError(f"a text of {len(value)} characters")
    elif isinstance(value, Mapping):
        check_texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            check_texts(item)
