"""Frozen, validated values: what is trained and how. Strict: an unknown key or a wrong type is an error."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

RESULT_VERSION = 1
"""Raise it when a change of code changes results: stored replicates of another version are not reused."""


Baseline = Literal["lasso", "omp"]
"""A classical method that may stand in a network's place."""

Step = Literal["subgradient", "proximal"]
"""How penalties act: in the gradient, or as a proximal step after the optimiser's."""


Precision = Literal["float32", "bf16", "tf32"]
"""Of the products in a training step."""


class FrozenModel(BaseModel):
    """A value that cannot change, refuses unknown keys, and takes no type for another (no "3" for 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Documented(FrozenModel):
    """Keys of a sweep file: the text under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


Count = Annotated[int, Field(ge=1, le=10**9)]
"""How many there are of something; more than anybody has time or memory for is a slip."""


class Drop(Documented):
    """Units that are removed for good while a network trains, fewer and fewer being left."""

    score: Literal["norm", "taylor", "obs"] = "taylor"
    """What a unit is worth: the norm of its weights; how much the loss is expected to rise without it; or the same
    where the units that stay take over for it (fully connected networks only)."""
    to: Annotated[float, Field(gt=0, lt=1)]
    """The share of the whole network that is left at the end."""
    of: Literal["weights", "units", "multiply_adds"] = "weights"
    """What the share is of: weights between units that are left, such units, or multiply-adds for one sample."""
    over: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the phase over which units are removed; then the structure is fixed."""
    every: Count = 100
    """Steps from one removal to the next; there is one at the end of each epoch too."""
    power: Annotated[float, Field(gt=0)] = 1.0
    """1: by the same factor each time; above 1 faster at the beginning (``1 - (1 - u)^power`` of the way, on a
    logarithmic scale, after the share ``u`` of the steps)."""
    samples: Count = 1024
    """Training samples on which scores and means are measured."""


class Prune(Documented):
    """Weights that are removed for good when a phase begins: those smallest in absolute value."""

    keep: Annotated[float, Field(gt=0, lt=1)]
    """The share of the weights there still are that stays."""
    within: Literal["network", "layer"] = "network"
    """What the share is of: all regularised weights together, or those of each layer."""
    rounds: Count = 1
    """How often the phase runs, one after the other, each time with fewer weights."""
    rewind_to: Annotated[int | None, Field(ge=0, le=10**9)] = None
    """Give what stays the value that it had before this step of the whole training, 0 being the first, and begin the
    optimiser anew; left out: each round goes on with the weights as they are."""


class Rewire(Documented):
    """Training with a fixed number of weights, some of which move to other places while it goes on: RigL."""

    density: Annotated[float, Field(gt=0, lt=1)]
    """The share of the regularised weights that there are, from the phase's first step on."""
    layers: Literal["erdos_renyi", "uniform"] = "erdos_renyi"
    """How many of them each layer has: more, for its size, where it is narrow; or the same share."""
    every: Count = 100
    """Steps from one move to the next."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The share of the weights of a layer that moves at first; it falls to 0 along half a cosine."""
    until: Annotated[float, Field(gt=0, le=1)] = 0.75
    """The share of the phase over which weights move; then they stay where they are."""


class Augment(Documented):
    """How training images are changed at random, anew each time that they are met; images that measure are not."""

    shift: Annotated[int, Field(ge=0, le=1024)] = 0
    """Most pixels that an image is moved by, down or up and right or left, all amounts being equally likely; the pixel
    at the edge is repeated where nothing comes in."""
    flip: bool = False
    """Half of the images are mirrored, left to right."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give 'shift' or 'flip'")
        return self


class Distill(Documented):
    """Learning from the network as it was before the phase, or before the first of several such phases in a row."""

    weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share that the earlier network's probabilities have in what is learned; the label has the rest."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Its outputs are divided by it before they become probabilities: above 1 they are more alike."""


_FIRST = ("epochs", "steps", "batch_size", "learning_rate", "learning_rate_decay", "shuffle")
"""What cells have always had. Of later fields the defaults are left out, so that earlier cells keep their keys."""


class Training(Documented):
    """How long, how fast and by which optimiser a replicate trains: the whole training, or a phase of it."""

    epochs: Count | None = None
    """Passes over the training set. Give this or ``steps``."""
    steps: Count | None = None
    """Optimiser steps. Give this or ``epochs``."""
    batch_size: Count
    """Samples per step. The last incomplete batch of an epoch is dropped."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The optimiser's step size."""
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the learning rate after each epoch."""
    shuffle: bool = True
    """Draw a new order of the samples each epoch; otherwise keep the stored order."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """``adam`` and ``adamw`` (which takes ``weight_decay``) with β = 0.9, 0.999 and ε = 1e-8, or ``sgd``."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of ``sgd``: the share of the last step's direction that stays in the next one's."""
    nesterov: bool = False
    """Of ``sgd`` with momentum: look ahead (Nesterov)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of ``adamw`` and ``sgd``: the share, times the learning rate, by which every parameter shrinks at each step.
    Decoupled: it is no part of the gradient. Biases shrink too, and the logarithms that ``l0`` and ``sparse_vd`` learn
    beside the weights: towards open gates and more noise."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """What multiplies the learning rate over the phase: 1, or a fall from 1 to 0 along half a cosine or a
    line."""
    warmup_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Steps over which the learning rate rises from next to 0."""
    penalties: Literal["on", "off", "linear", "exponential"] = "on"
    """Whether the method's penalties act, or grow over the phase: from 0 along a line, or from a thousandth on by the
    same factor at each step. Dropout is no penalty."""
    fixed_structure: bool = False
    """Fine-tuning: what ``pruning`` would drop is dropped when the phase begins, and stays 0."""
    drop: Drop | None = None
    """Remove units during the phase. A unit that is gone stays gone, in the phases after it too."""
    prune: Prune | None = None
    """Remove weights when the phase begins, once or in rounds. A weight that is gone stays gone."""
    rewire: Rewire | None = None
    """Train with few weights from the first step on, which move (RigL). A phase after it keeps them."""
    augment: Augment | None = None
    """Change training images at random. For tasks whose inputs are images."""
    distill: Distill | None = None
    """Learn from the network as it was before, beside the labels. For tasks that learn labels by the cross-entropy."""
    precision: Precision = "float32"
    """Of the network's products while it trains: ``bf16`` (bfloat16) is faster for large layers where the processor has
    instructions for it; ``tf32`` (TensorFloat-32) is for NVIDIA GPUs. Weights, penalties, loss, optimiser and all
    measurements stay in float32."""
    shrink: bool = True
    """Take dropped units out of the tensors, which makes the next steps faster: at the end of each epoch that drops
    units, and where a phase with a fixed structure begins, if that is long enough. The results differ by rounding."""

    @field_validator("augment")
    @classmethod
    def _one_way_to_say_no(cls, given: Augment | None) -> Augment | None:
        """No change has one identity, so that a grid of shifts may begin at 0."""
        return given if given is not None and (given.shift or given.flip) else None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of 'epochs' and 'steps'")
        return self

    @model_validator(mode="after")
    def _one_way_to_drop(self) -> Self:
        if self.fixed_structure and self.drop is not None:
            raise ValueError("a phase with 'drop' changes the structure that 'fixed_structure' keeps: give one of them")
        if self.prune is not None and (self.fixed_structure or self.drop is not None):
            raise ValueError("'prune' does not go with 'drop' or 'fixed_structure': give them to phases of their own")
        if self.rewire is not None and self.changes_structure:
            raise ValueError("'rewire' does not go with 'drop', 'prune' or 'fixed_structure': give them other phases")
        return self

    @model_validator(mode="after")
    def _fits_the_optimizer(self) -> Self:
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"'momentum' and 'nesterov' are of the optimizer 'sgd', not of {self.optimizer!r}")
        if self.nesterov and not self.momentum:
            raise ValueError("'nesterov' needs 'momentum'")
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("'weight_decay' is of 'adamw' and 'sgd': set 'optimizer'")
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        defaults = type(self).model_fields
        return {key: value for key, value in fields.items() if key in _FIRST or value != defaults[key].default}

    @property
    def changes_structure(self) -> bool:
        """Whether weights or units may be removed, or what was removed is kept out."""
        return self.prunes or self.drop is not None

    @property
    def has_masks(self) -> bool:
        """Whether there are weights that stay 0 in the phase, and after it."""
        return self.changes_structure or self.rewire is not None

    @property
    def prunes(self) -> bool:
        """Whether weights are removed when the phase begins."""
        return self.fixed_structure or self.prune is not None

    def steps_per_epoch(self, num_train: int) -> int:
        """Return the number of full batches in ``num_train`` samples; ValueError if there is none."""
        if self.batch_size > num_train:
            raise ValueError(f"batch_size {self.batch_size} exceeds the {num_train} training samples")
        return num_train // self.batch_size

    def resolve(self, num_train: int) -> Self:
        """Return the same training with its length in steps, so that equal work has one identity."""
        per_epoch = self.steps_per_epoch(num_train)
        steps = self.steps if self.epochs is None else self.epochs * per_epoch
        return self.model_copy(update={"steps": steps, "epochs": None})


class Pruning(Documented):
    """Dropping principle 1: after training, weights with ``|w| < threshold`` become 0."""

    threshold: Annotated[float, Field(ge=0)] = 0.0
    """Weights below it in absolute value become 0."""
    curve: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False)] = ()
    """Thresholds that the trained network is measured at besides: one training serves them all."""
    thresholds: dict[str, Annotated[float, Field(ge=0)]] = {}
    """By layer, a threshold of its own in place of ``threshold``: ``{fc1: 0.02}``."""
    target_density: Annotated[float | None, Field(gt=0, le=1)] = None
    """In place of thresholds: the share of the regularised weights that stays, of each replicate those largest in
    absolute value."""

    @model_validator(mode="after")
    def _threshold_or_target(self) -> Self:
        if self.target_density is not None and (self.threshold or self.thresholds):
            raise ValueError("'target_density' stands in place of 'threshold' and 'thresholds': give one of them")
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not given and came later, so that earlier cells keep their keys."""
        fields: dict[str, Any] = serialize(self)
        return {key: value for key, value in fields.items() if key in ("threshold", "curve") or value}


_PLACES = {"csv": "path", "parquet": "path", "image_folder": "path"}
"""By dataset the option that says where its files are: a result depends on their content."""


class Cell(FrozenModel):
    """A method with every hyper-parameter fixed, on one task and dataset: one line of a table."""

    task: dict[str, Any]
    """The task's name and options."""
    dataset: dict[str, Any]
    """The dataset's name and options."""
    dataset_digest: str
    """SHA-256 of the data, or of the recipe that makes it."""
    regularization: dict[str, float]
    """Non-zero coefficient per regulariser name."""
    step: Step = "subgradient"
    """How the penalties act that have a proximal form."""
    baseline: Baseline | None = None
    """Not a network: a classical method on the same data (``dn_distributed.baselines``)."""
    training: Training | Annotated[tuple[Training, ...], Field(strict=False, min_length=1)]
    """One phase, or several, one after the other."""
    pruning: Pruning
    code: dict[str, str] = {}
    """What it computes with that this project does not ship, as a digest by part: see ``own_code.digests``."""

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``code`` and ``step`` where they say nothing: cells stored before they existed keep their keys."""
        fields: dict[str, Any] = serialize(self)
        defaults = type(self).model_fields
        return {k: v for k, v in fields.items() if k not in ("code", "step") or v != defaults[k].default}

    @property
    def phases(self) -> tuple[Training, ...]:
        """The phases of training, at least one."""
        return self.training if isinstance(self.training, tuple) else (self.training,)

    @property
    def key(self) -> str:
        """Identity: a hash of everything that changes a result, and of nothing that does not."""
        fields = self.model_dump()
        place = _PLACES.get(self.dataset["name"])
        fields["dataset"] = {key: value for key, value in self.dataset.items() if key != place}
        return _digest({**fields, "result_version": RESULT_VERSION})

    def replicate_key(self, seed: int) -> str:
        """Identity of the replicate of this cell with ``seed``."""
        return self.replicate_keys([seed])[0]

    def replicate_keys(self, seeds: Sequence[int]) -> list[str]:
        """Return the same for several seeds, in their order: the cell's own key is made once."""
        return keys_of_replicates(self.key, seeds)


def keys_of_replicates(cell_key: str, seeds: Sequence[int]) -> list[str]:
    """Return the keys of the replicates of the cell with this key, by seed in their order."""
    # As JSON would write it, in a seventh of the time: a large sweep has a hundred thousand of them.
    return [_hash(f'{{"cell":"{cell_key}","seed":{seed}}}') for seed in seeds]


def _digest(value: Mapping[str, Any]) -> str:
    return _hash(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
