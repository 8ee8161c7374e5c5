"""Regularisers. To add a penalty: one file beside this one, and one entry in ``PENALTIES``.

From elsewhere: ``register_penalty``.
"""

import keyword
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from dn_distributed import random_weights
from dn_distributed.errors import ArgumentError
from dn_distributed.labels import SHORTHANDS
from dn_distributed.registry import register
from dn_distributed.regularizers import dropout
from dn_distributed.regularizers.base import Penalty, check_touches
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1
from dn_distributed.regularizers.l2 import L2
from dn_distributed.regularizers.scripted_l2 import L1OfLast, L2ButLast

__all__ = ["PENALTIES", "Penalty", "build_penalties", "coefficients", "expand_shorthand", "register_penalty", "resolve"]

PENALTIES: dict[str, type[Penalty]] = {
    penalty.name: penalty for penalty in (L1, L2, Incoming, Outgoing, L2ButLast, L1OfLast)
}


OTHERS: tuple[str, ...] = (*dropout.NAMES, *random_weights.COEFFICIENTS)
"""Coefficients that are no penalties of weights."""


def coefficients() -> tuple[str, ...]:
    """Return every key that a method may set: those of penalties that a user has entered too."""
    return (*PENALTIES, *SHORTHANDS, *OTHERS)


def expand_shorthand(name: str) -> tuple[str, ...]:
    """Return the coefficients that a key of a method sets: several for a shorthand, else itself."""
    return SHORTHANDS.get(name, (name,))


def resolve(chosen: Mapping[str, float]) -> dict[str, float]:
    """Return the non-zero coefficients with shorthands expanded, in a fixed order.

    ArgumentError for an unknown name, a value out of range, or one coefficient set twice.
    """
    resolved: dict[str, float] = {}
    for name, value in chosen.items():
        if name not in coefficients():
            raise ArgumentError(f"unknown regulariser {name!r}; valid: {', '.join(coefficients())}")
        if not 0 <= value < (1 if name in dropout.NAMES else float("inf")):
            limits = f"0 ≤ {name} < 1" if name in dropout.NAMES else "finite and ≥ 0"
            raise ArgumentError(f"{name} = {value} is out of range ({limits})")
        if name == dropout.INPUT_NAME and value and not 0 < round(value * dropout.LEVELS) < dropout.LEVELS:
            raise ArgumentError(f"{name} = {value}: it acts in steps of 1/{dropout.LEVELS}")
        for target in expand_shorthand(name):
            if target in resolved:
                short = next(key for key, targets in SHORTHANDS.items() if target in targets)
                raise ArgumentError(f"{target} is set twice: {short!r} is short for {' and '.join(SHORTHANDS[short])}")
            resolved[target] = float(value)
    return {name: resolved[name] for name in sorted(resolved) if resolved[name]}


def build_penalties(regularization: Mapping[str, float]) -> list[Penalty]:
    """Return the penalties of a resolved regularisation; dropout and random weights are none, and left out."""
    return [PENALTIES[name](value) for name, value in regularization.items() if name in PENALTIES]


_RESERVED = frozenset({
    *("label", "published", "baseline", "dropout_at_test", "dropout_inert", "coefficients", "spaces"),  # of a method
    "step",  # the same
    *("method", "cell_key", "seed", "state", "reason", "chosen", "task", "dataset", "dataset_digest"),  # of a frame
    *("num_weights", "num_nonzero", "density", "compression_rate", "neurons_published", "neurons_alive"),
    *("hidden_alive", "dense_size", "dense_compression", "epoch"),
    *("layers", "module", "name", "code", "training", "pruning"),  # of penalty(), of runs and of sweep files
})  # fmt: skip
"""What a penalty cannot be called: coefficients stand beside these, each under its name."""

OwnPenalty = TypeVar("OwnPenalty", bound=Penalty)


def register_penalty(cls: type[OwnPenalty]) -> type[OwnPenalty]:
    """Make a penalty of your own a key of every method and of ``penalty``, and return it: a decorator.

    ArgumentError where its name is taken or none that Python could give an argument, or it is no whole penalty.
    """
    how_to_name = 'give it a name of its own, name = "mine"'
    name = getattr(cls, "name", None)
    if name in (*SHORTHANDS, *OTHERS):
        raise ArgumentError(f"penalty {cls.__name__}: the name {name!r} is taken; {how_to_name}")
    if isinstance(name, str) and (why := _why_no_name(name)):
        raise ArgumentError(f"penalty {cls.__name__}: the name {name!r} {why}; {how_to_name}")
    register(PENALTIES, Penalty, cls, [name] if isinstance(name, str) else [], how_to_name, check_touches)
    return cls


def _why_no_name(name: str) -> str | None:
    if not name.isascii() or not name.isidentifier() or name.startswith("_"):
        return "is no argument of penalty(): letters a to z, digits and '_', a letter first"
    if keyword.iskeyword(name):
        return "is a word of Python's"
    if name in _RESERVED or hasattr(BaseModel, name) or name.startswith("model_"):
        return "means something else in sweep files or results"
    return None
