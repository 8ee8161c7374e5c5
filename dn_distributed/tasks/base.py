"""What a task is: network, data, loss, scores, and the layers that are regularised."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Count, FrozenModel, Pruning, Training
from dn_distributed.data import Data, DataError, Dataset, Raw, RawImages, SparseLinear, Split, Splits
from dn_distributed.data.images import SIZE
from dn_distributed.regularizers import PENALTIES
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.scores import ACCURACY, Score
from dn_distributed.sparsity import HiddenRule


class Task(FrozenModel, ABC):
    """An experiment of the paper, or your own. Options are fields; what the paper fixes is a constant.

    The network is a plain ``nn.Module``. Mark dropout with ``nn.Dropout``: the method's rate replaces the
    module's, and each replicate of a stack gets masks of its own.
    """

    name: str
    kind: ClassVar[Literal["images", "linear", "samples", "any"]]
    """Which datasets fit: see ``Dataset.kind``."""
    scores: ClassVar[tuple[Score, ...]]
    """What is measured; the first is the one that methods are compared by."""
    default_dataset: ClassVar[str]
    default_training: ClassVar[Training]
    default_pruning: ClassVar[Pruning]
    published_options: ClassVar[Mapping[str, Any]] = {}
    """Options that the published figures were made with, where they are not the defaults."""
    free_options: ClassVar[frozenset[str]] = frozenset()
    """Options that may have any value beside published figures: what they change is said in words."""
    later_options: ClassVar[Mapping[str, Any]] = {}
    """Options that came after results were stored, with the values at which the identity has nothing of them, as
    before: earlier keys stay."""
    stack_overhead: ClassVar[float] = 1.0
    """Fixed cost of a step in units of one more replicate's cost, on a CPU (``make bench`` measures it).
    Large: stack as many replicates as there are. Small: packs may be split to fill the cores."""
    vectorize_on_cpu: ClassVar[bool] = True
    """Whether a stack runs as one batched computation on a CPU. Networks with convolutions never do there: they
    are faster one by one, and each is what it is alone."""
    cpu_memory_format: ClassVar[torch.memory_format] = torch.contiguous_format
    """Layout of the inputs where replicates run one by one."""
    max_stack: ClassVar[int] = 10
    """Most replicates in a stack on a CPU, where nothing else is said."""

    @property
    def hidden_rule(self) -> HiddenRule:
        """How hidden neurons are counted beside the alive ones (see ``sparsity.count``)."""
        return "min"

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Names of the regularised layers, ``nn.Linear`` and ``nn.Conv2d`` without groups, in forward order.

        Fully connected ones fit one another; with a convolution among them they need not. Of layers that are no chain,
        as of a residual network or where all units are normalised together, what ``compact`` needs is counted.
        """

    @abstractmethod
    def network(self) -> nn.Module:
        """Return an untrained network. The only buffers it may keep are those of ``nn.BatchNorm1d``, ``2d``, ``3d``."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch ``[B, ...]`` of one replicate, without penalties."""

    @abstractmethod
    def data(self, dataset: Dataset, raw: Any) -> Data:
        """Return the dataset as this task trains on it."""

    @classmethod
    def fits(cls, dataset: type[Dataset] | Dataset) -> bool:
        """Return whether the task can be trained on a dataset of this kind."""
        return cls.kind in ("any", dataset.kind)

    def check_written(self, dataset: Dataset) -> None:
        """ValueError where a sweep file gives options that do nothing with these data. Stored ones are not held."""

    def fitted_to(self, dataset: Dataset, raw: Raw) -> "Task":
        """Return the task with the shapes that its data have. DataError where they do not fit."""
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether layers and scores are known, which some tasks have from their data."""
        return True

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of an input, in the order of its numbers; None where inputs are no images."""
        return None

    @property
    def network_source(self) -> Any:
        """A function of the user's own that makes the network: its source is part of the identity. None without."""
        return None

    def layers_of(self, penalty: str) -> tuple[str, ...]:
        """Return the layers that a penalty touches: those in its reach, unless a task says otherwise."""
        return self.layers[PENALTIES[penalty].reach]

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Draw the initial parameters; by default those that ``network()`` gives itself."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(draw.initial_seed())
            for parameter, fresh in zip(network.parameters(), self.network().parameters(), strict=True):
                parameter.copy_(fresh)

    def identity(self) -> dict[str, Any]:
        """Return name and options, as they enter the identity of a cell."""
        usual = {name for name, value in self.later_options.items() if getattr(self, name) == value}
        return self.model_dump(mode="json", exclude=usual)


class ImageTask(Task):
    """A task on 28 × 28 grey images."""

    kind: ClassVar[Literal["images"]] = "images"
    default_dataset: ClassVar[str] = "mnist"
    validation_size: Count = 5000
    """The first training images are held out for validation; of a small dataset a fifth at most."""
    pixel_shift: ClassVar[float] = 0.0
    """Added to pixels in [0, 1]."""
    input_shape: ClassVar[tuple[int, ...]] = (784,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """One channel of 28 × 28 pixels."""
        return 1, SIZE, SIZE

    def data(self, dataset: Dataset, raw: Raw) -> Data:
        """Scale the pixels, hold out the validation images, and keep all of it in memory as float32."""
        splits = image_splits(dataset.name, raw, self.validation_size, self._split)
        return Data(dataset.digest(raw), splits.num_train, shared=splits)

    def _split(self, images: Tensor, labels: Tensor) -> Split:
        pixels = images.float().div_(255).add_(self.pixel_shift)
        inputs = pixels.reshape(-1, *self.input_shape)
        return Split(inputs, self.targets(inputs, labels))

    def targets(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what the network should put out: the labels, unless a task says otherwise."""
        return labels


class ImageClassifier(ImageTask):
    """Tell the classes of images apart: the network puts out a logit a class."""

    scores: ClassVar[tuple[Score, ...]] = (ACCURACY,)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, targets)


def image_splits(name: str, raw: Raw, validation_size: int, split: Callable[[Tensor, Tensor], Split]) -> Splits:
    """Return images as ``split`` makes samples of them; the first are held out, of a small dataset a fifth at most."""
    images = _checked_images(name, raw)
    held_out = min(validation_size, len(images.train_images) // 5)
    train = split(images.train_images, images.train_labels)
    return Splits(train[held_out:], train[:held_out], split(images.test_images, images.test_labels))


def _checked_images(name: str, raw: Raw) -> RawImages:
    """DataError where a dataset gives other than what its type says: other numbers would be trained on all the same."""
    if not isinstance(raw, RawImages):
        raise DataError(f"dataset {name!r} has no images")
    for part, images, labels in (
        ("train", raw.train_images, raw.train_labels),
        ("test", raw.test_images, raw.test_labels),
    ):
        if images.dtype != torch.uint8 or images.shape[1:] != (SIZE, SIZE) or not len(images):
            given = f"{images.dtype} of the shape {tuple(images.shape)}"
            raise DataError(f"dataset {name!r}: {part} images must be uint8 [N, {SIZE}, {SIZE}], not {given}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            given = f"{labels.dtype} of the shape {tuple(labels.shape)}"
            raise DataError(f"dataset {name!r}: {part} labels must be int64 [{len(images)}], not {given}")
    return raw


class LinearTask(Task):
    """A task on a synthetic sparse linear regression."""

    kind: ClassVar[Literal["linear"]] = "linear"
    default_dataset: ClassVar[str] = "linear_scripted"

    def data(self, dataset: Dataset, raw: Raw) -> Data:
        """Every seed draws its own problem. DataError for a dataset that does not say how."""
        if not isinstance(dataset, SparseLinear):
            raise DataError(f"dataset {dataset.name!r} is no dn_distributed.SparseLinear: derive it from that")
        return Data(dataset.digest(None), dataset.samples, generate=dataset.generate)


DROPNEURON: frozenset[str] = frozenset({Incoming.name, Outgoing.name})
"""The names of DropNeuron's two penalties."""
