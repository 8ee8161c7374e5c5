"""Settings of a sweep in the words of a report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dn_distributed.config import Augment, Cell, Distill, Drop, Prune, Pruning, Rewire, Training
from dn_distributed.text import counted
from tracking.results import cells
from tracking.tables.number_text import MISSING

_PENALTIES = {
    "off": "without penalties",
    "linear": "penalties growing from 0",
    "exponential": "penalties growing from a thousandth",
}
_PRECISIONS = {"float32": "float32", "bf16": "bfloat16", "tf32": "TensorFloat-32"}
_SCORES = {"norm": "norm", "taylor": "Taylor score", "obs": "second-order score"}
_FEW = 3  # different values that are written out; of more, only the ends


def identity_in_words(identity: Mapping[str, Any]) -> str:
    """Return a task or dataset with its options as a sweep file has them; those that are off or empty are left out."""
    # Of a small dataset fewer are held out than the option says.
    most = {"validation_size": "at most "}
    given = {key: value for key, value in identity.items() if key != "name" and not _is_empty(value)}
    options = ", ".join(f"{key} {most.get(key, '')}{_as_yaml(value)}" for key, value in given.items())
    return f"{identity['name']} ({options})" if options else str(identity["name"])


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})


def _as_yaml(value: Any) -> str:
    plain = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf, sort_keys=False)
    return str(plain).removesuffix("...\n").strip()


def distinct(values: Iterable[str]) -> str:
    """Return the different values in their order; of many, how many more there are."""
    found = list(dict.fromkeys(values))
    more = f"; and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return "; ".join(found[:_FEW]) + more if found else MISSING


def training_in_words(phases: Sequence[Training]) -> str:
    """Return how long and how fast a replicate trains, phase by phase."""
    return "; then ".join(map(_phase_in_words, phases))


def _length_in_words(training: Training) -> str:
    if training.steps is not None:
        return counted(training.steps, "step")
    assert training.epochs is not None
    return counted(training.epochs, "epoch")


def _phase_in_words(training: Training) -> str:
    length = _length_in_words(training)
    optimizer = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}[training.optimizer]
    parts = [length, f"batches of {training.batch_size}", f"{optimizer}, learning rate {training.learning_rate:g}"]
    parts += [f"× {training.learning_rate_decay:g} after each epoch"] * (training.learning_rate_decay != 1)
    parts += [f"{training.schedule} to 0"] * (training.schedule != "constant")
    parts += [f"warm-up over {counted(training.warmup_steps, 'step')}"] * bool(training.warmup_steps)
    parts += [f"{'Nesterov ' * training.nesterov}momentum {training.momentum:g}"] * bool(training.momentum)
    parts += [f"weight decay {training.weight_decay:g}"] * bool(training.weight_decay)
    parts += ["samples in fixed order"] * (not training.shuffle)
    parts += [_augment_in_words(training.augment)] if training.augment is not None else []
    parts += [_distill_in_words(training.distill)] if training.distill is not None else []
    parts += [f"products in {_PRECISIONS[training.precision]}"] * (training.precision != "float32")
    parts += [_PENALTIES.get(training.penalties, "")] * (training.penalties != "on")
    parts += ["what pruning drops stays 0"] * training.fixed_structure
    parts += [_drop_in_words(training.drop)] if training.drop is not None else []
    parts += [_prune_in_words(training.prune)] if training.prune is not None else []
    parts += [_rewire_in_words(training.rewire)] if training.rewire is not None else []
    return ", ".join(parts)


def _augment_in_words(augment: Augment) -> str:
    moved = [f"moved by at most {counted(augment.shift, 'pixel')} each way"] * bool(augment.shift)
    return "images " + " and ".join([*moved, *["half of them mirrored"] * augment.flip])


def _distill_in_words(distill: Distill) -> str:
    label = f"the label for {100 * (1 - distill.weight):g} %, for the rest " if distill.weight < 1 else ""
    softened = f", at temperature {distill.temperature:g}" if distill.temperature != 1 else ""
    return f"learned: {label}what the network before puts out{softened}"


def _rewire_in_words(rewire: Rewire) -> str:
    places = {"erdos_renyi": "Erdős–Rényi shares of layers", "uniform": "the same share of each layer"}[rewire.layers]
    over = f" over the first {100 * rewire.until:g} % of it" if rewire.until < 1 else ""
    moves = f"{100 * rewire.fraction:g} % of them, ever fewer, moved every {rewire.every} steps{over}"
    return f"{100 * rewire.density:g} % of the weights ({places}), {moves}"


def _prune_in_words(prune: Prune) -> str:
    of = "" if prune.within == "network" else " of each layer"
    rounds = f" {prune.rounds} times over, each time trained like this" if prune.rounds > 1 else " at its beginning"
    back = "" if prune.rewind_to is None else f", what stays going back to its value at step {prune.rewind_to}"
    return f"all but the largest {100 * prune.keep:g} % of the weights{of} removed{rounds}{back}"


def pruning_in_words(cell: Cell) -> str:
    """Return which weights become 0, and when: after training, or where a phase fixes the structure."""
    fixed = [phase.fixed_structure for phase in cell.phases]
    when = " when the structure is fixed" * any(fixed) + " and after training" * (any(fixed) and not fixed[-1])
    return _cut_in_words(cell.pruning) + when


def _cut_in_words(pruning: Pruning) -> str:
    if pruning.target_density is not None:
        return f"all weights but the largest {100 * pruning.target_density:g} % become 0"
    of_layers = "".join(f", of {name} with |w| < {value:g}" for name, value in pruning.thresholds.items())
    return f"weights with |w| < {pruning.threshold:g}{of_layers} become 0"


def _drop_in_words(drop: Drop) -> str:
    what = drop.of.replace("_", "-")
    over = f" over the first {100 * drop.over:g} % of it" if drop.over < 1 else ""
    power = f", power {drop.power:g}" if drop.power != 1 else ""
    how = f"every {drop.every} steps on {drop.samples} samples{power}"
    return f"units dropped by {_SCORES[drop.score]} to {100 * drop.to:g} % of the {what}{over}, {how}"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return the seeds, a run of consecutive ones by its ends."""
    if len(seeds) > _FEW and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def coefficients_in_words(tried: Sequence[Cell]) -> str:
    """Return the coefficients of a method, each with the values that were tried, and how they act if not as usual."""
    words = [f"{name} {_values_in_words(found)}" for name, found in cells.coefficients(tried).items()]
    words += ["proximal steps"] * any(cell.step == "proximal" for cell in tried)
    return ", ".join(words) or "none"


def _values_in_words(values: Sequence[float]) -> str:
    different = sorted(set(values))
    if len(different) <= _FEW:
        return " or ".join(f"{value:g}" for value in different)
    return f"{different[0]:g} … {different[-1]:g} ({len(different)} values)"
