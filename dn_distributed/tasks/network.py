"""A network that the sweep file describes, on any data: shapes come from the data, labels or numbers are learned."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Count, Pruning, Training
from dn_distributed.data import Data, DataError, Dataset, Raw, RawImages, Samples, SparseLinear, Split, Splits
from dn_distributed.data.images import SIZE
from dn_distributed.data.samples import check_samples
from dn_distributed.layers import is_recurrent, noted_calls, rounds_otherwise_in_a_stack
from dn_distributed.scores import ACCURACY, MSE, NMSE, Score
from dn_distributed.tasks.architectures import Architecture, FullyConnected, Hidden, architecture_of
from dn_distributed.tasks.base import Task, image_splits
from dn_distributed.text import counted, first_line

Goal = Literal["classification", "regression"]


class Network(Task):
    """A network of your choice on any data: labels by the cross-entropy, numbers by the squared error."""

    name: Literal["network"] = "network"
    architecture: Annotated[SerializeAsAny[Architecture], BeforeValidator(architecture_of)] = FullyConnected(
        mlp=Hidden(hidden=(64,))
    )
    """What the key ``network`` of a sweep file says in short; left out, ``{mlp: {hidden: [64]}}``."""
    goal: Goal | None = None
    """What is learned, labels or numbers; left out, as the data have it."""
    penalized: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of the layers that penalties, pruning and counts are of; left out: all fully connected ones."""
    filters: bool = False
    """All convolutions too, where ``penalized`` is left out."""
    input_shape: Annotated[tuple[Count, ...] | None, Field(strict=False)] = None
    """Of a sample; left out, as the data have it."""
    num_outputs: Count | None = None
    """One a class, or one a number that is predicted; left out, as the data have it."""
    validation_size: Count = 5000
    """Of grey images of 28 × 28, the first are held out; a fifth of them at most. Other data have a part for it."""

    kind: ClassVar[Literal["any"]] = "any"
    default_dataset: ClassVar[str] = "mnist"
    default_training: ClassVar[Training] = Training(epochs=20, batch_size=64)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)

    @property
    def scores(self) -> tuple[Score, ...]:  # type: ignore[override]
        """Accuracy, or the errors of a regression: the NMSE, Σ(y−ŷ)²/Σy², and the mean squared error.

        Where targets are standardised, as a table's are, the NMSE is the share of the variance that is left.
        """
        return (NMSE, MSE) if self.goal == "regression" else (ACCURACY,)

    @property
    def network_source(self) -> Any:
        """The function that makes the network, where it is the user's own."""
        return self.architecture.function

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The regularised layers, in the order in which a sample meets them."""
        network = self.network()
        kinds = nn.Linear | nn.Conv2d if self.filters else nn.Linear
        chosen = self.penalized or [name for name, part in network.named_modules() if isinstance(part, kinds)]
        there = [name for name, _ in network.named_modules() if name in chosen]
        try:
            with noted_calls(network, there) as calls:
                self._outputs(network)
        except Exception:  # of anybody's network: what is wrong with it is reported where it is fitted
            calls = []
        order = dict.fromkeys(call.name for call in calls)  # one that is met twice is refused where a step is tried
        return (*order, *(name for name in chosen if name not in order))

    @cached_property
    def vectorize_on_cpu(self) -> bool:  # type: ignore[override]
        """Not with convolutions, which are faster one by one, nor with attention or recurrent layers."""
        network = self.network()
        return not rounds_otherwise_in_a_stack(network) and not is_recurrent(network)

    @property
    def stack_overhead(self) -> float:  # type: ignore[override]
        """As other tasks have it, with and without convolutions."""
        return 0.3 if self.vectorize_on_cpu else 0.0

    @property
    def max_stack(self) -> int:  # type: ignore[override]
        """As other tasks have it, with and without convolutions."""
        return 10 if self.vectorize_on_cpu else 1

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of a sample; where there are no data yet, as MNIST's."""
        return (1, SIZE, SIZE) if self.input_shape is None else self.input_shape

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """The shape of a sample that has three sizes: channels, height and width."""
        return self._shape if len(self._shape) == 3 else None

    def network(self) -> nn.Module:
        """Return the untrained network. ArgumentError where the sweep file describes none."""
        return self.architecture.build(self._shape, self.num_outputs or 10)

    def _outputs(self, network: nn.Module) -> Any:
        """What a network puts out for two blank samples."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return network.eval()(torch.zeros(2, *self._shape))

    def check_written(self, dataset: Dataset) -> None:
        """ValueError for ``validation_size`` where the dataset itself has the validation part."""
        if "validation_size" in self.model_fields_set and dataset.kind != "images":
            own = " give it as an option of the dataset" if "validation_size" in type(dataset).model_fields else ""
            raise ValueError(
                f"validation_size of the task does nothing with {dataset.name!r}, which has its own validation part:"
                f"{own or ' leave it out'}"
            )

    def fitted_to(self, dataset: Dataset, raw: Raw) -> "Network":
        """Return the task with shapes and goal of its data. DataError, naming both, where the network has others."""
        goal, input_shape, num_outputs = _shapes_of(dataset, raw)
        wanted = {"goal": goal, "input_shape": input_shape, "num_outputs": num_outputs}
        for key, value in wanted.items():
            said = getattr(self, key)
            if said is not None and said != value:
                raise DataError(
                    f"{key} of the task is {_show(said)}, that of the data of {dataset.name!r} {_show(value)}"
                )
        fitted = Network(**{**{key: getattr(self, key) for key in type(self).model_fields}, **wanted})
        fitted._check_fit(dataset.name)
        return fitted

    @property
    def is_fitted(self) -> bool:
        """Whether the data have been seen."""
        return None not in (self.goal, self.input_shape, self.num_outputs)

    def _check_fit(self, dataset: str) -> None:
        network = self.network()
        sizes = self.architecture.mlp if isinstance(self.architecture, FullyConnected) else None
        if isinstance(sizes, tuple) and sizes[0] != math.prod(self._shape):
            raise DataError(f"the network takes {sizes[0]} inputs, the data of {dataset!r} have {_show(self._shape)}")
        try:
            outputs = self._outputs(network)
        except Exception as error:  # of anybody's network
            raise DataError(
                f"the network does not take inputs of the shape {_show(self._shape)} that {dataset!r} has: "
                f"{first_line(error)}"
            ) from error
        if not isinstance(outputs, Tensor):
            raise DataError(f"the network puts out {type(outputs).__name__}, not one tensor")
        if tuple(outputs.shape) != (2, self.num_outputs):
            wanted = self.num_outputs or 0
            things = f"{counted(wanted, 'number')} to predict" if self.goal == "regression" else f"{wanted} classes"
            shape = tuple(outputs.shape[1:])
            found = counted(shape[0], "number") if len(shape) == 1 else f"{_show(shape)} numbers"
            raise DataError(f"the network puts out {found}, the data of {dataset!r} have {things}")

    def data(self, dataset: Dataset, raw: Raw) -> Data:
        """Return samples as they are, images as pixels in [0, 1] of the shape ``[1, 28, 28]``."""
        if isinstance(dataset, SparseLinear):
            return Data(dataset.digest(None), dataset.samples, generate=partial(_without_truth, dataset))
        if isinstance(raw, Samples):
            check_samples(dataset.name, raw)
            splits = Splits(raw.train, raw.validation, raw.test)
        else:
            splits = image_splits(dataset.name, raw, self.validation_size, _pixels)
        return Data(dataset.digest(raw), splits.num_train, shared=splits)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, or the mean squared error."""
        if self.goal == "regression":
            return functional.mse_loss(outputs, targets)
        return functional.cross_entropy(outputs, targets)


def _without_truth(dataset: SparseLinear, seeds: Sequence[int]) -> Splits:
    """The data without their coefficients: a network has none that could be held against them."""
    return replace(dataset.generate(seeds), truth=None)


def _pixels(images: Tensor, labels: Tensor) -> Split:
    return Split(images.float().div_(255).unsqueeze(1), labels)


def _shapes_of(dataset: Dataset, raw: Raw) -> tuple[Goal, tuple[int, ...], int]:
    """The goal that data are for, the shape of a sample, and the number of outputs."""
    if isinstance(dataset, SparseLinear):
        return "regression", (dataset.features,), 1
    if isinstance(raw, Samples):
        return "classification" if raw.num_classes else "regression", raw.input_shape, raw.num_outputs
    if not isinstance(raw, RawImages):
        raise DataError(f"dataset {dataset.name!r} has neither images nor samples")
    return "classification", (1, SIZE, SIZE), int(raw.train_labels.max()) + 1


def _show(value: Any) -> str:
    return " × ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value)
