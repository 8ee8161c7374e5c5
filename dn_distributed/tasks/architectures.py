"""Networks that a sweep file describes: fully connected ones, torchvision's, and those of a function of one's own."""

import inspect
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from torch import nn

from dn_distributed.config import Count, FrozenModel
from dn_distributed.errors import ArgumentError
from dn_distributed.registry import own_function
from dn_distributed.text import first_line, quoted

TORCHVISION = "torchvision"
_FORMS = "{mlp: [inputs, …, outputs]}, {mlp: {hidden: [64]}}, torchvision:NAME or module:function"

Sizes = Annotated[tuple[Count, ...], Field(strict=False, max_length=100)]


class Architecture(FrozenModel, ABC):
    """What a network is, for inputs and outputs of whatever shape."""

    @abstractmethod
    def build(self, input_shape: Sequence[int], num_outputs: int) -> nn.Module:
        """Return the untrained network, from ``[B, *input_shape]`` to ``[B, num_outputs]``. ArgumentError if none is.

        One that takes or gives other shapes is returned as it is.
        """

    @property
    def function(self) -> Callable[..., Any] | None:
        """The user's own function that makes the network."""
        return None

    def __str__(self) -> str:
        return str(self.model_dump(mode="json"))


class Hidden(FrozenModel):
    """A fully connected network with inputs and outputs as the data have them."""

    hidden: Sizes
    """Sizes of the hidden layers."""


def _sizes(value: Any) -> tuple[int, ...] | Hidden:
    if isinstance(value, dict):
        return Hidden(**value)
    if isinstance(value, list | tuple) and len(value) > 1 and all(type(size) is int and size > 0 for size in value):
        return tuple(value)
    if isinstance(value, Hidden):
        return value
    raise ValueError(f"expected [inputs, …, outputs] or {{hidden: […]}}, not {quoted(value)}")


class FullyConnected(Architecture):
    """Layers ``fc1``, ``fc2``, … with ReLU and dropout between them; inputs of several dimensions are flattened."""

    mlp: Annotated[tuple[int, ...] | Hidden, BeforeValidator(_sizes)]
    """Sizes of all layers of units, inputs first; or ``{hidden: […]}``, and the data say the others."""

    def build(self, input_shape: Sequence[int], num_outputs: int) -> nn.Module:
        if isinstance(self.mlp, Hidden):
            sizes: tuple[int, ...] = (math.prod(input_shape), *self.mlp.hidden, num_outputs)
        else:
            sizes = self.mlp
        parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        last = len(sizes) - 1
        for number in range(1, last + 1):
            parts[f"fc{number}"] = nn.Linear(sizes[number - 1], sizes[number])
            if number < last:
                parts |= {f"relu{number}": nn.ReLU(), f"dropout{number}": nn.Dropout()}
        return nn.Sequential(parts)


class Made(Architecture):
    """What a function returns: ``torchvision:resnet18``, or ``module:function`` of your own."""

    name: str
    """Where the function is. Of the parameters ``input_shape`` and ``num_outputs``, it is given those that it has."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Its other arguments."""

    def build(self, input_shape: Sequence[int], num_outputs: int) -> nn.Module:
        if self.name.startswith(f"{TORCHVISION}:"):
            function: Callable[..., Any] = _torchvision(self.name.partition(":")[2])
            from_data: dict[str, Any] = {"num_classes": num_outputs}
        else:
            function = own_function("network", self.name)
            known = inspect.signature(function).parameters
            shapes = {"input_shape": tuple(input_shape), "num_outputs": num_outputs}
            from_data = {key: value for key, value in shapes.items() if key in known}
        if {"weights", "weights_backbone", "pretrained"} & self.args.keys() and self.name.startswith(TORCHVISION):
            raise ArgumentError(f"network {self.name}: weights would be downloaded; every replicate draws its own")
        try:
            network = function(**{**from_data, **self.args})
        except Exception as error:  # whatever a function of the user's own raises
            raise ArgumentError(f"network {self.name}: {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(network, nn.Module):
            raise ArgumentError(f"network {self.name}: returns {type(network).__name__}, not a torch.nn.Module")
        return network

    @property
    def function(self) -> Callable[..., Any] | None:
        return None if self.name.startswith(f"{TORCHVISION}:") else own_function("network", self.name)


def architecture_of(value: Any) -> Architecture:
    """Return what a sweep file's ``network`` describes. ValueError says what it may be."""
    if isinstance(value, Architecture):
        return value
    if isinstance(value, str) and ":" in value:
        return Made(name=value)
    if isinstance(value, Mapping) and "mlp" in value:
        return FullyConnected(**value)
    if isinstance(value, Mapping) and ":" in str(value.get("name")):
        return Made(**value)
    raise ValueError(f"expected {_FORMS}, not {quoted(value)}")


def _torchvision(name: str) -> Callable[..., Any]:
    from torchvision import models

    valid = models.list_models(module=models)
    if name not in valid:
        raise ArgumentError(f"torchvision has no network {quoted(name)}; valid: {', '.join(valid)}")
    builder: Callable[..., Any] = models.get_model_builder(name)
    return builder
