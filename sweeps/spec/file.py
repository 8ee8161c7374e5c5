"""What a sweep file may say, key by key: pydantic checks each value where it stands, and the descriptions document it.

What must fit together is checked afterwards (``checks.py``), when it is known what the file means.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from dn_distributed.config import Count
from dn_distributed.text import quoted
from sweeps.spec.entry import Entry, error_at
from sweeps.spec.method import MethodEntry, method_entry
from sweeps.spec.named import NamedDataset, NamedTask
from sweeps.spec.searchable import PruningKeys, TrainingKeys
from tracking import manifest


class Resources(Entry):
    """What one pack gets, and how many replicates it holds."""

    cpu: Annotated[float, Field(gt=0, le=10_000)] = 1
    """CPUs of a pack; it computes with as many threads. Another number of threads may round otherwise, and so may
    another size of packs on several."""
    gpu: Annotated[float, Field(ge=0, le=10_000)] = 0
    """GPUs of a pack; a fraction lets packs share one."""
    pack: Annotated[int, Field(ge=1, le=manifest.MOST_SEEDS)] | Literal["auto"] | None = None
    """Most replicates in a pack; ``auto`` measures how many fit and pay. Left out: what finishes soonest on a CPU,
    ``auto`` on a GPU. Results do not depend on it: to the last bit with one thread, but for rounding with several
    (``cpu``) and on a GPU. Optuna and schedulers have all seeds of a configuration in one."""


class Search(Entry):
    """How hyper-parameters are searched."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """Every combination of grids, or draws: at random, or proposed by Optuna from the results so far."""
    samples: Annotated[int, Field(ge=1, le=manifest.MOST_CONFIGURATIONS)] = 1
    """Configurations per method that random and Optuna draw."""
    scheduler: Literal["none", "asha"] = "none"
    """ASHA ends configurations early whose mean over seeds falls behind. Seeds that are added later to one that it has
    kept run to the end."""
    objective: str | None = None
    """A validation metric, as ``validation/accuracy/after_pruning``; left out: the task's first score after pruning."""
    size: Literal["density", "neurons_alive", "dense_size"] | None = None
    """With Optuna: a second objective, to be small (after pruning, mean over seeds). The search then draws the front of
    the two. The choice of one configuration for the table stays with the objective and the tolerance."""
    average: Literal["mean", "geometric"] = "mean"
    """Of the objective over seeds, in the final choice. The geometric mean weighs errors alike that span decades."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """Configurations within this of the best average (of a geometric mean: within this share of it) are equals; the
    sparsest of them is chosen."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the draws of random and Optuna."""
    grace_epochs: Count = 1
    """Epochs before ASHA may end a configuration."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """ASHA keeps one in this many at each rung."""


def _name(value: Any) -> str:
    if not isinstance(value, str) or not manifest.is_name(value):
        most = manifest.LONGEST_NAME
        raise ValueError(
            f"expected at most {most} letters, digits, '-', '_' and '.', the first no '.', not {quoted(value)}"
        )
    return value


def _seeds(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) and (type(value) is not int or value < 1):
        raise ValueError(f"expected a number of seeds ≥ 1 or a list of seeds, not {quoted(value)}")
    if not isinstance(value, list) and value > manifest.MOST_SEEDS:
        raise ValueError(f"{value} seeds are too many; at most {manifest.MOST_SEEDS}")
    seeds = value if isinstance(value, list) else range(value)
    manifest.check_seeds(seeds)
    return tuple(seeds)


def _methods(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of methods, each with a label")
    manifest.check_size(methods=len(value))
    return tuple(value)


def _method(value: Any) -> MethodEntry:
    return method_entry().model_validate(value)


class SweepFile(Entry):
    """A sweep: a task, and the methods that are compared on it."""

    name: Annotated[str, BeforeValidator(_name)]
    """What the sweep is called: the MLflow experiment, and folders of reports; at most 100 letters, digits, ``-``,
    ``_`` and ``.``, no dot in front."""
    task: NamedTask
    """Required unless ``network`` is given. Network, data, loss and score: a name, or ``{name: …}`` with options of
    the task."""
    network: Any = None
    """In place of a task, a network for any dataset: ``{mlp: {hidden: [64, 64]}}`` or ``{mlp: [30, 64, 64, 2]}``,
    ``torchvision:resnet18``, or ``module:function`` of a module that ``--import`` names, with arguments ``{name:
    torchvision:resnet18, args: {…}}``. Short for ``task: {name: network, architecture: …}``."""
    dataset: NamedDataset = Field(None, validate_default=True)
    """A name, or ``{name: …}`` with options of the dataset; left out: as in the paper. Or ``module:function``, of a
    module that ``--import`` names, with arguments ``{name: module:function, args: {…}}``."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = (0,)
    """How many replicates each cell has, or a list of their seeds; left out: one, of seed 0."""
    training: TrainingKeys = Field({})
    """How long and how fast a replicate trains; what is left out is as in the paper. Or a list of phases, one after the
    other, each with its length."""
    pruning: PruningKeys = Field({})
    """What becomes zero after training; what is left out is as in the paper."""
    methods: Annotated[tuple[Annotated[MethodEntry, PlainValidator(_method)], ...], BeforeValidator(_methods)]
    """The rows of the table."""
    resources: Resources = Resources()
    """What one pack gets, and how many replicates it holds."""
    search: Search | None = None
    """How hyper-parameters are searched, where any is a search space."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_empty(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if "network" in value and "task" in value:
                reason = PydanticCustomError("two_tasks", "stands in place of 'task': give one of them")
                raise error_at(cls, "network", reason)
            if "network" in value:
                value = {**value, "task": {"name": "network", "architecture": value["network"]}}
            for key in ("dataset", "search"):
                if key in value and value[key] is None:
                    reason = PydanticCustomError("empty", "nothing stands there; give a value, or leave the key out")
                    raise error_at(cls, key, reason)
        return value
